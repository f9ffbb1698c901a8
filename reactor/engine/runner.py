"""Takes one tenant's events through their handlers under one lease, and settles what came of it.

A run goes through its events in order, in segments. A segment is what commits together: it ends with the
batch, when it has lasted a tenth of a second, after 32 savepoints (more would overflow what
Postgres keeps of subtransactions in shared memory, and slow every snapshot of the server), or when a
gate moved. Then it is settled, and the run goes on under the same lease or gives it back.

A run with a long backlog, whose handlers write nothing, has the next batch in hand while the last one is
being settled: the server and the handlers work at the same time. One settlement at a time is on its way, and
what a handler writes waits for it, so what is committed is committed in order.

When a segment cannot commit (a deferred constraint, an error that a handler swallowed), nobody knows whose
fault it is: its events are done again one by one, each in a transaction of its own.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

import anyio
import asyncpg
import structlog

from reactor.db import calls
from reactor.db.borrow import LOST, PATIENCE, borrow
from reactor.engine.caller import MOST_SAVEPOINTS, Caller
from reactor.engine.interruption import (
    Interrupted,
    cut_short,
    forget_cancellation,
    is_refusal,
    say_unforeseen,
)
from reactor.engine.judge import Judge
from reactor.engine.run import Limits, Rows, Run, Segment
from reactor.engine.scope import NoConnection, Scope
from reactor.engine.scoped_db import ScopedDb
from reactor.engine.settler import Settler
from reactor.errors import Fenced, ReactorError, ScopeBroken, kind_of, text_of
from reactor.events import Event
from reactor.telemetry import metrics, names

if TYPE_CHECKING:
    Pool = asyncpg.Pool[asyncpg.Record]
else:
    Pool = asyncpg.Pool

log = structlog.get_logger("reactor.runner")

_UNACKNOWLEDGED = "the run could acknowledge nothing: its lease was gone, or its handler gave that away"
_LONGEST_TURN = 1.0
#: A lone tenant whose backlog goes quickly brings more and more at a time, up to so many batches. Two
#: such lists are in flight, and longer ones would not fit in a page of reactor.in_flight without compression.
_LONGEST_LIST = 2


class Runner:
    """Shared by all runs of a replica; a run's own state is in Run, Segment and Scope."""

    def __init__(
        self,
        *,
        pool: Pool,
        shares_sessions: bool,
        settler: Settler,
        caller: Caller,
        judge: Judge,
        limits: Limits,
        may_keep: Callable[[], bool],
        is_alone: Callable[[], bool],
        is_draining: Callable[[], bool],
        no_connection: Callable[[], None],
    ) -> None:
        self._pool = pool
        self._shares_sessions = shares_sessions
        self._settler = settler
        self._caller = caller
        self._judge = judge
        self._limits = limits
        self._may_keep = may_keep
        self._is_alone = is_alone
        self._is_draining = is_draining
        self._no_connection = no_connection

    async def work(self, run: Run) -> None:
        """Everything this replica does under one lease. Never raises but for cancellation by the drain."""
        run.task = asyncio.current_task()
        run.checkpoint = partial(self._caller.checkpoint, run)
        scope = run.scope = Scope(self._pool, run.tenant_id, run.run_id, shares_session=self._shares_sessions)
        run.open_db = partial(ScopedDb, scope)
        try:
            await self._go_through(run, scope)
        except Fenced:
            metrics.RUNS_LOST.inc()
            log.warning(names.RUN_LOST, tenant_id=str(run.tenant_id), run_id=str(run.run_id))
            # An acknowledgement is refused, too, where a commit whose answer was lost had made it already, or
            # where the handler's own transaction gave the lease away, which is undone: then it is ours still,
            # and nobody else would give it back. Counted, or that handler would be called for ever.
            await _quietly_roll_back(scope)
            await self._settler.abandon([run], interrupted=True, reason=_UNACKNOWLEDGED)
            self._settler.released()
        except (Interrupted, *LOST) as error:
            log.warning(
                names.RUN_INTERRUPTED,
                tenant_id=str(run.tenant_id),
                run_id=str(run.run_id),
                error=text_of(Interrupted.by(error)),
            )
            await self._give_back(run, scope, error)
        except Exception as error:
            # A mistake of ours costs this turn, and not the replica that all other tenants depend on.
            say_unforeseen(log, error, tenant_id=str(run.tenant_id), run_id=str(run.run_id))
            await self._give_back(run, scope, error)
        except asyncio.CancelledError:
            reason = "the replica stopped" if run.stopped else "its task was cancelled, not by the reactor"
            with anyio.CancelScope(shield=True):
                await _quietly_roll_back(scope)
                if run.lost:
                    metrics.RUNS_LOST.inc()
                    log.warning(names.RUN_LOST, tenant_id=str(run.tenant_id), run_id=str(run.run_id))
                else:
                    await _come_to_rest(run)
                    await self._settler.abandon([run], interrupted=True, reason=reason)
            if not run.lost:
                raise
            forget_cancellation()
        finally:
            run.calling_since = 0.0
            # Without the circles it goes at once; thousands a second would keep the collector at work.
            run.segment = run.checkpoint = None
            if scope.connection is not None:
                with anyio.CancelScope(shield=True):
                    await _quietly_roll_back(scope)

    async def _give_back(self, run: Run, scope: Scope, error: Exception) -> None:
        """Nothing more of this run is settled: its transaction is cut, its events are another run's."""
        scope.terminate()
        await _come_to_rest(run)
        untried = isinstance(error.__cause__, NoConnection)
        if untried:
            # Nothing was begun that they could have broken. Without a pause the next ones fare the same.
            self._no_connection()
        told = text_of(Interrupted.by(error)) or kind_of(error)
        await self._settler.abandon([run], interrupted=not untried, reason=told, refused=is_refusal(error))

    async def _go_through(self, run: Run, scope: Scope) -> None:
        """Handle and settle until there is nothing more for this turn."""
        rows = run.rows
        segment = Segment(run)
        #: events of this segment that were handled before ``rows``
        handled: Rows = []
        #: how many events are to be done one by one, because together they could not be committed
        solo = 0
        batch = self._limits.batch

        def is_enough(taken: int) -> bool:
            return len(handled) + taken >= self._limits.batch and not self._may_keep()

        while rows:
            run.is_suspect = run.is_suspect or rows[0]["interruptions"] > 0
            part, rest = (rows, []) if len(rows) <= batch else (rows[:batch], rows[batch:])
            try:
                taken = await self._caller.handle(
                    run, scope, segment, part, solo=solo > 0, is_enough=is_enough
                )
                if run.coming is not None:
                    rest = [*rest, *await _arrive(run)]
                goes_on = rest and taken == len(part) and not solo and scope.connection is None
                # Where others wait for the slot, a batch is a turn: what is left in hand was not begun.
                if goes_on and not is_enough(taken):
                    rows, handled = rest, [*handled, *part]
                    if self._may_keep() and not run.capped and not self._is_draining():
                        # It is quick (or part of it would be left): the longer the list, the less each costs,
                        # and the longer others wait for the processor, if there are any.
                        longest = _LONGEST_LIST if self._is_alone() else 1
                        batch = min(2 * batch, longest * self._limits.batch)
                        run.on_its_way = handled
                        run.coming = self._settler.submit(segment, batch=batch, ahead=rest)
                        segment, handled = Segment(run), []
                        # A handler that awaits nothing would keep the settler from sending it.
                        await asyncio.sleep(0)
                    continue
                batch = self._limits.batch
                whole = [*handled, *part, *rest] if handled or rest else part
                rows = await self._settle(run, scope, segment, whole, len(handled) + taken, solo=solo > 1)
                solo = max(0, solo - 1)
                # An event that a checkpoint put off may be here again.
                run.acknowledged.clear()
            except (ScopeBroken, asyncpg.PostgresError) as error:
                if cut_short(error, scope):
                    raise Interrupted.by(error) from error
                await _quietly_roll_back(scope)
                buried = await self._bury_unreadable(run, error)
                rest = [*rest, *await _arrive_or_redo(run, scope)]
                undecided = len(run.on_its_way) + len(segment.done) + len(segment.outcomes) + run.in_hand
                run.in_hand = 0
                # What a checkpoint acknowledged before is done; all else is done again.
                rows = [*run.on_its_way, *handled, *part, *rest]
                rows = [row for row in rows if row["id"] not in run.acknowledged]
                run.on_its_way = []
                if undecided > 1 or buried:
                    solo = undecided
                elif isinstance(error, asyncpg.ProgramLimitExceededError) and not run.is_last:
                    # It is this one's fault only if it happens without a next one, too.
                    run.is_last, solo = True, 1
                else:
                    rows = await self._settle_failed(run, segment, rows, error)
            segment, handled = Segment(run), []
            run.batch = batch

    async def _bury_unreadable(self, run: Run, error: Exception) -> bool:
        """What was to be settled may be all right, and what that was to bring next be too long to be sent."""
        if not isinstance(error, asyncpg.ProgramLimitExceededError):
            return False
        async with borrow(self._pool) as connection:
            return await calls.bury_unreadable(connection, run.tenant_id, 2 * self._limits.batch) > 0

    async def _settle(
        self,
        run: Run,
        scope: Scope,
        segment: Segment,
        rows: Rows,
        taken: int,
        *,
        solo: bool,
    ) -> Rows:
        if scope.broken:
            raise ScopeBroken("the transaction of this run was cut")
        turn = asyncio.get_running_loop().time() - run.claimed_at
        left = taken < len(rows)
        wanted = left or solo or len(rows) >= run.batch or rows[0]["interruptions"] > 0
        # Where others wait for the slot, a tenant has one batch a turn, however many segments that takes.
        spare = self._may_keep()
        run.taken = 0 if spare else run.taken + taken
        room = self._limits.batch - run.taken
        keep = (
            wanted
            and not run.is_last
            and not self._is_draining()
            # Who waits for a place under a cap holds no lease, so each turn ends with giving it up.
            and (solo or (not run.capped and (spare or (left and room > 0 and turn < _LONGEST_TURN))))
        )
        batch = 1 if solo else max(1, min(room, max(MOST_SAVEPOINTS, 2 * taken))) if left else None
        if scope.connection is not None:
            return await self._settler.settle_scope(scope, segment, more=keep, batch=batch)
        if not keep:
            # Nothing to wait for: the slot is free while the settlement is on its way.
            self._settler.hand_over(segment)
            return []
        # Two batches, where nobody waits for the slot: one is handled while the other is settled.
        return await self._settler.settle(segment, more=keep, batch=batch or 2 * self._limits.batch)

    async def _settle_failed(self, run: Run, segment: Segment, rows: Rows, error: Exception) -> Rows:
        """One event whose transaction could not be committed: that is its failure."""
        event: Event[object] = Event(rows[0])
        told = error
        if isinstance(error, asyncpg.InFailedSQLTransactionError):
            told = ReactorError(
                f"handler {run.handler} swallowed a database error, so nothing can be committed"
            )
        failed = Segment(run)
        self._judge.uncommitted(failed, event, told)
        return await self._settler.settle(failed, more=self._may_keep() and not run.is_last)


async def _arrive(run: Run) -> Rows:
    """The settlement that is on its way, and the events that it brought. Raises as it does."""
    assert run.coming is not None
    # Whoever is cancelled here must know how it ended before the lease is given back.
    rows = await asyncio.shield(run.coming)
    run.acknowledged.difference_update(row["id"] for row in run.on_its_way)
    run.coming, run.on_its_way = None, []
    return rows


async def _arrive_or_redo(run: Run, scope: Scope) -> Rows:
    """After an error: the settlement on its way may have succeeded, or else ``on_its_way`` is done again."""
    if run.coming is None:
        return ()
    try:
        return await _arrive(run)
    except asyncpg.PostgresError as error:
        if cut_short(error, scope):
            raise Interrupted.by(error) from error
        run.coming = None
        return ()


async def _come_to_rest(run: Run) -> None:
    """A settlement that extends the lease must not overtake the one that gives it back."""
    if run.coming is not None:
        with anyio.move_on_after(2 * PATIENCE), suppress(Exception):
            await asyncio.shield(run.coming)


async def _quietly_roll_back(scope: Scope) -> None:
    try:
        await scope.rollback()
    except LOST:
        pass  # the connection is gone, and the transaction with it
