"""One line of Python for each function of schema reactor that a person's command calls.

See sql/functions for what each one does.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from reactor.db.calls import Connection, Record

Document = dict[str, Any]


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


async def list_dead(connection: Connection, chosen: Chosen, limit: int) -> list[Record]:
    return await connection.fetch(
        "select * from reactor.list_dead($1, $2, $3, $4)",
        chosen.event_type,
        chosen.tenant_id,
        chosen.since,
        limit,
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
