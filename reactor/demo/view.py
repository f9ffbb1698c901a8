"""What the screen and the summary show, read from the database with a superuser's eyes."""

from dataclasses import dataclass
from typing import LiteralString
from uuid import UUID

from reactor.db.pool import Connection

_TENANTS: LiteralString = """
with q as (
    select q.tenant_id,
        count(*) filter (where q.status in ('pending', 'processing')) as queued,
        count(*) filter (where q.status = 'validated') as validated,
        count(*) filter (where q.status = 'exception') as exceptions,
        count(*) filter (where q.status = 'skipped') as skipped
    from public.order_processing_queue q group by q.tenant_id
),
c as (
    select c.tenant_id, count(*) as overdue from public.engagement_clocks c
    where c.next_touch_due <= clock_timestamp() group by c.tenant_id
),
a as (
    select a.tenant_id, count(*) as alerts from public.agent_alerts a
    where not a.acknowledged group by a.tenant_id
),
e as (
    select e.tenant_id, count(*) filter (where e.available_at is null) as ready,
        count(*) filter (where e.available_at = 'infinity') as parked
    from reactor.events e group by e.tenant_id
)
select t.id, t.name, t.is_active and t.agent_enabled as open,
    coalesce(q.queued, 0) as queued, coalesce(q.validated, 0) as validated,
    coalesce(q.exceptions, 0) as exceptions, coalesce(q.skipped, 0) as skipped,
    coalesce(c.overdue, 0) as overdue, coalesce(a.alerts, 0) as alerts,
    coalesce(e.ready, 0) as ready, coalesce(e.parked, 0) as parked
from public.tenants t
left join q on q.tenant_id = t.id
left join c on c.tenant_id = t.id
left join a on a.tenant_id = t.id
left join e on e.tenant_id = t.id
order by t.name, t.id
"""
_QUEUE: LiteralString = """
select count(*) filter (where e.available_at is null) as ready,
    count(*) filter (where e.available_at < 'infinity') as delayed,
    count(*) filter (where e.available_at = 'infinity') as parked,
    (select count(*) from reactor.dead_events) as dead,
    coalesce(extract(epoch from
        clock_timestamp() - min(coalesce(e.ready_at, e.created_at)) filter (where e.available_at is null)), 0
    )::float8 as lag,
    (select d.last_value > 1 from reactor.doorbell d) as armed,
    (select count(*) from reactor.email_intents i where i.status = 'sent') as emails
from reactor.events e
"""


@dataclass(frozen=True, slots=True)
class TenantRow:
    """One line of the table."""

    id: UUID
    name: str
    open: bool
    queued: int
    validated: int
    exceptions: int
    skipped: int
    overdue: int
    alerts: int
    ready: int
    parked: int


@dataclass(frozen=True, slots=True)
class Queue:
    """The outbox as a whole. ``lag`` is the age of the oldest event that is ready, in seconds."""

    ready: int
    delayed: int
    parked: int
    dead: int
    lag: float
    armed: bool
    emails: int


async def read_tenants(connection: Connection) -> list[TenantRow]:
    return [TenantRow(*row.values()) for row in await connection.fetch(_TENANTS)]


async def read_queue(connection: Connection) -> Queue:
    row = await connection.fetchrow(_QUEUE)
    assert row is not None
    return Queue(*row.values())
