"""Runs an app, until nothing is left or around a block."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import anyio
from anyio.abc import TaskStatus

from reactor.app import Reactor
from reactor.db.pool import Connection, connected
from reactor.errors import ReactorError
from reactor.settings import Settings

#: What could be done now: events that are ready or due, parked ones whose gate is open, clocks whose deadline
#: passed, periodic jobs that are due, under way or not yet known to the database; and leases of replicas.
_UNSETTLED = """
    exists (select from reactor.events e where e.available_at is null)
    or exists (select from reactor.events e where e.available_at <= reactor.now())
    or exists (
        select from reactor.events e where e.available_at = 'infinity' and reactor.is_open(e.tenant_id))
    or exists (
        select from public.engagement_clocks c where c.is_compliant and c.next_touch_due <= reactor.now())
    or exists (
        select from public.agent_tenant_locks l join reactor.replicas r on r.replica = l.lock_holder
        where l.expires_at > reactor.now())
    or exists (
        select from unnest($1::text[]) as j (name) left join reactor.schedules s on s.name = j.name
        where s.name is null or s.due_at <= reactor.now()
            or s.started_at is not null and s.finished_at is null)
"""


@dataclass(frozen=True, slots=True)
class Left:
    """What remains after :func:`drain`: events that wait for their time or their gate, and dead ones."""

    delayed: int
    parked: int
    dead: int


@asynccontextmanager
async def running(app: Reactor, database_url: str, **settings: Any) -> AsyncIterator[None]:
    """The app runs inside the block, as a replica of its own, and is drained at its end. It may run several
    times at once.

    ``settings`` are those of Settings, by field name. No canary is sent unless they say so.
    """
    options: dict[str, Any] = {
        "database_url": database_url,
        "drain_seconds": 5,
        "canary_seconds": 0,
        **settings,
    }
    own = Settings(**options)
    try:
        async with anyio.create_task_group() as group:

            async def start(*, task_status: TaskStatus[None]) -> None:
                await app.run(own, handle_signals=False, task_status=task_status)

            await group.start(start)
            try:
                yield
            finally:
                app.drain(own)
    except BaseExceptionGroup as errors:
        # What the block raised is meant for the test as it is.
        if len(errors.exceptions) > 1:
            raise
        raise errors.exceptions[0] from errors.exceptions[0].__cause__


async def drain(
    app: Reactor, database_url: str, *, within: timedelta = timedelta(seconds=30), **settings: Any
) -> Left:
    """Run the app until nothing is left that could be done now, its periodic jobs that are due included.

    Raises ReactorError with what is left when that takes longer than ``within``.
    """
    jobs = [job.name for job in app.jobs]
    async with connected(database_url, name="drain") as connection, running(app, database_url, **settings):
        await settled(connection, within=within, jobs=jobs)
        row = await connection.fetchrow(
            "select count(*) filter (where available_at < 'infinity') as delayed, "
            "count(*) filter (where available_at = 'infinity') as parked, "
            "(select count(*) from reactor.dead_events) as dead from reactor.events"
        )
        assert row is not None
        return Left(row["delayed"], row["parked"], row["dead"])


async def settled(
    connection: Connection, *, within: timedelta = timedelta(seconds=30), jobs: Sequence[str] = ()
) -> None:
    """Wait until nothing could be done now. Something else must be running the app.

    ``jobs``: names of periodic jobs to wait for. Raises ReactorError when it takes longer than ``within``.
    """
    try:
        async with asyncio.timeout(within.total_seconds()):
            unsettled = True
            while unsettled:
                unsettled = await connection.fetchval(f"select {_UNSETTLED}", jobs)
                await asyncio.sleep(0.01 if unsettled else 0)
    except TimeoutError:
        rows = await connection.fetch(
            "select event_type, count(*) as n from reactor.events "
            "where available_at is null or available_at <= reactor.now() group by 1 order by 1"
        )
        left = (
            ", ".join(f"{row['n']} {row['event_type']}" for row in rows) or "no event, but a lease or a job"
        )
        raise ReactorError(
            f"not settled within {within}: {left}",
            hint="is a handler waiting for something that does not come?",
        ) from None
