"""What a person's commands, the dashboard and the metrics ask the database, one call each.

See sql/functions for what the functions of schema reactor do.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, LiteralString
from uuid import UUID

from reactor.db.borrow import PATIENCE
from reactor.db.calls import Connection, Record

Document = dict[str, Any]

# A tenant's users may write any values into alerts and their lease, which lists of all tenants must bear.
_ALERTS: LiteralString = """
select a.id, a.tenant_id, t.name as tenant_name, left(a.alert_type, 200) as alert_type, a.severity,
    left(a.message, 5000) as message,
    case when pg_catalog.pg_column_size(a.metadata) < 2000 or pg_catalog.length(a.metadata::text) < 9000
        then a.metadata else '{"cut": true}' end as metadata,
    a.acknowledged, a.acknowledged_at, a.acknowledged_by,
    a.created_at
from public.agent_alerts a
left join public.tenants t on t.id = a.tenant_id
where (not a.acknowledged or $1)
  and ($2::uuid is null or a.tenant_id = $2)
  and ($3::text is null or a.severity = $3)
  and ($5::text is null or (a.created_at, a.id) < ($5::text::timestamptz, $6::uuid))
order by a.created_at desc, a.id desc
limit $4
"""

# What waits is counted in one pass: the outbox has no index by which all of one tenant's events are found.
# A name may be missing, the table is the application's.
_TENANTS: LiteralString = """
with shown as materialized (
    select t.id, t.name, t.is_active, t.agent_enabled
    from public.tenants t
    where ($1::boolean is null or (t.agent_enabled and t.is_active) = $1)
      and ($2::text is null or pg_catalog.strpos(pg_catalog.lower(t.name), pg_catalog.lower($2)) > 0)
      and ($4::uuid is null or (t.name is null, coalesce(t.name, ''), t.id) > (
        select l.name is null, coalesce(l.name, ''), l.id from public.tenants l where l.id = $4))
    order by t.name, t.id
    limit $3
)
select t.id, t.name, t.is_active, t.agent_enabled, coalesce(w.waiting, 0) as waiting,
    (select count(*) from reactor.dead_events d where d.tenant_id = t.id) as dead,
    (select count(*) from public.agent_alerts a where a.tenant_id = t.id and not a.acknowledged) as alerts,
    left(l.lock_holder, 200) as lock_holder, l.locked_at
from shown t
left join (select e.tenant_id, count(*) as waiting from reactor.events e group by e.tenant_id) w
    on w.tenant_id = t.id
left join public.agent_tenant_locks l on l.tenant_id = t.id and l.expires_at > reactor.now()
order by t.name, t.id
"""


@dataclass(frozen=True, slots=True)
class Chosen:
    """Which dead events: those that fit all that is given. Nothing given is refused by the server."""

    ids: Sequence[int] | None = None
    event_type: str | None = None
    tenant_id: UUID | None = None
    since: timedelta | None = None


async def status(connection: Connection) -> Document:
    found: Document = await connection.fetchval("select reactor.status()")
    return found


async def backlog(connection: Connection) -> dict[str, float | None]:
    """The same for the metrics, at a bounded cost.

    Waits a second at most, and raises QueryCanceledError or LockNotAvailableError then.
    """
    async with connection.transaction(readonly=True):
        await connection.execute("set local statement_timeout = '1s'; set local lock_timeout = '250ms'")
        row = await connection.fetchrow("select * from reactor.backlog()", timeout=PATIENCE)
    assert row is not None
    return dict(row)


async def now(connection: Connection) -> datetime:
    at: datetime = await connection.fetchval("select reactor.now()")
    return at


async def emit(
    connection: Connection,
    tenant_id: UUID,
    event_type: str,
    payload: str,
    *,
    subject_id: UUID | None = None,
    delay: timedelta = timedelta(0),
    priority: int = 0,
    dedup_key: str | None = None,
) -> int:
    """``payload`` is JSON text, so that a number in it reaches the server as it was written."""
    id_: int = await connection.fetchval(
        "select reactor.emit($1, $2, $3::text::jsonb, $4, $5, $6, $7)",
        tenant_id,
        event_type,
        payload,
        subject_id,
        delay,
        priority,
        dedup_key,
    )
    return id_


async def list_events(
    connection: Connection,
    limit: int,
    *,
    state: str | None = None,
    event_type: str | None = None,
    tenant_id: UUID | None = None,
    after: int | None = None,
) -> Document:
    found: Document = await connection.fetchval(
        "select reactor.list_events($1, $2, $3, $4, $5)", state, event_type, tenant_id, after, limit
    )
    return found


async def list_dead(
    connection: Connection, chosen: Chosen, limit: int, behind: tuple[str, int] | None = None
) -> list[Record]:
    """``behind``: when the last one of the page before died, as ISO 8601, and its id."""
    died_at, id_ = behind or (None, None)
    return await connection.fetch(
        "select * from reactor.list_dead($1, $2, $3, $4, $5::text::timestamptz, $6)",
        chosen.event_type,
        chosen.tenant_id,
        chosen.since,
        limit,
        died_at,
        id_,
    )


async def count_dead(connection: Connection, chosen: Chosen) -> int:
    count: int = await connection.fetchval(
        "select count(*) from reactor.choose_dead($1, $2, $3, $4)",
        chosen.ids,
        chosen.event_type,
        chosen.tenant_id,
        chosen.since,
    )
    return count


async def replay(connection: Connection, chosen: Chosen, limit: int) -> list[int]:
    rows = await connection.fetch(
        "select r.id from reactor.replay($1, $2, $3, $4, $5) r",
        chosen.ids,
        chosen.event_type,
        chosen.tenant_id,
        chosen.since,
        limit,
    )
    return [row["id"] for row in rows]


async def discard_dead(
    connection: Connection, chosen: Chosen, limit: int, reason: str | None = None
) -> list[int]:
    rows = await connection.fetch(
        "select d.id from reactor.discard_dead($1, $2, $3, $4, $5, $6) d",
        chosen.ids,
        chosen.event_type,
        chosen.tenant_id,
        chosen.since,
        limit,
        reason,
    )
    return [row["id"] for row in rows]


async def find_event(connection: Connection, event_id: UUID) -> int | None:
    found: int | None = await connection.fetchval("select reactor.find_event($1)", event_id)
    return found


async def read_event(connection: Connection, event: int) -> Document | None:
    found: Document | None = await connection.fetchval("select reactor.read_event($1)", event)
    return found


async def trace_event(connection: Connection, event: int) -> Document | None:
    found: Document | None = await connection.fetchval("select reactor.trace_event($1)", event)
    return found


async def explain_event(connection: Connection, event: int) -> Document | None:
    found: Document | None = await connection.fetchval("select reactor.explain_event($1)", event)
    return found


async def set_kill_switch(connection: Connection, *, on: bool, reason: str | None = None) -> Record:
    row = await connection.fetchrow("select * from reactor.set_kill_switch($1, $2)", on, reason)
    assert row is not None
    return row


async def set_tenant_enabled(
    connection: Connection, tenants: Sequence[UUID], *, enabled: bool
) -> list[Record]:
    return await connection.fetch("select * from reactor.set_tenant_enabled($1, $2)", tenants, enabled)


async def list_tenants(
    connection: Connection,
    limit: int,
    *,
    enabled: bool | None = None,
    name: str | None = None,
    after: UUID | None = None,
) -> list[Record]:
    """By name, and behind the one with the id ``after``."""
    return await connection.fetch(_TENANTS, enabled, name, limit, after)


async def list_alerts(
    connection: Connection,
    limit: int,
    *,
    acknowledged: bool = False,
    tenant: UUID | None = None,
    severity: str | None = None,
    behind: tuple[str, UUID] | None = None,
) -> list[Record]:
    """The latest first. ``acknowledged``: those too; ``behind``: when the last one of the page before was
    raised, as ISO 8601, and its id."""
    at, id_ = behind or (None, None)
    return await connection.fetch(_ALERTS, acknowledged, tenant, severity, limit, at, id_)


async def acknowledge_alert(connection: Connection, alert: UUID, by: UUID | None = None) -> bool:
    done: bool = await connection.fetchval("select reactor.acknowledge_alert($1, $2)", alert, by)
    return done


async def list_locks(connection: Connection, limit: int) -> list[Record]:
    return await connection.fetch("select * from reactor.list_locks($1)", limit)


async def break_lock(connection: Connection, id_: UUID, reason: str, *, force: bool) -> Record | None:
    return await connection.fetchrow("select * from reactor.break_lock($1, $2, $3)", id_, reason, force)


async def list_watches(connection: Connection) -> list[Record]:
    return await connection.fetch("select * from reactor.list_watches()")


async def forget_watch(connection: Connection, schema: str, table: str, event_type: str) -> bool:
    done: bool = await connection.fetchval(
        "select reactor.forget_watch($1, $2, $3)", schema, table, event_type
    )
    return done


async def list_replicas(connection: Connection) -> list[Record]:
    return await connection.fetch("select * from reactor.list_replicas()")
