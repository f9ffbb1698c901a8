"""What the application knows of its tenants; read from the database, so that an old company will do."""

from collections import deque
from dataclasses import dataclass, field
from uuid import UUID

from reactor.db.pool import Connection
from reactor.demo.order_forms import Service


@dataclass(slots=True)
class Desk:
    """One tenant. How many orders it has says how busy it is beside the others."""

    id: UUID
    name: str
    open: bool
    orders: int = 0
    clients: list[UUID] = field(default_factory=list)
    active_clients: list[UUID] = field(default_factory=list)
    services: list[Service] = field(default_factory=list)
    people: list[UUID] = field(default_factory=list)
    clocks: deque[tuple[UUID, UUID | None, UUID | None]] = field(default_factory=deque)


async def read_desks(connection: Connection) -> list[Desk]:
    """Every tenant with its clients, products, people and clocks."""
    desks = {
        row["id"]: Desk(row["id"], row["name"], row["open"])
        for row in await connection.fetch(
            "select id, name, is_active and agent_enabled as open from public.tenants order by name"
        )
    }
    for row in await connection.fetch("select tenant_id, id, is_active from public.clients order by id"):
        desk = desks[row["tenant_id"]]
        desk.clients.append(row["id"])
        if row["is_active"]:
            desk.active_clients.append(row["id"])
    for row in await connection.fetch(
        "select tenant_id, id, price, min_price, max_price from public.products order by id"
    ):
        desks[row["tenant_id"]].services.append(
            Service(row["id"], row["price"], row["min_price"], row["max_price"])
        )
    for row in await connection.fetch("select tenant_id, id from public.profiles order by id"):
        desks[row["tenant_id"]].people.append(row["id"])
    for row in await connection.fetch(
        "select tenant_id, id, client_id, contact_id from public.engagement_clocks order by id"
    ):
        desks[row["tenant_id"]].clocks.append((row["id"], row["client_id"], row["contact_id"]))
    for row in await connection.fetch("select tenant_id, count(*) as n from public.orders group by 1"):
        desks[row["tenant_id"]].orders = row["n"]
    return list(desks.values())
