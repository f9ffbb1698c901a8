"""Periodic jobs: each is run by the leader, once in the fleet, in a transaction that its term fences."""

import asyncio
import math
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
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
from reactor.db.borrow import LOST, PATIENCE, Borrowed, borrow, cut
from reactor.db.pool import Pool
from reactor.errors import NotLeader, ReactorError, from_sqlstate, kind_of, text_of
from reactor.frames import where_raised
from reactor.handlers import Job, refuse_unawaited
from reactor.telemetry import names
from reactor.unawaited import Unawaited
from reactor.upkeep.apart import apart
from reactor.upkeep.job_db import JobDb

if TYPE_CHECKING:
    from reactor.telemetry.spans import Spans

log = structlog.get_logger("reactor.schedule")

#: Periodic jobs of the application that run at once; the others wait. Housekeeping has a place of its own.
_AT_ONCE = 2
#: Seconds between two tries to note how one ended, at first and at most.
_AGAIN = (0.2, 5.0)
#: How much longer than its job may take a transaction may be silent, in seconds; and what the setting for it
#: takes at most, in milliseconds.
_CLEARANCE = 30
_LONGEST_SILENCE = 2**31 - 1
#: A superuser's job has a replica's rights, as its handlers have theirs: what was only ever tried as a
#: superuser would be refused in production.
_BEGIN = """
    select pg_catalog.set_config('idle_in_transaction_session_timeout', $1, true), (
        select pg_catalog.set_config('role', 'reactor', true)
        from pg_catalog.pg_roles r where r.rolname = session_user and r.rolsuper)
"""


@dataclass(frozen=True, slots=True)
class JobContext:
    """What a periodic job is given.

    ``db`` is a transaction with the replica's own rights (a superuser's has those of role ``reactor``),
    for no tenant in particular; it commits when the job returns and this replica still leads. To work for
    tenants, emit an event for each.
    """

    db: calls.Connection
    log: FilteringBoundLogger
    #: the moment this run is for, which is not now when it is late
    due_at: datetime
    resources: Any
    term: int
    unawaited: Unawaited = field(default_factory=Unawaited, repr=False)

    def emit(
        self,
        tenant_id: UUID,
        event_type: str,
        payload: Any = None,
        *,
        subject_id: UUID | None = None,
        delay: timedelta = timedelta(0),
        priority: int = 0,
        dedup_key: str | None = None,
    ) -> Coroutine[Any, Any, int]:
        """Emit an event for a tenant, in the job's transaction; returns its id."""
        given = (subject_id, delay, priority, dedup_key)
        return self.unawaited.note("ctx.emit()", self._emit(tenant_id, event_type, payload, *given))

    async def _emit(self, tenant_id: UUID, event_type: str, payload: Any, *given: Any) -> int:
        emitted: int = await self.db.fetchval(
            "select reactor.emit($1, $2, $3::text::jsonb, $4, $5, $6, $7)",
            tenant_id,
            event_type,
            payload_json(payload),
            *given,
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
        spans: "Spans | None",
        group: TaskGroup,
        ended: Callable[[], None],
    ) -> None:
        self._pool = pool
        self._jobs = {job.name: job for job in jobs}
        self._term = term
        self._replica = replica
        self._resources = resources
        self._spans = spans
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
            self._group.start_soon(self._run, job, due, name=f"keeper of job {job.name}")

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
                        silence = int((job.timeout.total_seconds() + _CLEARANCE) * 1000)
                        silence = min(silence, _LONGEST_SILENCE)
                        await connection.execute(_BEGIN, str(silence))
                        await self._call_traced(job, self._context(connection, bound, due))
                        await calls.finish_job(connection, self._term, job.name, None)
                else:
                    async with self._pool.acquire() as connection:
                        await self._call(job, self._context(connection, bound, due))
                        await calls.finish_job(connection, self._term, job.name, None)
            bound.debug(names.JOB_DONE)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            # Whatever it is of (sys.exit(), a task of the job's that was cancelled), unless we are to end.
            if anyio.current_effective_deadline() == -math.inf:
                # A thread that it waited for may outlive it, without a name.
                bound.info(names.JOB_CUT_SHORT)
                raise
            told = text_of(error) or kind_of(error)
            bound.error(names.JOB_FAILED, error=told, **_where_and_hint(error))
            await self._note_failure(job, told)

    async def _call_traced(self, job: Job, ctx: JobContext) -> None:
        if self._spans is None:
            await self._call(job, ctx)
            return
        with self._spans.job(job.name, ctx.due_at) as span:
            # What it emits goes on in its trace.
            await ctx.db.execute("select set_config('reactor.traceparent', $1, true)", span.traceparent)
            await self._call(job, ctx)

    async def _call(self, job: Job, ctx: JobContext) -> None:
        name = f"job {job.name}"
        refuse_unawaited(name, await apart(name, lambda: job.function(ctx)))
        ctx.unawaited.refuse(name)

    async def _note_failure(self, job: Job, told: str) -> None:
        """Until it is accepted: a job that is not noted as ended would not be run again in this term.

        When another replica leads, or this one ends, the next leader finds the run unfinished and starts it
        again.
        """
        wait, longest = _AGAIN
        while True:
            try:
                async with borrow(self._pool) as connection:
                    await calls.finish_job(connection, self._term, job.name, told)
            except LOST as error:
                state = error.sqlstate if isinstance(error, asyncpg.PostgresError) else None
                if isinstance(from_sqlstate(state, ""), NotLeader):
                    return
                await anyio.sleep(wait)
                wait = min(2 * wait, longest)
            else:
                return

    def _context(self, connection: Borrowed, bound: FilteringBoundLogger, due: datetime) -> JobContext:
        unawaited = Unawaited()
        db = JobDb(connection, unawaited)
        return JobContext(db, bound, due, self._resources, self._term, unawaited)


def _where_and_hint(error: BaseException) -> dict[str, Any]:
    """Where in its author's code a job failed, and the next step where it is known."""
    told: dict[str, Any] = {"where": where} if (where := where_raised(error)) else {}
    match error:
        case ReactorError(hint=str(hint)):
            told["hint"] = hint
        case asyncpg.InsufficientPrivilegeError():
            told["hint"] = "a job has the rights of role reactor: grant it what this one needs"
        case _:
            pass
    return told


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
