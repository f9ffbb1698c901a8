"""Settles: the acknowledgement, the handler's writes and the fence in one transaction.

A run whose handler wrote settles in that handler's transaction. Runs that wrote nothing are handed
to a few settling tasks, each of which takes all that wait and settles them in one statement: while one
commit is on its way to the disk, the next group gathers.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import UUID

import anyio
import asyncpg
import structlog

from reactor.db import calls
from reactor.db.borrow import LOST, PATIENCE, Held, borrow
from reactor.engine.interruption import is_refusal, is_servers, say_unforeseen
from reactor.engine.run import Rows, Run, Segment, rows_by_run
from reactor.engine.scope import Scope
from reactor.engine.settlement import is_sayable, settlement
from reactor.errors import Fenced, ScopeBroken, from_sqlstate, kind_of, storable, text_of
from reactor.telemetry import metrics, names

if TYPE_CHECKING:
    Pool = asyncpg.Pool[asyncpg.Record]
else:
    Pool = asyncpg.Pool

log = structlog.get_logger("reactor.settler")

#: At most so many runs in one settling statement.
_GROUP = 500
#: How long a settlement waits for runs that end one right after the other, in seconds …
_GATHER = 0.002
#: … for as long as none of so many turns of the loop goes by without one …
_QUIET_TURNS = 3
#: … and unless so many events are to be settled already.
_ENOUGH = 200
#: How long runs wait for the session that is at work until a second one is used, in seconds: one that was
#: not in use is slow at first, and costs the server more than the first one does.
_PATIENT = 0.05
#: For so many seconds after a settlement its connection is kept for the next.
_LINGER = 0.5
#: The longest pause before a refused lease is offered again, in seconds. No settling task waits for its end.
_REFUSED = 0.3


@dataclass(frozen=True, slots=True, eq=False)
class _Waiting:
    """What one run wants settled."""

    segment: Segment
    #: whether the run goes on, with at most so many events, beside those that it has in hand
    more: bool
    batch: int
    ahead: Rows
    #: who waits for its next events; nobody: handed over
    future: asyncio.Future[Rows] | None


class Settler:
    """Started by the engine; stops when its task group is cancelled, after the drain."""

    def __init__(
        self,
        pool: Pool,
        *,
        batch: int,
        lease: timedelta,
        gated: Sequence[str],
        released: Callable[[], None],
    ) -> None:
        self._pool = pool
        #: called when leases were given back or lost: what came meanwhile rang when nobody could take it
        self.released = released
        self._batch = batch
        self._lease = lease
        self._gated = list(gated)
        self._waiting: list[_Waiting] = []
        #: settling tasks without work, the last one that had some at the end: its session is warm, and the
        #: others are opened only when one is not enough
        self._idle: list[asyncio.Event] = []
        #: how many of them are settling
        self._at_work = 0
        self.until = float("inf")  #: loop time from which a drain gives no lease back any more
        #: runs that were handed over and whose leases are still ours
        self.settling: set[Run] = set()
        #: set whenever some of those are settled
        self.settled = asyncio.Event()

    def submit(
        self, segment: Segment, *, more: bool = True, batch: int | None = None, ahead: Rows = ()
    ) -> asyncio.Future[Rows]:
        """Settle a run that wrote nothing, together with others; the future holds its next events.

        ``ahead``: events under the same lease that the run has in hand already. The future raises Fenced
        when the lease was lost, and the driver's error when the connection was.
        """
        future: asyncio.Future[Rows] = asyncio.get_running_loop().create_future()
        # Whoever ends early need not ask how it ended.
        future.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
        self._add(_Waiting(segment, more, batch or self._batch, ahead, future))
        return future

    async def settle(self, segment: Segment, *, more: bool, batch: int | None = None) -> Rows:
        """:meth:`submit`, and wait for it."""
        return await self.submit(segment, more=more, batch=batch)

    def hand_over(self, segment: Segment) -> None:
        """Settle and release a run that wrote nothing, without anybody waiting for it.

        A lost lease is logged, a lost connection ends in :meth:`abandon`: either way the events are safe.
        """
        self.settling.add(segment.run)
        self._add(_Waiting(segment, False, self._batch, (), None))

    def _add(self, waiting: _Waiting) -> None:
        self._waiting.append(waiting)
        # What comes before a task that was woken had its turn goes with this one.
        if len(self._waiting) == 1:
            if self._at_work:
                asyncio.get_running_loop().call_later(_PATIENT, self._wake)
            else:
                self._wake()

    def _wake(self) -> None:
        if self._idle and self._waiting:
            self._idle.pop().set()

    async def settle_scope(
        self, scope: Scope, segment: Segment, *, more: bool, batch: int | None = None
    ) -> Rows:
        """Settle a run in its handler's transaction, and commit that.

        Raises Fenced or ScopeBroken when nothing was committed, the driver's error when a deferred
        constraint failed (nothing committed) or the connection was lost (unknown).
        """
        try:
            connection = await scope.leave_role()
            rows = await calls.settle(
                connection,
                settlement([segment], [more]),
                batch=batch or self._batch,
                lease=self._lease,
                gated=self._gated,
                scope=segment.run.tenant_id,
            )
        except asyncpg.PostgresError as error:
            raise _ours(error) or error from None
        await scope.commit()
        _count([segment])
        if not rows:
            self.released()
        return rows

    async def checkpoint(self, scope: Scope, segment: Segment) -> None:
        """Commit what the handler wrote so far, fenced; of the segment, what came before is acknowledged."""
        try:
            connection = await scope.leave_role()
            await calls.checkpoint(connection, settlement([segment], [True]))
        except asyncpg.PostgresError as error:
            # The role that was left comes back with whatever this transaction goes back to: nothing is cut.
            scope.fencing = False
            raise _ours(error) or error from None
        await scope.commit()
        _count([segment])

    async def abandon(
        self, runs: Sequence[Run], *, interrupted: bool, reason: str | None, refused: bool = False
    ) -> None:
        """Give leases back unsettled; tries until the server answers, or the lease or the drain is over.
        ``refused``: their settlement was, and perhaps will be each time."""
        tenants = [run.tenant_id for run in runs]
        ids = [run.run_id for run in runs]
        for run in runs:
            # No handler works for it any more, and who claims it again may be we.
            run.is_suspect = False
        reason = None if reason is None else storable(reason)
        until, wait = asyncio.get_running_loop().time() + self._lease.total_seconds(), 0.1
        while True:
            try:
                async with borrow(self._pool) as connection:
                    if refused:
                        await calls.suspend(connection, tenants, ids, reason=reason)
                    else:
                        await calls.abandon(connection, tenants, ids, interrupted=interrupted, reason=reason)
            except LOST as error:
                if is_refusal(error):
                    if len(runs) > 1:
                        # It is one of them, and the others must not bear it.
                        for run in runs:
                            await self.abandon([run], interrupted=interrupted, reason=reason, refused=refused)
                        return
                    until = min(until, asyncio.get_running_loop().time() + _REFUSED)
                if asyncio.get_running_loop().time() + wait > min(until, self.until):
                    log.warning(names.ABANDON_FAILED, runs=[str(i) for i in ids], error=str(error))
                    return
                await anyio.sleep(wait)
                wait = min(wait * 2, 2.0)
            else:
                return

    async def last_error(self, event_id: int) -> str:
        """The last error that is kept with an event; a claim does not bring it. Empty if it is unknown."""
        try:
            async with borrow(self._pool) as connection:
                said = await connection.fetchval(
                    "select reactor.read_event($1) -> 'errors' -> -1 ->> 'error'", event_id, timeout=PATIENCE
                )
        except LOST:
            return ""  # without it the reason is shorter
        return str(said or "")

    async def run(self) -> None:
        """One settling task; the engine starts two."""
        held = Held(self._pool)
        try:
            while True:
                while not self._waiting:
                    arrived = asyncio.Event()
                    self._idle.append(arrived)
                    try:
                        async with asyncio.timeout(None if held.is_empty else _LINGER):
                            await arrived.wait()
                    except TimeoutError:
                        await held.release()
                    finally:
                        if arrived in self._idle:
                            self._idle.remove(arrived)
                self._at_work += 1
                try:
                    await self._gather()
                    group, self._waiting = self._waiting[:_GROUP], self._waiting[_GROUP:]
                    if self._waiting:
                        self._wake()
                    with anyio.CancelScope(shield=True):
                        await self._settle_or_fail(group, held)
                        self.settling.difference_update([waiting.segment.run for waiting in group])
                        self.settled.set()
                finally:
                    self._at_work -= 1
        finally:
            with anyio.CancelScope(shield=True):
                await held.release()

    async def _gather(self) -> None:
        """Small runs that end in the same moment are settled together: a commit costs more than they do."""
        clock = asyncio.get_running_loop().time
        until, quiet = clock() + _GATHER, 0
        while quiet < _QUIET_TURNS and clock() < until:
            if sum(map(_weight, self._waiting)) >= _ENOUGH:
                return
            seen = len(self._waiting)
            await asyncio.sleep(0)
            quiet = 0 if len(self._waiting) > seen else quiet + 1

    async def _settle_or_fail(self, group: list[_Waiting], held: Held) -> None:
        """Whatever happens to these, the next group is settled."""
        try:
            await self._settle_group(group, held)
        except Exception as error:
            say_unforeseen(log, error, runs=len(group))
            # Of what was not settled nothing is acknowledged: the leases are given back as they are.
            await self._fail(group, error)

    async def _settle_group(self, group: list[_Waiting], held: Held) -> None:
        while group:
            batch = min(waiting.batch for waiting in group)
            try:
                async with held.use() as connection:
                    rows = await calls.settle(
                        connection,
                        settlement(
                            [waiting.segment for waiting in group],
                            [waiting.more for waiting in group],
                            [row["id"] for waiting in group for row in waiting.ahead],
                        ),
                        batch=batch,
                        lease=self._lease,
                        gated=self._gated,
                    )
            except asyncpg.PostgresError as error:
                if is_servers(error):
                    # It may have been committed before the connection was lost, so it is not said again.
                    await self._fail(group, error)
                    return
                if len(group) == 1:
                    await self._fail(group, _ours(error) or error)
                    return
                lost = _lost_runs(error)
                gone = [waiting for waiting in group if waiting.segment.run.run_id in lost]
                if not gone:
                    # Nobody knows whose fault it is, and the others must not bear it.
                    for waiting in group:
                        await self._settle_or_fail([waiting], held)
                    return
                # Those that lost their lease are told; the others settle without them.
                await self._fail(gone, Fenced("the lease was lost: nothing is committed"))
                group = [waiting for waiting in group if waiting not in gone]
            except LOST as error:
                await self._fail(group, error)
                return
            except Exception as error:
                unsayable = [waiting for waiting in group if not is_sayable(waiting.segment)]
                if not unsayable:
                    raise
                # Nothing was sent, and the others must not bear it.
                say_unforeseen(log, error, runs=len(unsayable))
                await self._fail(unsayable, error)
                group = [waiting for waiting in group if waiting not in unsayable]
            else:
                _count([waiting.segment for waiting in group])
                next_rows = rows_by_run(rows)
                for waiting in group:
                    future = waiting.future
                    if future is not None and not future.done():
                        future.set_result(next_rows.get(waiting.segment.run.run_id, []))
                if any(w.segment.run.run_id not in next_rows and not w.ahead for w in group):
                    self.released()
                return

    async def _fail(self, group: Sequence[_Waiting], error: BaseException) -> None:
        handed_over = [waiting.segment.run for waiting in group if waiting.future is None]
        for waiting in group:
            if waiting.future is not None and not waiting.future.done():
                waiting.future.set_exception(error)
        if not handed_over:
            return
        if isinstance(error, Fenced):
            metrics.RUNS_LOST.inc(len(handed_over))
            log.warning(names.RUN_LOST, runs=[str(run.run_id) for run in handed_over])
            self.released()
        else:
            log.warning(names.RUN_INTERRUPTED, runs=len(handed_over), error=text_of(error))
            # Whoever holds a row of theirs holds up giving them back as well: their leases run out.
            if not isinstance(error, asyncpg.LockNotAvailableError):
                told = text_of(error) or kind_of(error)
                await self.abandon(handed_over, interrupted=True, reason=told, refused=is_refusal(error))


def _weight(waiting: _Waiting) -> int:
    """Its events; where somebody waits for the next ones, as many as it takes."""
    return len(waiting.segment.done) if waiting.future is None else _ENOUGH


def _lost_runs(error: asyncpg.PostgresError) -> set[UUID]:
    """Which runs the fence names. The DETAIL of any other error is prose."""
    if not isinstance(_ours(error), Fenced):
        return set()
    return {UUID(run) for run in (error.detail or "").split(",") if run}


def _ours(error: asyncpg.PostgresError) -> Fenced | ScopeBroken | None:
    ours = from_sqlstate(error.sqlstate, str(error))
    return ours if isinstance(ours, Fenced | ScopeBroken) else None


def _count(segments: Sequence[Segment]) -> None:
    metrics.EVENTS_SETTLED.labels("handled").inc(sum(len(s.done) for s in segments))
    for segment in segments:
        for outcome in segment.outcomes:
            metrics.EVENTS_SETTLED.labels(outcome.verdict).inc()
