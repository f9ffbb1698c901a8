"""An application's side of the orders, and one call of the handler in a tenant's scope without the engine."""

import itertools
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID, uuid4

from reactor.automation.order_handler import process_orders
from reactor.db.pool import Connection
from reactor.events import Event
from reactor.testing import RecordedContext

_ids = itertools.count(1)

SOUND = {
    "payment_method": "card",
    "fee_amount": 450,
    "total_amount": 475,
    "tech_fee": 25,
    "property_address": "12 Elm Street",
    "property_city": "Springfield",
    "property_state": "OH",
    "property_zip": "45501",
    "borrower_name": "A. Borrower",
    "borrower_email": "borrower@example.test",
    "property_contact_phone": "555-0101",
}


class CountingDb:
    """The tenant's transaction, with every statement written down."""

    def __init__(self, conn: Connection) -> None:
        self.conn = conn
        self.statements: list[str] = []

    async def execute(self, query: str, *args, timeout: float | None = None) -> str:
        self.statements.append(query)
        return await self.conn.execute(query, *args, timeout=timeout)

    async def executemany(self, command: str, args, *, timeout: float | None = None) -> None:
        raise AssertionError("one statement a row is what a batch must not do")

    async def fetch(self, query: str, *args, timeout: float | None = None):
        self.statements.append(query)
        return await self.conn.fetch(query, *args, timeout=timeout)

    async def fetchrow(self, query: str, *args, timeout: float | None = None):
        self.statements.append(query)
        return await self.conn.fetchrow(query, *args, timeout=timeout)

    async def fetchval(self, query: str, *args, column: int = 0, timeout: float | None = None):
        self.statements.append(query)
        return await self.conn.fetchval(query, *args, column=column, timeout=timeout)

    def transaction(self):
        return self.conn.transaction()


def queued(tenant_id: UUID, queue_id: UUID | None) -> Event:
    return Event(
        {
            "id": next(_ids),
            "event_id": uuid4(),
            "tenant_id": tenant_id,
            "event_type": "order.queued",
            "subject_id": queue_id,
            "payload": "{}",
            "priority": 0,
            "attempts": 0,
            "interruptions": 0,
            "created_at": datetime.now(UTC),
            "traceparent": None,
            "cause_id": None,
            "depth": 0,
        }
    )


@asynccontextmanager
async def scope(conn: Connection, tenant_id: UUID):
    """What the engine puts around a handler: the handlers' role, and the tenant."""
    async with conn.transaction():
        await conn.execute("select set_config('reactor.tenant_id', $1, true)", str(tenant_id))
        await conn.execute("set local role reactor_handler")
        yield CountingDb(conn)


@dataclass
class Desk:
    """One tenant's application."""

    conn: Connection
    tenant_id: UUID = field(default_factory=uuid4)

    async def open(self) -> "Desk":
        await self.conn.execute(
            "insert into tenants (id, name, agent_enabled) values ($1, 'A lender', true)", self.tenant_id
        )
        return self

    async def insert(self, table: str, **fields) -> UUID:
        fields = {"tenant_id": self.tenant_id} | fields
        names, places = ", ".join(fields), ", ".join(f"${n}" for n in range(1, len(fields) + 1))
        return await self.conn.fetchval(
            f"insert into {table} ({names}) values ({places}) returning id", *fields.values()
        )

    async def client(self, **fields) -> UUID:
        return await self.insert(
            "clients", **{"company_name": "A client", "credit_limit": 10_000, "balance": 0} | fields
        )

    async def order(self, **fields) -> UUID:
        return await self.insert("orders", **SOUND | fields)

    async def queue(self, order_id: UUID) -> UUID:
        return await self.insert("order_processing_queue", order_id=order_id)

    async def requeue(self, queue_id: UUID) -> None:
        await self.conn.execute(
            "update order_processing_queue set status = 'pending' where id = $1", queue_id
        )

    async def process(self, *queue_ids: UUID | None, conn: Connection | None = None) -> RecordedContext:
        """Handle an event for each of the given queue rows, as one batch."""
        async with scope(conn or self.conn, self.tenant_id) as db:
            ctx = RecordedContext(tenant_id=self.tenant_id, db=db)
            await process_orders([queued(self.tenant_id, queue_id) for queue_id in queue_ids], ctx)
        return ctx

    async def row(self, queue_id: UUID) -> dict:
        return dict(await self.conn.fetchrow("select * from order_processing_queue where id = $1", queue_id))

    async def exceptions(self, queue_id: UUID, *, resolved: bool = False) -> list[tuple[str, str, str]]:
        rows = await self.conn.fetch(
            """select exception_type, severity, details ->> 'code' as code
            from order_processing_exceptions where queue_id = $1 and resolved = $2
            order by exception_type, code""",
            queue_id,
            resolved,
        )
        return [tuple(row) for row in rows]

    async def cards(self) -> list[dict]:
        return [dict(row) for row in await self.conn.fetch("select * from kanban_cards order by title")]
