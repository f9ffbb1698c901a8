"""Periodic jobs: each is run by the leader, once in the fleet, in a transaction that its term fences."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import anyio
import asyncpg
import structlog
from anyio.abc import TaskGroup
from structlog.typing import FilteringBoundLogger

from reactor.context import payload_json
from reactor.db import calls
from reactor.db.borrow import LOST, PATIENCE, Borrowed, cut
from reactor.handlers import Job
from reactor.telemetry import names

if TYPE_CHECKING:
    Pool = asyncpg.Pool[asyncpg.Record]
else:
    Pool = asyncpg.Pool

log = structlog.get_logger("reactor.schedule")

#: Periodic jobs of the application that run at once; the others wait. Housekeeping has a place of its own.
_AT_ONCE = 2


@dataclass(frozen=True, slots=True)
class JobContext:
    """What a periodic job is given.

    ``db`` is a transaction with the replica's own rights, for no tenant in particular; it commits when
    the job returns and this replica still leads. To work for tenants, emit an event for each.
    """

    db: calls.Connection
    log: FilteringBoundLogger
    #: the moment this run is for, which is not now when it is late
    due_at: datetime
    resources: Any
    term: int

    async def emit(
        self,
        tenant_id: UUID,
        event_type: str,
        payload: Any = None,
        *,
        subject_id: UUID | None = None,
        delay: timedelta = timedelta(0),
        priority: int = 0,
        dedup_key: str | None = None,
    ) -> int:
        """Emit an event for a tenant, in the job's transaction; returns its id."""
        emitted: int = await self.db.fetchval(
            "select reactor.emit($1, $2, $3::text::jsonb, $4, $5, $6, $7)",
            tenant_id,
            event_type,
            payload_json(payload),
            subject_id,
            delay,
            priority,
            dedup_key,
        )
        return emitted


class Schedule:
    """One turn of leadership's periodic jobs."""

    def __init__(
        self,
        *,
        pool: Pool,
        jobs: Sequence[Job],
        term: int,
        replica: str,
        resources: Any,
        group: TaskGroup,
        ended: Callable[[], None],
    ) -> None:
        self._pool = pool
        self._jobs = {job.name: job for job in jobs}
        self._term = term
        self._replica = replica
        self._resources = resources
        self._group = group
        self._ended = ended
        # Each holds a connection of the engine's own, of which there are few.
        self._room = {True: anyio.CapacityLimiter(_AT_ONCE), False: anyio.CapacityLimiter(1)}

    @property
    def names(self) -> list[str]:
        return list(self._jobs)

    async def register(self, connection: calls.Connection) -> None:
        """Make every job known, and start those that are due or that an earlier term left unfinished."""
        for job in self._jobs.values():
            await self._start(connection, job)

    async def start_due(self, connection: calls.Connection) -> None:
        """Start what is due, each in a task of its own."""
        for name in await calls.due_jobs(connection, self.names):
            await self._start(connection, self._jobs[name])

    async def _start(self, connection: calls.Connection, job: Job) -> None:
        due = await calls.start_job(
            connection, self._term, job.name, job.every, catch_up=job.catch_up, replica=self._replica
        )
        if due is not None:
            self._group.start_soon(self._run, job, due, name=f"job {job.name}")

    async def _run(self, job: Job, due: datetime) -> None:
        bound = log.bind(job=job.name)
        async with self._room[job.in_transaction]:
            await self._perform(job, due, bound)
        # Its next moment may be near, or past already; the timer leaves out what is under way.
        self._ended()

    async def _perform(self, job: Job, due: datetime, bound: FilteringBoundLogger) -> None:
        try:
            async with asyncio.timeout(job.timeout.total_seconds()):
                if job.in_transaction:
                    async with (
                        self._pool.acquire() as connection,
                        _cleaned(connection),
                        connection.transaction(),
                    ):
                        # Of a leader that vanished, the server undoes it, rather than keep its rows locked.
                        silence = int((job.timeout.total_seconds() + 30) * 1000)
                        await connection.execute(f"set local idle_in_transaction_session_timeout = {silence}")
                        await job.function(self._context(connection, bound, due))
                        await calls.finish_job(connection, self._term, job.name, None)
                else:
                    async with self._pool.acquire() as connection:
                        await job.function(self._context(connection, bound, due))
                        await calls.finish_job(connection, self._term, job.name, None)
            bound.debug(names.JOB_DONE)
        except Exception as error:
            told = str(error) or type(error).__name__
            bound.error(names.JOB_FAILED, error=told)
            # When the server is gone too, the next leader finds the run unfinished and starts it again.
            with suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                async with self._pool.acquire() as connection:
                    await calls.finish_job(connection, self._term, job.name, told[:2000])

    def _context(
        self, connection: calls.Connection, bound: FilteringBoundLogger, due: datetime
    ) -> JobContext:
        return JobContext(connection, bound, due, self._resources, self._term)


@asynccontextmanager
async def _cleaned(connection: Borrowed) -> AsyncIterator[None]:
    """What an application's job left in the session (settings, locks, temporary tables) goes before the
    engine has the connection again; with one that cannot be cleaned, the connection."""
    try:
        yield
    finally:
        try:
            await connection.execute("discard temp", timeout=PATIENCE)
            await connection.reset(timeout=PATIENCE)
        except BaseException as error:
            cut(connection)
            if not isinstance(error, LOST):
                raise
