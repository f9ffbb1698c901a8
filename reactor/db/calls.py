"""One line of Python for each function of schema reactor that a replica calls.

State changes happen in SQL; see sql/functions for what each one does and who calls it. Each call has a
limit: a connection that lost its other end would wait for ever.

Arrays of anything but text travel as text. The driver does not know them, and asks each new session about
each kind before it is used first: 10 to 40 ms that the first claim, heartbeat and settlement would wait.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal, LiteralString
from uuid import UUID

import asyncpg
import orjson

from reactor.db.borrow import PATIENCE

if TYPE_CHECKING:
    Record = asyncpg.Record
    from asyncpg.pool import PoolConnectionProxy

    Connection = asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record]
else:
    Record = asyncpg.Record
    Connection = asyncpg.Connection


#: What reactor.rotate() says of the outbox.
Rotated = Literal["rotated", "nothing", "backlog", "held", "published"]

#: An event as a claim and a settlement return it. Its time as a number of seconds: a datetime for each event,
#: which few handlers ask for, would be two fifths of reading the answer.
_EVENT: LiteralString = (
    "tenant_id, run_id, id, event_id, event_type, subject_id, payload, priority, attempts, interruptions, "
    "pg_catalog.date_part('epoch', created_at) as created_at, traceparent, cause_id, depth"
)

_CLAIM: LiteralString = (
    f"select {_EVENT} from reactor.claim("  # noqa: S608
    "$1, $2, $3, $4, $5, $6, $7, $8, $9::text::int[], $10::text::uuid[])"
)

#: Types are qualified: in a handler's session a temporary one of that name would come first.
_SETTLE: LiteralString = (
    f"select {_EVENT} from reactor.settle("  # noqa: S608
    "$1::pg_catalog.text::pg_catalog.uuid[], $2::pg_catalog.text::pg_catalog.uuid[], "
    "$3::pg_catalog.text::pg_catalog.bool[], $4::pg_catalog.text::pg_catalog.int8[], "
    "$5::pg_catalog.text::pg_catalog.jsonb, $6::pg_catalog.text::pg_catalog.jsonb, "
    "$7, $8, $9, $10, $11::pg_catalog.text::pg_catalog.int8[])"
)

#: Seconds that a walk through an outbox full of dead rows may take.
_WALK = 120.0


@dataclass(frozen=True, slots=True)
class Settlement:
    """What one call of reactor.settle says about any number of runs, one list entry a run."""

    tenants: list[UUID]
    runs: list[UUID]
    more: list[bool]
    done: list[int]
    verdicts: list[dict[str, Any]]
    counts: list[dict[str, Any]]
    #: events that kept runs have in hand already, while these are settled
    ahead: Sequence[int] = ()


@dataclass(frozen=True, slots=True)
class Claimed:
    """What one claim took."""

    rows: list[Record]
    #: a transaction of the application holds a tenant that has events; nobody will ring when it ends
    passed_over: bool
    #: the tenant at which a look ended that met too many of those: others may wait behind it
    place: UUID | None


@dataclass(frozen=True, slots=True)
class Swept:
    """What one sweep of the deadline timer found due."""

    clocks: int
    events: int
    leases: int

    @property
    def most(self) -> int:
        return max(self.clocks, self.events, self.leases)


async def claim(
    connection: Connection,
    *,
    replica: str,
    tenants: int,
    batch: int,
    lease: timedelta,
    after: UUID | None,
    gated: Sequence[str],
    peers: Sequence[str] | None,
    free: Mapping[str, int] | None = None,
    held: Iterable[UUID] = (),
) -> Claimed:
    """``free``: how many more tenants may begin with each capped event type; ``held``: tenants in hand here
    with events that were interrupted before.
    """
    rows = await connection.fetch(
        _CLAIM,
        replica,
        tenants,
        batch,
        lease,
        after,
        gated,
        peers,
        list(free or ()),
        _array(free.values() if free else ()),
        _array(held),
        timeout=PATIENCE,
    )
    if rows and rows[0]["run_id"] is None:
        return Claimed(rows[1:], True, rows[0]["tenant_id"])
    return Claimed(rows, False, None)


async def next_tenant(connection: Connection, after: UUID | None) -> UUID | None:
    """The first tenant with ready events behind ``after``, in the order in which claims find them."""
    found: UUID | None = await connection.fetchval("select reactor.next_tenant($1)", after, timeout=PATIENCE)
    return found


async def bury_unreadable(connection: Connection, tenant_id: UUID, events: int) -> int:
    """Of the tenant's next events, those whose payload the server cannot send are dead: so many."""
    found: int = await connection.fetchval(
        "select reactor.bury_unreadable($1, $2)", tenant_id, events, timeout=PATIENCE
    )
    return found


async def settle(
    connection: Connection,
    settlement: Settlement,
    *,
    batch: int,
    lease: timedelta,
    gated: Sequence[str],
    scope: UUID | None = None,
) -> list[Record]:
    return await connection.fetch(
        _SETTLE,
        _array(settlement.tenants),
        _array(settlement.runs),
        _array(settlement.more),
        _array(settlement.done),
        _json(settlement.verdicts),
        _json(settlement.counts),
        batch,
        lease,
        gated,
        scope,
        _array(settlement.ahead),
        timeout=PATIENCE,
    )


async def checkpoint(connection: Connection, settlement: Settlement) -> None:
    """For one run: acknowledge what is finished, fence; the caller commits."""
    await connection.execute(
        "select reactor.checkpoint($1, $2, $3::pg_catalog.text::pg_catalog.int8[], "
        "$4::pg_catalog.text::pg_catalog.jsonb, $5::pg_catalog.text::pg_catalog.jsonb)",
        settlement.tenants[0],
        settlement.runs[0],
        _array(settlement.done),
        _json(settlement.verdicts),
        _json(settlement.counts),
        timeout=PATIENCE,
    )


async def abandon(
    connection: Connection,
    tenants: Sequence[UUID],
    runs: Sequence[UUID],
    *,
    interrupted: bool,
    reason: str | None,
) -> int:
    released: int = await connection.fetchval(
        "select reactor.abandon($1::text::uuid[], $2::text::uuid[], $3, $4)",
        _array(tenants),
        _array(runs),
        interrupted,
        reason,
        timeout=PATIENCE,
    )
    return released


async def suspend(
    connection: Connection, tenants: Sequence[UUID], runs: Sequence[UUID], *, reason: str | None
) -> int:
    released: int = await connection.fetchval(
        "select reactor.suspend($1::text::uuid[], $2::text::uuid[], $3)",
        _array(tenants),
        _array(runs),
        reason,
        timeout=PATIENCE,
    )
    return released


async def beat(
    connection: Connection,
    replica: str,
    tenants: Sequence[UUID],
    runs: Sequence[UUID],
    *,
    lease: timedelta,
    patience: timedelta,
    process: str | None = None,
) -> tuple[set[UUID], list[str]]:
    row = await connection.fetchrow(
        "select b.lost::text[], b.peers "
        "from reactor.beat($1, $2::text::uuid[], $3::text::uuid[], $4, $5, $6) b",
        replica,
        _array(tenants),
        _array(runs),
        lease,
        patience,
        process,
        timeout=PATIENCE,
    )
    assert row is not None
    return set(map(UUID, row["lost"])), list(row["peers"])


async def probe(connection: Connection) -> None:
    """Raises TimeoutError soon when the connection lost its other end."""
    await connection.execute("select 1", timeout=PATIENCE / 4)


async def busy_backends(connection: Connection, pids: Sequence[int]) -> tuple[int, set[int]]:
    """The backend that answers, and which of ``pids`` are working on a statement.

    A role sees the state of its own sessions only, which these are. Asked when connections are in doubt, so
    one that does not answer soon is given up soon.
    """
    row = await connection.fetchrow(
        "select pg_catalog.pg_backend_pid() as own, array(select a.pid from pg_catalog.pg_stat_activity a "
        "where a.pid = any($1) and a.state in ('active', 'fastpath function call')) as busy",
        list(pids),
        timeout=PATIENCE / 4,
    )
    assert row is not None
    return row["own"], set(row["busy"])


async def free_name(connection: Connection, replica: str, process: str) -> str:
    name: str = await connection.fetchval(
        "select reactor.free_name($1, $2)", replica, process, timeout=PATIENCE
    )
    return name


async def enlist(
    connection: Connection, replica: str, *, patience: timedelta, version: str, info: dict[str, Any]
) -> int:
    slot: int = await connection.fetchval(
        "select reactor.enlist($1, $2, $3, $4::text::jsonb)",
        replica,
        patience,
        version,
        _json(info),
        timeout=PATIENCE,
    )
    return slot


async def is_handled(connection: Connection, event_type: str) -> bool:
    """Whether a live replica has a handler for this type."""
    handled: bool = await connection.fetchval(
        "select exists (select from reactor.list_replicas() r where r.alive and r.info -> 'types' ? $1)",
        event_type,
        timeout=PATIENCE,
    )
    return handled


async def retire(connection: Connection, replica: str, process: str | None = None) -> None:
    await connection.execute("select reactor.retire($1, $2)", replica, process, timeout=PATIENCE)


async def arm(connection: Connection, slot: int, *, armed: bool, process: str | None = None) -> None:
    await connection.execute("select reactor.arm($1, $2, $3)", slot, armed, process, timeout=PATIENCE)


async def ring(connection: Connection) -> None:
    await connection.execute("select reactor.ring()", timeout=PATIENCE)


async def notifiers_wait(connection: Connection) -> bool:
    """Whether commits stand in a queue behind one that notifies."""
    return bool(await connection.fetchval("select reactor.notifiers_wait()", timeout=PATIENCE))


async def open_writers(connection: Connection, *, timer: bool = False) -> set[str]:
    return set(await connection.fetchval("select reactor.open_writers($1)", timer, timeout=PATIENCE))


async def tend_canary(connection: Connection, every: timedelta) -> tuple[float | None, float | None]:
    """Seconds since one was last sent (none ever was), and for which none came through (the last one did)."""
    row = await connection.fetchrow(
        "select extract(epoch from t.age)::float8 as age, extract(epoch from t.silence)::float8 as silence "
        "from reactor.tend_canary($1) t",
        every,
        timeout=PATIENCE,
    )
    assert row is not None
    return row["age"], row["silence"]


async def lead(
    connection: Connection, replica: str, lease: timedelta, *, process: str | None = None
) -> int | None:
    term: int | None = await connection.fetchval(
        "select reactor.lead($1, $2, $3)", replica, lease, process, timeout=PATIENCE
    )
    return term


async def resign(connection: Connection, term: int) -> None:
    await connection.execute("select reactor.resign($1)", term, timeout=PATIENCE)


async def sweep(connection: Connection, term: int, limit: int) -> Swept:
    row = await connection.fetchrow(
        "select clocks, events, leases from reactor.sweep($1, $2)", term, limit, timeout=PATIENCE
    )
    assert row is not None
    return Swept(row["clocks"], row["events"], row["leases"])


async def next_deadline(connection: Connection, at_most: timedelta, jobs: Sequence[str]) -> timedelta:
    delay: timedelta = await connection.fetchval(
        "select reactor.next_deadline($1, $2)", at_most, jobs, timeout=PATIENCE
    )
    return delay


async def rotate(connection: Connection, term: int, *, dead: int, live: int) -> tuple[Rotated, int, int]:
    """What was done, and how many live events and dead rows there were."""
    row = await connection.fetchrow(
        "select outcome, live, dead from reactor.rotate($1, $2, $3)", term, dead, live, timeout=_WALK
    )
    assert row is not None
    return row["outcome"], row["live"], row["dead"]


async def cut_off(connection: Connection) -> int:
    cut: int = await connection.fetchval("select reactor.cut_off()", timeout=PATIENCE)
    return cut


async def unpark(connection: Connection, limit: int) -> int:
    ready: int = await connection.fetchval("select reactor.unpark($1)", limit, timeout=PATIENCE)
    return ready


async def start_job(
    connection: Connection, term: int, name: str, every: timedelta, *, catch_up: bool, replica: str
) -> datetime | None:
    due: datetime | None = await connection.fetchval(
        "select reactor.start_job($1, $2, $3, $4, $5)", term, name, every, catch_up, replica, timeout=PATIENCE
    )
    return due


async def due_jobs(connection: Connection, jobs: Sequence[str]) -> list[str]:
    return list(await connection.fetchval("select reactor.due_jobs($1)", jobs, timeout=PATIENCE))


async def finish_job(connection: Connection, term: int, name: str, error: str | None) -> None:
    await connection.execute("select reactor.finish_job($1, $2, $3)", term, name, error, timeout=PATIENCE)


def _array(values: Iterable[object]) -> str:
    """Numbers, truth values or UUIDs as PostgreSQL writes an array of them."""
    return "{" + ",".join(map(str, values)) + "}"


def _json(value: list[dict[str, Any]] | dict[str, Any]) -> str | None:
    return orjson.dumps(value, default=str).decode() if value else None
