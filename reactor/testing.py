"""For tests of apps: ``drain``, a clock that can be moved, a context that records.

    async def test_reminder(database_url):
        await emit_something(database_url)
        await drain(app, database_url)

``drain`` runs the app, with the real engine, until nothing is left that could be handled now.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import anyio

from reactor.app import Reactor
from reactor.db.pool import Connection, connected
from reactor.errors import ReactorError
from reactor.settings import Settings


@dataclass(frozen=True, slots=True)
class Left:
    """What remains in the outbox after :func:`drain`."""

    delayed: int
    parked: int
    dead: int


@asynccontextmanager
async def running(app: Reactor, database_url: str, **settings: Any) -> AsyncIterator[None]:
    """The app runs inside the block, as a replica of its own, and is drained at its end."""
    options: dict[str, Any] = {"database_url": database_url, "drain_seconds": 5, **settings}
    async with anyio.create_task_group() as group:

        async def start(*, task_status: anyio.abc.TaskStatus[None]) -> None:
            await app.run(Settings(**options), handle_signals=False, task_status=task_status)

        await group.start(start)
        try:
            yield
        finally:
            app.drain()


async def drain(
    app: Reactor, database_url: str, *, within: timedelta = timedelta(seconds=30), **settings: Any
) -> Left:
    """Run the app until no event is ready or in flight.

    Raises ReactorError with what is left when that takes longer than ``within``.
    """
    async with connected(database_url, name="drain") as connection, running(app, database_url, **settings):
        await settled(connection, within=within)
        row = await connection.fetchrow(
            "select count(*) filter (where available_at < 'infinity') as delayed, "
            "count(*) filter (where available_at = 'infinity') as parked, "
            "(select count(*) from reactor.dead_events) as dead from reactor.events"
        )
        assert row is not None
        return Left(row["delayed"], row["parked"], row["dead"])


async def settled(connection: Connection, *, within: timedelta = timedelta(seconds=30)) -> None:
    """Wait until no event is ready and no lease is held. Something else must be running the app."""
    try:
        async with asyncio.timeout(within.total_seconds()):
            while await connection.fetchval(
                "select exists (select from reactor.events where available_at is null) "
                "or exists (select from public.agent_tenant_locks where expires_at > reactor.now())"
            ):
                await asyncio.sleep(0.01)
    except TimeoutError:
        rows = await connection.fetch(
            "select event_type, count(*) as n from reactor.events where available_at is null group by 1"
        )
        left = ", ".join(f"{row['n']} {row['event_type']}" for row in rows) or "only a held lease"
        raise ReactorError(f"not settled within {within}: {left}") from None


class DatabaseClock:
    """Moves the clock that every function of schema reactor asks, in one test database.

    It replaces ``reactor.now()``; for databases that are thrown away only.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._offset = timedelta(0)

    async def advance(self, by: timedelta) -> None:
        """Let time pass; whoever sleeps until a deadline is woken to look again."""
        self._offset += by
        seconds = self._offset.total_seconds()
        await self._connection.execute(
            "create or replace function reactor.now() returns timestamptz language sql volatile parallel safe "
            f"return clock_timestamp() + make_interval(secs => {seconds!r}); "
            "select pg_notify('reactor', 'timer'), pg_notify('reactor', '')"
        )


class RecordedContext:
    """A Context for unit tests of handlers: remembers what was emitted and failed, needs no engine.

    ``db`` is a connection of the test's, or None for handlers that do not touch the database.
    """

    def __init__(self, *, tenant_id: Any, db: Any = None, events: Sequence[Any] = (), resources: Any = None):
        import uuid

        import structlog

        from reactor.context import RunCounters

        self.tenant_id = tenant_id
        self.run_id = uuid.uuid4()
        self.db = db
        self.events = events
        self.resources = resources
        self.run = RunCounters()
        self.log = structlog.get_logger("reactor.handler")
        self.emitted: list[dict[str, Any]] = []
        self.failures: dict[int, BaseException] = {}
        self.checkpoints = 0

    @property
    def idempotency_key(self) -> str:
        return str(self.events[0].event_id)

    async def emit(self, event_type: str, payload: Any = None, **options: Any) -> int:
        self.emitted.append({"type": event_type, "payload": payload or {}, **options})
        return len(self.emitted)

    async def checkpoint(self) -> None:
        self.checkpoints += 1

    def fail(self, event: Any, error: BaseException) -> None:
        self.failures[event.id] = error
