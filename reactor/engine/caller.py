"""Calls the handlers of a run's events, one after the other."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import Any

from reactor.context import Context, RunCounters
from reactor.engine.caps import Caps
from reactor.engine.frames import traceback_of
from reactor.engine.interruption import (
    Interrupted,
    forget_cancellation,
    is_cancelled,
    is_current,
    is_infrastructure,
)
from reactor.engine.judge import Judge
from reactor.engine.run import Rows, Run, Segment
from reactor.engine.scope import Scope, ScopeUnavailable
from reactor.engine.scoped_db import ScopedDb
from reactor.engine.settler import Settler
from reactor.errors import Fenced, ReactorError, ScopeBroken, text_of
from reactor.events import Event, fit
from reactor.handlers import HandlerSet, Plan, Subscription, refuse_unawaited

MOST_SAVEPOINTS = 32
_LONGEST_SEGMENT = 0.1
#: … and so many of it at most without a turn for everybody else in the process.
_LONGEST_STRETCH = 0.001


class Caller:
    """Shared by all runs of a replica; what belongs to one is in its Run, Segment and Scope."""

    def __init__(
        self,
        *,
        settler: Settler,
        handlers: HandlerSet,
        judge: Judge,
        caps: Caps,
        resources: Any,
        is_draining: Callable[[], bool],
        is_handled_elsewhere: Callable[[str], Awaitable[bool]],
    ) -> None:
        self._settler = settler
        self._handlers = handlers
        self._plans = handlers.plans()
        self._judge = judge
        self._caps = caps
        self._resources = resources
        self._is_draining = is_draining
        self._is_handled_elsewhere = is_handled_elsewhere
        self._clock = asyncio.get_running_loop().time
        self._cuts = 0

    def end_segments(self) -> None:
        """A gate moved, or the drain begins: what is being handled is settled after the event in hand."""
        self._cuts += 1

    async def handle(
        self,
        run: Run,
        scope: Scope,
        segment: Segment,
        rows: Rows,
        *,
        solo: bool,
        is_enough: Callable[[int], bool],
    ) -> int:
        """Handle rows from the front until the segment must end; how many were taken.

        ``is_enough``: whether after so many others are to have their turn; asked now and then.
        """
        clock = self._clock
        began = clock()
        ends, yields = began + _LONGEST_SEGMENT, began + _LONGEST_STRETCH
        cuts, only_one = self._cuts, solo or self._is_draining()
        max_interruptions = self._judge.max_interruptions
        run.segment = segment
        at = 0
        while at < len(rows):
            kind = rows[at]["event_type"]
            capped = kind in self._caps.limits
            if capped:
                run.capped = True
                if solo:
                    await self._caps.wait(kind)
                elif not self._caps.take(kind):
                    break
            try:
                plan = self._plans.get(kind)
                last = ""
                if rows[at]["interruptions"] >= max_interruptions:
                    last = await self._settler.last_error(rows[at]["id"])
                if plan is None and await self._is_handled_elsewhere(kind):
                    self._judge.elsewhere(segment, Event(rows[at]))
                    # It would meet them again before whoever handles them can have the lease.
                    run.capped = True
                    at += 1
                else:
                    events, at = self._take(segment, plan, rows, at, solo=solo, last=last)
                    if events and plan is not None:
                        run.in_hand = len(events)
                        await self._unit(run, scope, segment, plan, events)
                        run.in_hand = 0
            finally:
                if capped:
                    self._caps.give_back(kind)
            if only_one or scope.marks >= MOST_SAVEPOINTS or self._cuts != cuts or (now := clock()) > ends:
                break
            if now > yields:
                # A handler that awaits nothing would keep everybody else's events from being claimed.
                await asyncio.sleep(0)
                yields = clock() + _LONGEST_STRETCH
                if is_enough(at):
                    break
        return at

    def _take(
        self, segment: Segment, plan: Plan | None, rows: Rows, at: int, *, solo: bool, last: str
    ) -> tuple[list[Event[Any]], int]:
        """The event at ``at``, or the batch that begins there, and where the next one begins.

        What may not be tried is noted, and left out. ``last``: what cut the first one short, if it was that
        too often; such an event comes alone.
        """
        row = rows[at]
        kind = row["event_type"]
        size = 1 if plan is None or solo else plan.size
        events: list[Event[Any]] = []
        while True:
            at += 1
            event: Event[Any] = Event(row)
            unfit = self._judge.unfit(event, plan, last) if plan is None or event.was_tried else None
            if unfit is None:
                events.append(event)
            else:
                self._judge.note(segment, event, unfit)
            if at == len(rows) or len(events) >= size or solo:
                return events, at
            row = rows[at]
            if row["event_type"] != kind:
                return events, at

    async def _unit(
        self, run: Run, scope: Scope, segment: Segment, plan: Plan, events: list[Event[Any]]
    ) -> None:
        """One event, or one batch: all handlers of its type, all or none."""
        error: BaseException | None = None
        handler = ""
        counters: RunCounters | None = None
        failures: dict[int, BaseException] = {}
        subscriptions = plan.subscriptions
        scope.enter(events[0], plan.limit)
        try:
            calls: Iterable[tuple[Subscription, list[Event[Any]]]] = ((subscriptions[0], events),)
            if not plan.is_simple:
                # All payloads first: an event that does not fit one of its handlers is shown to none.
                events, fitted = self._fit(segment, subscriptions, events)
                if not events:
                    return
                calls = _in_parts(subscriptions, fitted)
            for subscription, part in calls:
                handler = subscription.name
                ctx = await self._call(run, scope, subscription, part)
                if counted := ctx.take_counters():
                    counters = counters or RunCounters()
                    counters.add(counted)
                if ctx.failures:
                    failures |= ctx.failures
            if failures and len(subscriptions) > 1:
                # All handlers or none: what the others wrote for a failed event must not stay.
                error = next(iter(failures.values()))
        except asyncio.CancelledError as cancelled:
            if not run.timed_out and (run.lost or is_cancelled()):
                raise
            # Nobody cancelled us: the handler awaited something that was cancelled.
            error = ReactorError(f"handler {handler} awaited a task that was cancelled")
            error.__traceback__ = traceback_of(cancelled)
        except KeyboardInterrupt:
            raise
        except BaseException as caught:
            # Whatever class it is of, unless the coroutine is only closed, which is no raise of anybody's.
            if not is_current(run.task):
                raise
            # Of a checkpoint, not of a handler that raises our error itself.
            if isinstance(caught, Fenced) and run.lost:
                raise
            if is_infrastructure(caught, scope):
                raise Interrupted.by(caught) from caught
            error = caught
        finally:
            run.calling_since = 0.0
        if run.lost:
            # It went on although it was cancelled; nothing of it can be committed.
            forget_cancellation()
            raise Fenced("the lease was lost while the handler ran")
        if run.timed_out:
            # Also when the handler swallowed the cancellation and returned.
            run.timed_out = False
            forget_cancellation()
            stood = traceback_of(error) if error is not None else None
            error = TimeoutError(f"handler {handler} took longer than {run.limit:g} s")
            error.__traceback__ = stood
        if error is None:
            if counters:
                segment.counters.add(counters)
            for event in events:
                failed = failures.get(event.id) if failures else None
                if failed is None:
                    segment.done.append(event.id)
                else:
                    self._judge.failed(segment, event, failed, subscriptions, handler)
            return
        await scope.undo()
        if len(events) == 1:
            error = failures.get(events[0].id, error)
            self._judge.failed(segment, events[0], error, subscriptions, handler)
            return
        for event in events:
            if self._is_draining():
                break
            await self._unit(run, scope, segment, plan, [event.untouched()])

    def _fit(
        self, segment: Segment, subscriptions: tuple[Subscription, ...], events: list[Event[Any]]
    ) -> tuple[list[Event[Any]], list[list[Event[Any]]]]:
        """The events that fit every handler's model, and for each handler the same with their payloads
        as its model. Those that do not fit are noted."""
        kept: list[Event[Any]] = []
        fitted: list[list[Event[Any]]] = [[] for _ in subscriptions]
        for event in events:
            row = []
            for subscription in subscriptions:
                if subscription.model is None:
                    row.append(event.untouched())
                    continue
                try:
                    row.append(event.fitted(fit(subscription.model, event.raw_payload)))
                except Exception as error:
                    # A validator of the application's may raise anything, and only this event is to blame.
                    self._judge.failed(segment, event, error, subscriptions, subscription.name)
                    break
            else:
                kept.append(event)
                for column, one in zip(fitted, row, strict=True):
                    column.append(one)
        return kept, fitted

    async def _call(
        self, run: Run, scope: Scope, subscription: Subscription, events: list[Event[Any]]
    ) -> Context:
        # The handler may take its list apart; what is acknowledged is decided by ours.
        events = list(events)
        assert run.open_db is not None
        ctx = Context(
            tenant_id=run.tenant_id,
            run_id=run.run_id,
            open_db=run.open_db,
            handler=subscription.name,
            events=events,
            resources=self._resources,
            checkpoint=run.checkpoint,
        )
        argument: Any = events if subscription.batch else events[0]
        run.context = ctx
        run.handler = subscription.name
        run.event = events[0]
        run.limit = subscription.seconds
        run.calling_since = self._clock()
        try:
            if self._handlers.middleware or subscription.layers:
                await self._through_middleware(subscription, argument, ctx)
            else:
                returned: object = await subscription.function(argument, ctx)
                if returned is not None:
                    refuse_unawaited(f"handler {subscription.name}", returned)
            if scope.depth:
                raise ScopeBroken(
                    f"handler {subscription.name} left {scope.depth} ctx.db.transaction() open",
                    hint="use it as `async with ctx.db.transaction():`",
                )
        finally:
            run.calling_since = 0.0
            run.context = None
            if scope.fencing:
                # A task that was left behind is in the middle of a checkpoint: what it would commit is the
                # next handler's, and the role is not a handler's.
                scope.terminate()
            db = ctx.used_db
            if db is not None and isinstance(db, ScopedDb):
                db.close()
        return ctx

    async def _through_middleware(self, subscription: Subscription, argument: Any, ctx: Context) -> None:
        asked = 0

        def next_of(step: Callable[[], Awaitable[None]]) -> Callable[[], Awaitable[None]]:
            async def begin() -> None:
                nonlocal asked
                asked -= 1
                await step()

            def call_next() -> Awaitable[None]:
                nonlocal asked
                asked += 1
                return begin()

            return call_next

        async def innermost() -> None:
            refuse_unawaited(f"handler {subscription.name}", await subscription.function(argument, ctx))

        call: Callable[[], Awaitable[None]] = innermost
        for layer in reversed((*self._handlers.middleware, *subscription.layers)):
            following = next_of(call)

            async def wrapped(layer: Any = layer, inner: Any = following) -> None:
                name = getattr(layer, "__qualname__", repr(layer))
                refuse_unawaited(f"middleware {name}", await layer(ctx.events, ctx, inner))

            call = wrapped
        await call()
        if asked:
            raise ReactorError(
                f"a middleware did not await call_next(), so handler {subscription.name} was not called",
                hint="write `await call_next()`, or leave it out to handle nothing",
            )

    async def checkpoint(self, run: Run, ctx: Context) -> None:
        """Commit what the run wrote so far, and acknowledge what it handled before this event."""
        scope, segment = run.scope, run.segment
        assert scope is not None
        assert segment is not None
        _check_at_work(run, ctx)
        if scope.depth:
            raise ScopeBroken(
                f"handler {ctx.handler} called ctx.checkpoint() inside ctx.db.transaction()",
                hint="leave the block first: a checkpoint commits",
            )
        if scope.connection is None:
            return
        if run.coming is not None:
            # In order, this commit too: after the settlement of what was handled before.
            await asyncio.wait([run.coming])
            if (failed := run.coming.exception()) is not None:
                if isinstance(failed, Fenced):
                    run.lost = True
                    raise failed
                raise ScopeUnavailable(text_of(failed)) from failed
            _check_at_work(run, ctx)
        if counted := ctx.take_counters():
            segment.counters.add(counted)
        try:
            await self._settler.checkpoint(scope, segment)
        except Fenced:
            # Known also when the handler keeps it to itself.
            run.lost = True
            raise
        run.acknowledged.update(segment.done, (outcome.id for outcome in segment.outcomes))
        segment.done.clear()
        segment.outcomes.clear()
        segment.counters = RunCounters()


def _check_at_work(run: Run, ctx: Context) -> None:
    if run.context is not ctx:
        # What it would commit is another handler's.
        raise ScopeBroken(
            f"handler {ctx.handler} called ctx.checkpoint() after it returned",
            hint="await everything that the handler starts",
        )


def _in_parts(
    subscriptions: tuple[Subscription, ...], fitted: list[list[Event[Any]]]
) -> Iterator[tuple[Subscription, list[Event[Any]]]]:
    """The calls that each handler's events come to."""
    for subscription, events in zip(subscriptions, fitted, strict=True):
        size = subscription.batch or 1
        for start in range(0, len(events), size):
            yield subscription, events[start : start + size]
