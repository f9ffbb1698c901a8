"""What the people and programs of an application do, each in a transaction of its own.

Orders come in and are queued, one by one or imported by the dozen; somebody corrects an order and queues it
again, calls a client (which winds up the clock), promises to call back in a second and forgets it (the clock
runs out); monitoring raises an alert, and somebody acknowledges one.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random
from typing import LiteralString
from uuid import UUID

from asyncpg import Record

from reactor.db.calls import Connection
from reactor.demo.desks import Desk
from reactor.demo.latency import IMPORTED, Write
from reactor.demo.order_forms import COLUMNS, OrderForm, fill_in, fill_in_well

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


@dataclass(frozen=True, slots=True)
class Done:
    """An act, and what the reactor has to handle because of it."""

    what: str
    writes: Sequence[Write] = ()


class Clerk:
    """All acts. One that finds nothing to do returns None."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self._wound: dict[UUID, float] = {}

    def _fill_in(self, desk: Desk) -> OrderForm:
        return fill_in(self._rng, tenant_id=desk.id, clients=desk.clients, services=desk.services, at=_now())

    async def order(self, connection: Connection, desk: Desk) -> Done:
        order = self._fill_in(desk)
        async with connection.transaction():
            await connection.execute(_ORDER, *order.record())
            row = await connection.fetchrow(_QUEUE, desk.id, [order.id])
        assert row is not None
        return Done("orders", _queued(desk, [row]))

    async def import_orders(self, connection: Connection, desk: Desk) -> Done:
        orders = [self._fill_in(desk) for _ in range(self._rng.randint(20, 60))]
        async with connection.transaction():
            await connection.executemany(_ORDER, [order.record() for order in orders])
            rows = await connection.fetch(_QUEUE, desk.id, [order.id for order in orders])
        return Done("imports", _queued(desk, rows, IMPORTED))

    async def correct(self, connection: Connection, desk: Desk) -> Done | None:
        """Somebody takes up an order with exceptions, mends it and queues it again."""
        troubled = await connection.fetch(_TROUBLED, desk.id)
        if not troubled:
            return None
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
        return None if row is None else Done("corrections", _queued(desk, [row]))

    async def raise_credit(self, connection: Connection, desk: Desk) -> Done | None:
        """A client gets more credit, and everything that was said about its credit is asked again."""
        client_id = await connection.fetchval(_SHORT_OF_CREDIT, desk.id, desk.active_clients)
        if client_id is None:
            return None
        async with connection.transaction():
            await connection.execute(_RAISE_CREDIT, client_id)
            rows = await connection.fetch(_QUEUE_CREDIT_AGAIN, client_id)
        return Done("raised credit limits", _queued(desk, rows, IMPORTED))

    async def touch(self, connection: Connection, desk: Desk) -> Done | None:
        """A call or a meeting: the clock begins anew."""
        clock_id, client_id, contact_id = self._rng.choice(desk.clocks)
        if self._is_wound(clock_id):
            return None  # it is to run out, for us to see how soon that is noticed
        person = self._rng.choice(desk.people)
        await connection.execute(
            _TOUCH, desk.id, client_id, contact_id, self._rng.choice(("call", "meeting")), person
        )
        return Done("touches")

    async def promise(self, connection: Connection, desk: Desk) -> Done | None:
        """A promise to call back within a moment, which nobody keeps."""
        clock_id, _, _ = desk.clocks[0]
        desk.clocks.rotate(-1)
        if self._is_wound(clock_id):
            return None
        self._wound[clock_id] = asyncio.get_running_loop().time()
        moment = timedelta(seconds=self._rng.uniform(0.3, 2.0))
        row = await connection.fetchrow(_PROMISE, clock_id, moment)
        if row is None:
            return None
        return Done("promises", [Write("engagement.overdue", desk.id, row["id"], due=row["next_touch_due"])])

    def _is_wound(self, clock_id: UUID) -> bool:
        at = self._wound.get(clock_id)
        return at is not None and asyncio.get_running_loop().time() - at < _CLOCK_PAUSE

    async def alert(self, connection: Connection, desk: Desk) -> Done:
        row = await connection.fetchrow(_ALERT, desk.id, *self._rng.choice(_ALERTS))
        assert row is not None
        return Done("alerts", [Write("alert.created", desk.id, row["id"], row["xid"])])

    async def acknowledge(self, connection: Connection, desk: Desk) -> Done:
        await connection.execute(_ACKNOWLEDGE, desk.id, self._rng.choice(desk.people))
        return Done("acknowledgements")


def _queued(desk: Desk, rows: Sequence[Record | None], kind: str = "order.queued") -> list[Write]:
    return [Write(kind, desk.id, row["id"], row["xid"]) for row in rows if row is not None]


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
