"""What an application does all day, each in a transaction of its own, with the rights of an application.

Orders come in and are queued, one by one or imported by the dozen; people correct an order and queue it
again, call a client (which winds up the clock), promise to call back in a second and forget it (the clock
runs out), and monitoring raises an alert.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random
from typing import LiteralString
from uuid import UUID

import asyncpg

from reactor.db.calls import Connection
from reactor.db.pool import Pool
from reactor.demo.latency import Tracker, Write
from reactor.demo.order_forms import COLUMNS, OrderForm, Service, fill_in, fill_in_well

_WRITERS = 6
#: A clock is not made to run out again for so long: a letter about it may be under way.
_CLOCK_PAUSE = 60.0

_ORDER: LiteralString = """
insert into public.orders (
    id, tenant_id, client_id, product_id, status, fee_amount, total_amount, tech_fee, payment_method,
    property_address, property_city, property_state, property_zip, borrower_name, borrower_email,
    borrower_phone, property_contact_name, property_contact_phone, created_at)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19)
"""
_QUEUE: LiteralString = """
insert into public.order_processing_queue (tenant_id, order_id)
select $1, x.id from unnest($2::uuid[]) as x (id)
returning id, pg_current_xact_id()::text as xid
"""
_TROUBLED: LiteralString = """
select q.id, q.order_id from public.order_processing_queue q
where q.tenant_id = $1 and q.status = 'exception'
order by q.processed_at desc limit 20
"""
_CORRECT: LiteralString = """
update public.orders set
    client_id = $2, product_id = $3, fee_amount = $4, total_amount = $5, tech_fee = $6, payment_method = $7,
    property_address = $8, property_city = $9, property_state = $10, property_zip = $11, borrower_name = $12,
    borrower_email = $13, borrower_phone = $14, property_contact_phone = $15
where id = $1
"""
_QUEUE_AGAIN: LiteralString = """
update public.order_processing_queue set status = 'pending', queued_at = now()
where id = $1 and status = 'exception'
returning id, pg_current_xact_id()::text as xid
"""
_SHORT_OF_CREDIT: LiteralString = """
select o.client_id from public.order_processing_exceptions e
join public.orders o on o.id = e.order_id
where e.tenant_id = $1 and e.exception_type = 'credit' and not e.resolved and o.client_id = any ($2)
limit 1
"""
_RAISE_CREDIT: LiteralString = """
update public.clients set credit_limit = round(credit_limit * 1.5 + 20000, -3) where id = $1
"""
_QUEUE_CREDIT_AGAIN: LiteralString = """
update public.order_processing_queue set status = 'pending', queued_at = now()
where id in (
    select q.id from public.order_processing_queue q
    join public.orders o on o.id = q.order_id
    join public.order_processing_exceptions e on e.queue_id = q.id
    where o.client_id = $1 and e.exception_type = 'credit' and not e.resolved
        and q.status in ('validated', 'exception'))
returning id, pg_current_xact_id()::text as xid
"""
_TOUCH: LiteralString = "select public.update_engagement_clock($1, $2, $3, $4, $5)"
_PROMISE: LiteralString = """
update public.engagement_clocks
set next_touch_due = clock_timestamp() + $2::interval, last_touch_type = 'call', updated_at = now()
where id = $1 and is_compliant
returning id, next_touch_due
"""
_ALERT: LiteralString = """
insert into public.agent_alerts (tenant_id, alert_type, severity, message)
values ($1, $2, $3, $4)
returning id, pg_current_xact_id()::text as xid
"""
_ACKNOWLEDGE: LiteralString = """
update public.agent_alerts set acknowledged = true, acknowledged_at = now(), acknowledged_by = $2
where id = (
    select a.id from public.agent_alerts a where a.tenant_id = $1 and not a.acknowledged
    order by a.created_at limit 1 for update skip locked)
"""
_ALERTS = (
    ("import_incomplete", "warning", "The nightly import skipped lines it could not read"),
    ("portal_slow", "info", "The client portal answers slower than usual"),
    ("document_store_full", "warning", "The document store is 85 % full"),
)


@dataclass(slots=True)
class Desk:
    """What the application knows of a tenant; read from the database, so that an old company will do."""

    id: UUID
    name: str
    open: bool
    size: float = 1.0
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
        desks[row["tenant_id"]].size = float(row["n"])
    return list(desks.values())


class Traffic:
    """Acts at random moments, on average ``rate`` times a second, until it is stopped."""

    def __init__(self, pool: Pool, desks: list[Desk], tracker: Tracker, rng: Random, *, rate: float) -> None:
        self._pool = pool
        self._desks = desks
        self._tracker = tracker
        self._rng = rng
        self._rate = rate
        self._wound: dict[UUID, float] = {}
        self._stopping = asyncio.Event()
        #: what was done, by name; and writes that the database refused
        self.done: dict[str, int] = {}
        self.refused: list[str] = []
        self._acts: dict[Callable[[Connection, Desk], Awaitable[None]], int] = {
            self._order: 65,
            self._import: 2,
            self._correct: 12,
            self._raise_credit: 1,
            self._touch: 8,
            self._promise: 6,
            self._alert: 3,
            self._acknowledge: 3,
        }

    def stop(self) -> None:
        """No new act begins; :meth:`run` returns when the last one ended."""
        self._stopping.set()

    async def run(self) -> None:
        """Until stopped. Acts begin at the moments of a Poisson process, also while others are under way."""
        clock = asyncio.get_running_loop().time
        free = asyncio.Semaphore(_WRITERS)
        due = clock()
        async with asyncio.TaskGroup() as group:
            while not self._stopping.is_set():
                due += self._rng.expovariate(self._rate)
                try:
                    async with asyncio.timeout(max(0.0, due - clock())):
                        await self._stopping.wait()
                except TimeoutError:
                    pass
                if self._stopping.is_set():
                    break
                await free.acquire()
                act = self._rng.choices(list(self._acts), weights=list(self._acts.values()))[0]
                desk = self._rng.choices(self._desks, weights=[desk.size for desk in self._desks])[0]
                group.create_task(self._act(act, desk, free), name=f"application: {act.__name__}")

    async def _act(
        self, act: Callable[[Connection, Desk], Awaitable[None]], desk: Desk, free: asyncio.Semaphore
    ) -> None:
        try:
            async with self._pool.acquire() as connection:
                await act(connection, desk)
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            self.refused.append(f"{act.__name__.strip('_')}: {error}")
        finally:
            free.release()

    def _note(self, what: str, desk: Desk, *writes: Write) -> None:
        self.done[what] = self.done.get(what, 0) + 1
        for write in writes:
            if desk.open:
                self._tracker.note(write)

    def _fill_in(self, desk: Desk) -> OrderForm:
        return fill_in(self._rng, tenant_id=desk.id, clients=desk.clients, services=desk.services, at=_now())

    async def _order(self, connection: Connection, desk: Desk) -> None:
        order = self._fill_in(desk)
        async with connection.transaction():
            await connection.execute(_ORDER, *order.record())
            row = await connection.fetchrow(_QUEUE, desk.id, [order.id])
        assert row is not None
        self._note("orders", desk, Write("order.queued", desk.id, row["id"], row["xid"]))

    async def _import(self, connection: Connection, desk: Desk) -> None:
        orders = [self._fill_in(desk) for _ in range(self._rng.randint(20, 60))]
        async with connection.transaction():
            await connection.executemany(_ORDER, [order.record() for order in orders])
            rows = await connection.fetch(_QUEUE, desk.id, [order.id for order in orders])
        writes = [Write("order.queued", desk.id, row["id"], row["xid"]) for row in rows]
        self._note("imports", desk, *writes)
        self.done["imported orders"] = self.done.get("imported orders", 0) + len(orders)

    async def _correct(self, connection: Connection, desk: Desk) -> None:
        """Somebody takes up an order with exceptions, mends it and queues it again."""
        troubled = await connection.fetch(_TROUBLED, desk.id)
        if not troubled:
            return
        queue_id, order_id = self._rng.choice(troubled)
        well = fill_in_well(
            self._rng,
            tenant_id=desk.id,
            client_id=self._rng.choice(desk.active_clients),
            service=self._rng.choice(desk.services),
            at=_now(),
        )
        async with connection.transaction():
            await connection.execute(_CORRECT, order_id, *_corrections(well))
            row = await connection.fetchrow(_QUEUE_AGAIN, queue_id)
        if row is not None:
            self._note("corrected orders", desk, Write("order.queued", desk.id, row["id"], row["xid"]))

    async def _raise_credit(self, connection: Connection, desk: Desk) -> None:
        """A client gets more credit, and everything that was said about its credit is asked again."""
        client_id = await connection.fetchval(_SHORT_OF_CREDIT, desk.id, desk.active_clients)
        if client_id is None:
            return
        async with connection.transaction():
            await connection.execute(_RAISE_CREDIT, client_id)
            rows = await connection.fetch(_QUEUE_CREDIT_AGAIN, client_id)
        writes = [Write("order.queued", desk.id, row["id"], row["xid"]) for row in rows]
        self._note("raised credit limits", desk, *writes)

    async def _touch(self, connection: Connection, desk: Desk) -> None:
        """A call or a meeting: the clock begins anew."""
        now = asyncio.get_running_loop().time()
        _, client_id, contact_id = self._rng.choice(desk.clocks)
        if any(
            now - wound < _CLOCK_PAUSE for key, wound in self._wound.items() if key in (client_id, contact_id)
        ):
            return
        person = self._rng.choice(desk.people)
        await connection.execute(
            _TOUCH, desk.id, client_id, contact_id, self._rng.choice(("call", "meeting")), person
        )
        self._note("touches", desk)

    async def _promise(self, connection: Connection, desk: Desk) -> None:
        """A promise to call back within a moment, which nobody keeps."""
        clock_id, _, _ = desk.clocks[0]
        desk.clocks.rotate(-1)
        if self._is_wound(clock_id):
            return
        self._wound[clock_id] = asyncio.get_running_loop().time()
        moment = timedelta(seconds=self._rng.uniform(0.3, 2.0))
        row = await connection.fetchrow(_PROMISE, clock_id, moment)
        if row is not None:
            self._note(
                "promises", desk, Write("engagement.overdue", desk.id, row["id"], due=row["next_touch_due"])
            )

    def _is_wound(self, clock_id: UUID) -> bool:
        at = self._wound.get(clock_id)
        return at is not None and asyncio.get_running_loop().time() - at < _CLOCK_PAUSE

    async def _alert(self, connection: Connection, desk: Desk) -> None:
        row = await connection.fetchrow(_ALERT, desk.id, *self._rng.choice(_ALERTS))
        assert row is not None
        self._note("alerts", desk, Write("alert.created", desk.id, row["id"], row["xid"]))

    async def _acknowledge(self, connection: Connection, desk: Desk) -> None:
        await connection.execute(_ACKNOWLEDGE, desk.id, self._rng.choice(desk.people))
        self._note("acknowledgements", desk)


def _now() -> datetime:
    return datetime.now().astimezone()


def _corrections(well: OrderForm) -> tuple[object, ...]:
    named = dict(zip(COLUMNS, well.record(), strict=True))
    return tuple(
        named[name]
        for name in (
            *("client_id", "product_id", "fee_amount", "total_amount", "tech_fee", "payment_method"),
            *("property_address", "property_city", "property_state", "property_zip", "borrower_name"),
            *("borrower_email", "borrower_phone", "property_contact_phone"),
        )
    )
