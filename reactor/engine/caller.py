"""Calls the handlers of a run's events, one after the other."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

from reactor.context import Context, RunCounters
from reactor.engine.caps import Caps
from reactor.engine.fitting import fit_all, in_parts
from reactor.engine.interruption import after_cancellation, came_to, handlers_own
from reactor.engine.judge import Judge
from reactor.engine.middleware import through
from reactor.engine.run import Rows, Run, Segment
from reactor.engine.scope import Scope, ScopeUnavailable
from reactor.engine.scoped_db import ScopedDb, refuse_late
from reactor.engine.settler import Settler
from reactor.errors import Fenced, ScopeBroken, text_of
from reactor.events import Event
from reactor.handlers import HandlerSet, Plan, Subscription, refuse_unawaited

if TYPE_CHECKING:
    from reactor.telemetry.spans import Handling, Spans

MOST_SAVEPOINTS = 32
_LONGEST_SEGMENT = 0.1
#: … and so many of it at most without a turn for everybody else in the process.
_LONGEST_STRETCH = 0.001
_UNTRACED = nullcontext()


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
        spans: "Spans | None",
    ) -> None:
        self._settler = settler
        self._handlers = handlers
        self._plans = handlers.plans()
        #: of these types an event that was not tried before needs nothing but a call of its handler
        self._plain = {
            kind: plan for kind, plan in self._plans.items() if plan.is_plain and kind not in caps.limits
        }
        self._judge = judge
        self._caps = caps
        self._resources = resources
        self._is_draining = is_draining
        self._is_handled_elsewhere = is_handled_elsewhere
        self._spans = spans
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
        run.segment = segment
        at = 0
        while at < len(rows):
            before = at
            if not only_one and not self._handlers.middleware and self._spans is None:
                at = await self._stretch(run, scope, segment, rows, at, until=yields)
            if at == before:
                at = await self._next(run, scope, segment, rows, at, solo=solo)
            if at == before:
                break
            if only_one or scope.marks >= MOST_SAVEPOINTS or self._cuts != cuts or (now := clock()) > ends:
                break
            if now > yields:
                # A handler that awaits nothing would keep everybody else's events from being claimed.
                await asyncio.sleep(0)
                yields = clock() + _LONGEST_STRETCH
                if is_enough(at):
                    break
        return at

    async def _stretch(
        self, run: Run, scope: Scope, segment: Segment, rows: Rows, at: int, *, until: float
    ) -> int:
        """Handle events from ``at`` on while each is a plain one, as most are; how far that went.

        What :meth:`_next` does with one, for many: the calls in between would cost more than most handlers.
        """
        clock, plain, done = self._clock, self._plain, segment.done
        assert run.task is not None
        cancelling = run.task.cancelling
        now = clock()
        while at < len(rows):
            row = rows[at]
            plan = plain.get(row["event_type"])
            if plan is None or row["attempts"] or row["interruptions"] or row["depth"]:
                break
            at += 1
            run.in_hand = 1
            subscription = plan.subscriptions[0]
            event: Event[Any] = Event(row)
            scope.enter(event, plan.limit)
            ctx = self._begin(run, subscription, [event], now)
            error: BaseException | None = None
            try:
                try:
                    returned: object = await subscription.function(event, ctx)
                    if returned is not None:
                        refuse_unawaited(f"handler {subscription.name}", returned)
                    _refuse_loose_ends(scope, ctx)
                finally:
                    _end(run, scope, ctx)
                counted = ctx.take_counters()
                failures = ctx.failures
            except BaseException as caught:
                error, counted, failures = handlers_own(caught, run, scope), None, {}
            if error is not None or counted or failures or run.lost or run.timed_out or cancelling():
                await self._conclude(run, scope, segment, plan, [event], error, counted, failures)
            else:
                done.append(row["id"])
            run.in_hand = 0
            now = clock()
            if now > until:
                break
        return at

    async def _next(
        self, run: Run, scope: Scope, segment: Segment, rows: Rows, at: int, *, solo: bool
    ) -> int:
        """Handle the event at ``at``, or the batch that begins there; where the next one begins.

        That is the same place when as many tenants as its type may have are being handled.
        """
        row = rows[at]
        kind = row["event_type"]
        capped = kind in self._caps.limits
        if capped:
            run.capped = True
            if solo:
                await self._caps.wait(kind)
            elif not self._caps.take(kind):
                return at
        try:
            plan = self._plans.get(kind)
            last = ""
            if row["interruptions"] >= self._judge.max_interruptions:
                last = await self._settler.last_error(row["id"])
            if plan is None and await self._is_handled_elsewhere(kind):
                self._judge.elsewhere(segment, Event(row))
                # It would meet them again before whoever handles them can have the lease.
                run.capped = True
                return at + 1
            events, at = self._take(segment, plan, rows, at, solo=solo, last=last)
            if events and plan is not None:
                run.in_hand = len(events)
                await self._unit(run, scope, segment, plan, events)
                run.in_hand = 0
            return at
        finally:
            if capped:
                self._caps.give_back(kind)

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
        counters: RunCounters | None = None
        failures: dict[int, BaseException] = {}
        subscriptions = plan.subscriptions
        scope.enter(events[0], plan.limit)
        try:
            calls: Iterable[tuple[Subscription, list[Event[Any]]]] = ((subscriptions[0], events),)
            if not plan.is_simple:
                # All payloads first: an event that does not fit one of its handlers is shown to none.
                events, fitted = fit_all(self._judge, segment, subscriptions, events)
                if not events:
                    return
                calls = in_parts(subscriptions, fitted)
            with self._traced(run, subscriptions, events) as span:
                if span is not None:
                    scope.traceparent = span.traceparent
                for subscription, part in calls:
                    ctx = await self._call(run, scope, subscription, part)
                    if counted := ctx.take_counters():
                        counters = counters or RunCounters()
                        counters.add(counted)
                    if ctx.failures:
                        failures |= ctx.failures
                if failures and span is not None:
                    span.partly_failed(failures)
            if failures and len(subscriptions) > 1:
                # All handlers or none: what the others wrote for a failed event must not stay.
                error = next(iter(failures.values()))
        except BaseException as caught:
            error = handlers_own(caught, run, scope)
        await self._conclude(run, scope, segment, plan, events, error, counters, failures)

    def _traced(
        self, run: Run, subscriptions: tuple[Subscription, ...], events: list[Event[Any]]
    ) -> AbstractContextManager["Handling | None"]:
        if self._spans is None:
            return _UNTRACED
        return self._spans.handling(run.tenant_id, run.run_id, [s.name for s in subscriptions], events)

    async def _conclude(
        self,
        run: Run,
        scope: Scope,
        segment: Segment,
        plan: Plan,
        events: list[Event[Any]],
        error: BaseException | None,
        counters: RunCounters | None,
        failures: dict[int, BaseException],
    ) -> None:
        """What the calls for these events came to: done, failed, or each once more alone."""
        error = came_to(run, error)
        if run.task is not None and run.task.cancelling():
            error = await after_cancellation(run, error)
        if error is None:
            if counters:
                segment.counters.add(counters)
            for event in events:
                failed = failures.get(event.id) if failures else None
                if failed is None:
                    segment.done.append(event.id)
                else:
                    self._judge.failed(segment, event, failed, plan.subscriptions, run.handler)
            return
        await scope.undo()
        if len(events) == 1:
            error = failures.get(events[0].id, error)
            self._judge.failed(segment, events[0], error, plan.subscriptions, run.handler)
            return
        for event in events:
            if self._is_draining():
                break
            await self._unit(run, scope, segment, plan, [event.untouched()])

    async def _call(
        self, run: Run, scope: Scope, subscription: Subscription, events: list[Event[Any]]
    ) -> Context:
        # The handler may take its list apart; what is acknowledged is decided by ours.
        events = list(events)
        argument: Any = events if subscription.batch else events[0]
        ctx = self._begin(run, subscription, events, self._clock())
        try:
            layers = (*self._handlers.middleware, *subscription.layers)
            if layers:
                await through(layers, subscription, argument, ctx)
            else:
                returned: object = await subscription.function(argument, ctx)
                if returned is not None:
                    refuse_unawaited(f"handler {subscription.name}", returned)
            _refuse_loose_ends(scope, ctx)
        finally:
            _end(run, scope, ctx)
        return ctx

    def _begin(self, run: Run, subscription: Subscription, events: list[Event[Any]], now: float) -> Context:
        """What a call of the handler is given; from here on the watchdog counts."""
        assert run.open_db is not None
        ctx = Context(
            run.tenant_id,
            run.run_id,
            run.open_db,
            subscription.name,
            events,
            self._resources,
            run.checkpoint,
        )
        run.context = ctx
        run.handler = subscription.name
        run.event = events[0]
        run.limit = subscription.seconds
        run.calling_since = now
        return ctx

    async def checkpoint(self, run: Run, ctx: Context) -> None:
        """Commit what the run wrote so far, and acknowledge what it handled before this event."""
        scope, segment = run.scope, run.segment
        assert scope is not None
        assert segment is not None
        _check_at_work(run, ctx)
        if scope.opened:
            raise ScopeBroken(
                f"handler {ctx.handler} called ctx.checkpoint() inside {scope.opened[-1]}",
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


def _refuse_loose_ends(scope: Scope, ctx: Context) -> None:
    """Raises when the handler returned in the middle of something."""
    if scope.opened:
        left = " and ".join(f"{count} {block}" for block, count in Counter(scope.opened).items())
        raise ScopeBroken(
            f"handler {ctx.handler} left {left} open",
            hint=f"use it as `async with {scope.opened[-1]}:`",
        )
    ctx.refuse_unawaited()


def _end(run: Run, scope: Scope, ctx: Context) -> None:
    """The handler's call is over, however it ended."""
    run.calling_since = 0.0
    run.context = None
    if scope.fencing:
        # A task that was left behind is in the middle of a checkpoint: what it would commit is the
        # next handler's, and the role is not a handler's.
        scope.terminate()
    db = ctx.used_db
    if db is None:
        ctx.open_db = refuse_late
    elif isinstance(db, ScopedDb):
        db.close()


def _check_at_work(run: Run, ctx: Context) -> None:
    if run.context is not ctx:
        # What it would commit is another handler's.
        raise ScopeBroken(
            f"handler {ctx.handler} called ctx.checkpoint() after it returned",
            hint="await everything that the handler starts",
        )
