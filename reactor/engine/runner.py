"""Runs the handlers for one tenant's events, and decides what became of each.

A run goes through its events in order, in segments. A segment is what commits together: it ends with the
batch, when it has lasted a tenth of a second, after 32 savepoints (more would overflow what
Postgres keeps of subtransactions in shared memory, and slow every snapshot of the server), or when a
gate moved. Then it is settled, and the run goes on under the same lease or gives it back.

When a segment cannot commit (a deferred constraint, an error that a handler swallowed), nobody knows whose
fault it is: its events are done again one by one, each in a transaction of its own.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import anyio
import asyncpg
import structlog
from pydantic import ValidationError

from reactor.context import Context, RunCounters
from reactor.db.borrow import LOST, is_gone
from reactor.engine.caps import Caps
from reactor.engine.outcome import Outcome, Verdict, decide_failure, decide_unfit
from reactor.engine.run import Run, Segment
from reactor.engine.scope import Scope, ScopedDb, ScopeUnavailable
from reactor.engine.settler import Settler
from reactor.errors import Fenced, ReactorError, ScopeBroken
from reactor.events import Event
from reactor.handlers import HandlerSet, Subscription
from reactor.telemetry import metrics, names

if TYPE_CHECKING:
    Pool = asyncpg.Pool[asyncpg.Record]
else:
    Pool = asyncpg.Pool

log = structlog.get_logger("reactor.runner")

_MOST_SAVEPOINTS = 32
_LONGEST_SEGMENT = 0.1
_LONGEST_TURN = 1.0

# The server or the way to it failed, not the handler: admin_shutdown, crash_shutdown, cannot_connect_now,
# read_only_sql_transaction (a failover is under way), disk_full, out_of_memory, too_many_connections.
_INFRASTRUCTURE = {"57P01", "57P02", "57P03", "25006", "53100", "53200", "53300"}
#: The class of lost and refused connections.
_CONNECTION_CLASS = "08"


_LOGGED: dict[Verdict, str] = {
    "dead": names.EVENT_DEAD,
    "discard": names.EVENT_DISCARDED,
    "retry": names.EVENT_FAILED,
    "interrupted": names.EVENT_FAILED,
}


class Interrupted(Exception):
    """The infrastructure cut a run short; its events are not to blame."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What the settings say about a run."""

    batch: int
    max_attempts: int
    max_interruptions: int


class Runner:
    """Shared by all runs of a replica; a run's own state is in Run, Segment and Scope."""

    def __init__(
        self,
        *,
        pool: Pool,
        settler: Settler,
        handlers: HandlerSet,
        limits: Limits,
        caps: Caps,
        resources: Any,
        may_keep: Callable[[], bool],
        is_draining: Callable[[], bool],
    ) -> None:
        self._pool = pool
        self._settler = settler
        self._handlers = handlers
        self._limits = limits
        self._caps = caps
        self._resources = resources
        self._may_keep = may_keep
        self._is_draining = is_draining
        #: grows when a gate moved; a segment that began before ends early
        self.gate_moves = 0

    async def work(self, run: Run) -> None:
        """Everything this replica does under one lease. Never raises but for cancellation by the drain."""
        run.task = asyncio.current_task()
        scope = run.scope = Scope(self._pool, run.tenant_id, run.run_id)
        rows = run.rows
        solo = 0
        try:
            while rows:
                segment = Segment(run)
                try:
                    taken = await self._handle(run, scope, segment, rows, solo=solo > 0)
                    rows = await self._settle(run, scope, segment, rows, taken, solo=solo > 1)
                    solo = max(0, solo - 1)
                except (ScopeBroken, asyncpg.PostgresError) as error:
                    if _is_infrastructure(error, scope):
                        raise Interrupted(str(error)) from error
                    await _quietly_roll_back(scope)
                    # What a checkpoint acknowledged before is done; all else is done again.
                    rows = [row for row in rows if row["id"] not in run.acknowledged]
                    if len(segment.done) + len(segment.outcomes) > 1:
                        solo = len(segment.done) + len(segment.outcomes)
                        continue
                    rows = await self._settle_failed(run, segment, rows, error)
        except Fenced:
            metrics.RUNS_LOST.inc()
            log.warning(names.RUN_LOST, tenant_id=str(run.tenant_id), run_id=str(run.run_id))
            self._settler.released()
        except (Interrupted, *LOST) as error:
            log.warning(
                names.RUN_INTERRUPTED,
                tenant_id=str(run.tenant_id),
                run_id=str(run.run_id),
                error=str(error),
            )
            scope.terminate()
            await self._settler.abandon([run], interrupted=True, reason=str(error) or type(error).__name__)
        except asyncio.CancelledError:
            with anyio.CancelScope(shield=True):
                await _quietly_roll_back(scope)
                if run.lost:
                    metrics.RUNS_LOST.inc()
                    log.warning(names.RUN_LOST, tenant_id=str(run.tenant_id), run_id=str(run.run_id))
                else:
                    await self._settler.abandon([run], interrupted=True, reason="the replica stopped")
            if not run.lost:
                raise
            _forget_cancellation()
        finally:
            run.calling_since = 0.0
            with anyio.CancelScope(shield=True):
                await _quietly_roll_back(scope)

    async def _handle(
        self, run: Run, scope: Scope, segment: Segment, rows: Sequence[asyncpg.Record], *, solo: bool
    ) -> int:
        """Handle rows from the front until the segment must end; how many were taken."""
        clock = asyncio.get_running_loop().time
        began = clock()
        moves = self.gate_moves
        at = 0
        by_type = self._handlers.by_type
        limits = self._limits
        while at < len(rows):
            kind = rows[at]["event_type"]
            if solo:
                await self._caps.wait(kind)
            elif not self._caps.take(kind):
                run.capped = True
                break
            run.capped = run.capped or self._caps.is_capped(kind)
            try:
                subscriptions = by_type.get(kind, ())
                size = 1 if solo else max((s.batch or 1 for s in subscriptions), default=1)
                events: list[Event[Any]] = []
                while at < len(rows) and len(events) < size and rows[at]["event_type"] == kind:
                    event: Event[Any] = Event(rows[at])
                    at += 1
                    unfit = (
                        decide_unfit(
                            event,
                            subscriptions,
                            max_attempts=limits.max_attempts,
                            max_interruptions=limits.max_interruptions,
                        )
                        if event.was_tried or not subscriptions
                        else None
                    )
                    if unfit is None:
                        events.append(event)
                    else:
                        self._note(segment, event, unfit)
                        if solo:
                            break
                if events:
                    segment = await self._unit(run, scope, segment, subscriptions, events)
            finally:
                self._caps.give_back(kind)
            if (
                solo
                or self._is_draining()
                or self.gate_moves != moves
                or scope.marks >= _MOST_SAVEPOINTS
                or clock() - began > _LONGEST_SEGMENT
            ):
                break
        return at

    async def _unit(
        self,
        run: Run,
        scope: Scope,
        segment: Segment,
        subscriptions: tuple[Subscription, ...],
        events: list[Event[Any]],
    ) -> Segment:
        """One event, or one batch: all handlers of its type, all or none."""
        error: BaseException | None = None
        handler = ""
        counters = RunCounters()
        failures: dict[int, BaseException] = {}
        scope.enter(events[0], max(subscription.timeout for subscription in subscriptions))
        try:
            # All payloads first: an event that does not fit one of its handlers is shown to none.
            events, fitted = self._fit(segment, subscriptions, events)
            if not events:
                return segment
            for subscription, fit in zip(subscriptions, fitted, strict=True):
                handler = subscription.name
                size = subscription.batch or 1
                for start in range(0, len(fit), size):
                    ctx = await self._call(run, scope, segment, subscription, fit[start : start + size])
                    if counted := ctx.take_counters():
                        counters.add(counted)
                    failures |= ctx.failures
            if failures and len(subscriptions) > 1:
                # All handlers or none: what the others wrote for a failed event must not stay.
                error = next(iter(failures.values()))
        except asyncio.CancelledError:
            if not run.timed_out:
                if run.lost or _is_cancelled():
                    raise
                # Nobody cancelled us: the handler awaited something that was cancelled.
                error = ReactorError(f"handler {handler} awaited a task that was cancelled")
        except Fenced:
            raise
        except (Exception, SystemExit) as caught:
            if _is_infrastructure(caught, scope):
                raise Interrupted(str(caught)) from caught
            error = caught
        finally:
            run.calling_since = 0.0
        if run.lost:
            # It went on although it was cancelled; nothing of it can be committed.
            _forget_cancellation()
            raise Fenced("the lease was lost while the handler ran")
        if run.timed_out:
            # Also when the handler swallowed the cancellation and returned.
            run.timed_out = False
            _forget_cancellation()
            error = TimeoutError(f"handler {handler} took longer than {run.limit:g} s")
        if error is None:
            segment.counters.add(counters)
            for event in events:
                failed = failures.get(event.id)
                if failed is None:
                    segment.done.append(event.id)
                else:
                    self._note(segment, event, self._judge(event, failed, subscriptions, handler))
            return segment
        await scope.undo()
        if len(events) == 1:
            error = failures.get(events[0].id, error)
            self._note(segment, events[0], self._judge(events[0], error, subscriptions, handler))
            return segment
        for event in events:
            if self._is_draining():
                break
            segment = await self._unit(run, scope, segment, subscriptions, [event])
        return segment

    def _fit(
        self, segment: Segment, subscriptions: tuple[Subscription, ...], events: list[Event[Any]]
    ) -> tuple[list[Event[Any]], list[list[Event[Any]]]]:
        """The events that fit every handler's model, and for each handler the same with their payloads
        as its model. Those that do not fit are noted as dead."""
        if all(subscription.model is None for subscription in subscriptions):
            return events, [events] * len(subscriptions)
        kept: list[Event[Any]] = []
        fitted: list[list[Event[Any]]] = [[] for _ in subscriptions]
        for event in events:
            row = []
            for subscription in subscriptions:
                if subscription.model is None:
                    row.append(event)
                    continue
                try:
                    row.append(event.fitted(subscription.model.model_validate_json(event.raw_payload)))
                except ValidationError as error:
                    self._note(segment, event, self._judge(event, error, subscriptions, subscription.name))
                    break
            else:
                kept.append(event)
                for column, one in zip(fitted, row, strict=True):
                    column.append(one)
        return kept, fitted

    async def _call(
        self,
        run: Run,
        scope: Scope,
        segment: Segment,
        subscription: Subscription,
        events: list[Event[Any]],
    ) -> Context:
        async def checkpoint(ctx: Context) -> None:
            if isinstance(ctx.used_db, ScopedDb):
                ctx.used_db.check_open()
            if scope.depth:
                raise ScopeBroken(
                    f"handler {subscription.name} called ctx.checkpoint() inside ctx.db.transaction()",
                    hint="leave the block first: a checkpoint commits",
                )
            if scope.connection is None:
                return
            if counted := ctx.take_counters():
                segment.counters.add(counted)
            await self._settler.checkpoint(scope, segment)
            run.acknowledged.update(segment.done, (outcome.id for outcome in segment.outcomes))
            segment.done.clear()
            segment.outcomes.clear()
            segment.counters = RunCounters()

        ctx = Context(
            tenant_id=run.tenant_id,
            run_id=run.run_id,
            open_db=partial(ScopedDb, scope, subscription.name),
            handler=subscription.name,
            events=events,
            resources=self._resources,
            checkpoint=checkpoint,
        )
        argument: Any = events if subscription.batch else events[0]
        run.handler = subscription.name
        run.event = events[0]
        run.limit = subscription.timeout.total_seconds()
        run.calling_since = asyncio.get_running_loop().time()
        try:
            if self._handlers.middleware or subscription.layers:
                await self._through_middleware(subscription, argument, ctx)
            else:
                await subscription.function(argument, ctx)
            if scope.depth:
                raise ScopeBroken(
                    f"handler {subscription.name} left {scope.depth} ctx.db.transaction() open",
                    hint="use it as `async with ctx.db.transaction():`",
                )
        finally:
            run.calling_since = 0.0
            if isinstance(ctx.used_db, ScopedDb):
                ctx.used_db.close()
        return ctx

    async def _through_middleware(self, subscription: Subscription, argument: Any, ctx: Context) -> None:
        async def innermost() -> None:
            await subscription.function(argument, ctx)

        call = innermost
        for layer in reversed((*self._handlers.middleware, *subscription.layers)):

            def wrapped(layer: Any = layer, inner: Any = call) -> Any:
                return layer(ctx.events, ctx, inner)

            call = wrapped
        await call()

    async def _settle(
        self,
        run: Run,
        scope: Scope,
        segment: Segment,
        rows: Sequence[asyncpg.Record],
        taken: int,
        *,
        solo: bool,
    ) -> Sequence[asyncpg.Record]:
        if scope.broken:
            raise ScopeBroken("the transaction of this run was cut")
        turn = asyncio.get_running_loop().time() - run.claimed_at
        left = taken < len(rows)
        wanted = left or solo or len(rows) >= self._limits.batch or rows[0]["interruptions"] > 0
        # Where others wait for the slot, a tenant has one batch a turn, however many segments that takes.
        spare = self._may_keep()
        run.taken = 0 if spare else run.taken + taken
        room = self._limits.batch - run.taken
        keep = (
            wanted
            and not self._is_draining()
            # Who waits for a place under a cap holds no lease, so each turn ends with giving it up.
            and (solo or (not run.capped and (spare or (left and room > 0 and turn < _LONGEST_TURN))))
        )
        batch = 1 if solo else max(1, min(room, max(_MOST_SAVEPOINTS, 2 * taken))) if left else None
        if scope.connection is not None:
            return await self._settler.settle_scope(scope, segment, more=keep, batch=batch)
        if not keep:
            # Nothing to wait for: the slot is free while the settlement is on its way.
            self._settler.hand_over(segment)
            return []
        return await self._settler.settle(segment, more=keep, batch=batch)

    async def _settle_failed(
        self, run: Run, segment: Segment, rows: Sequence[asyncpg.Record], error: Exception
    ) -> Sequence[asyncpg.Record]:
        """One event whose transaction could not be committed: that is its failure."""
        event: Event[Any] = Event(rows[0])
        subscriptions = self._handlers.by_type.get(event.type, ())
        handler = ", ".join(s.name for s in subscriptions)
        told = error
        if isinstance(error, asyncpg.InFailedSQLTransactionError):
            told = ReactorError(f"handler {handler} swallowed a database error, so nothing can be committed")
        failed = Segment(run)
        self._note(failed, event, self._judge(event, told, subscriptions, handler))
        return await self._settler.settle(failed, more=self._may_keep())

    def _judge(
        self,
        event: Event[Any],
        error: BaseException,
        subscriptions: tuple[Subscription, ...],
        handler: str,
    ) -> Outcome:
        return decide_failure(
            event, error, subscriptions, max_attempts=self._limits.max_attempts, handler=handler
        )

    def _note(self, segment: Segment, event: Event[Any], outcome: Outcome) -> None:
        segment.outcomes.append(outcome)
        name = _LOGGED[outcome.verdict]
        log.warning(
            name,
            event_id=event.id,
            event_type=event.type,
            tenant_id=str(event.tenant_id),
            attempts=event.attempts,
            reason=outcome.reason,
        )


def _is_infrastructure(error: BaseException, scope: Scope) -> bool:
    if isinstance(error, ScopeUnavailable):
        return True
    if isinstance(error, asyncpg.PostgresError) and (
        error.sqlstate in _INFRASTRUCTURE or (error.sqlstate or "").startswith(_CONNECTION_CLASS)
    ):
        return True
    connection = scope.connection
    return connection is not None and is_gone(connection)


async def _quietly_roll_back(scope: Scope) -> None:
    try:
        await scope.rollback()
    except LOST:
        pass  # the connection is gone, and the transaction with it


def _forget_cancellation() -> None:
    task = asyncio.current_task()
    if task is not None:
        task.uncancel()


def _is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def judge_given_up(run: Run, handlers: HandlerSet, max_attempts: int) -> Outcome | None:
    """The failure of a handler that ignores its cancellation, for the event it is stuck with."""
    event = run.event
    if event is None:
        return None
    error = TimeoutError(
        f"handler {run.handler} ran longer than {run.limit:g} s and ignored its cancellation"
    )
    return decide_failure(
        event, error, handlers.by_type.get(event.type, ()), max_attempts=max_attempts, handler=run.handler
    )
