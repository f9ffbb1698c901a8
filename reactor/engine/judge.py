"""Says what became of the events that were not simply handled: their outcomes, noted and logged."""

import logging
from typing import Any

import structlog

from reactor.engine.outcome import (
    ALERT_EVENT,
    Outcome,
    Verdict,
    decide_failure,
    decide_unfit,
    leave_to_another,
)
from reactor.engine.run import Limits, Run, Segment
from reactor.errors import ScopeBroken
from reactor.events import Event
from reactor.handlers import HandlerSet, Plan, Subscription
from reactor.telemetry import names

log = structlog.get_logger("reactor.judge")

_LOGGED: dict[Verdict, str] = {
    "dead": names.EVENT_DEAD,
    "discard": names.EVENT_DISCARDED,
    "retry": names.EVENT_FAILED,
}


class Judge:
    """Shared by all runs of a replica."""

    def __init__(self, handlers: HandlerSet, limits: Limits) -> None:
        self._plans = handlers.plans()
        self._limits = limits

    @property
    def max_interruptions(self) -> int:
        """So often may an event be cut short until it is tried no more."""
        return self._limits.max_interruptions

    def unfit(self, event: Event[Any], plan: Plan | None, last: str = "") -> Outcome | None:
        """Why an event may not be tried, if so. ``last``: what cut it short the last time."""
        return decide_unfit(
            event,
            plan.subscriptions if plan else (),
            max_attempts=self._limits.max_attempts,
            max_interruptions=self._limits.max_interruptions,
            last=last,
        )

    def elsewhere(self, segment: Segment, event: Event[Any]) -> None:
        """Another replica has a handler for it, and this one has none: it is left to that one."""
        self.note(segment, event, leave_to_another(event))

    def failed(
        self,
        segment: Segment,
        event: Event[Any],
        error: BaseException,
        subscriptions: tuple[Subscription, ...],
        handler: str,
    ) -> None:
        """What a handler's error means for its event."""
        self.note(segment, event, self._decide(event, error, subscriptions, handler))

    def uncommitted(self, segment: Segment, event: Event[Any], error: BaseException) -> None:
        """An event whose transaction could not be committed: that is its failure."""
        subscriptions = self._subscriptions(event)
        handler = ", ".join(subscription.name for subscription in subscriptions)
        if isinstance(error, ScopeBroken) and handler not in error.message:
            error = ScopeBroken(f"{handler}: {error.message}", hint=error.hint)
        self.failed(segment, event, error, subscriptions, handler)

    def given_up(self, run: Run) -> Outcome | None:
        """The failure of a handler that ignores its cancellation, for the event it is stuck with."""
        event = run.event
        if event is None:
            return None
        error = TimeoutError(
            f"handler {run.handler} ran longer than {run.limit:g} s and ignored its cancellation"
        )
        return self._decide(event, error, self._subscriptions(event), run.handler)

    def note(self, segment: Segment, event: Event[Any], outcome: Outcome) -> None:
        """An event was not simply handled: it is settled with the segment, and logged."""
        segment.outcomes.append(outcome)
        # Not before its time, says its handler; that is no failure.
        planned = outcome.verdict == "retry" and not outcome.counts
        # The app said at its start that it delivers none.
        expected = event.type == ALERT_EVENT and event.type not in self._plans
        log.log(
            logging.DEBUG if expected else logging.INFO if planned else logging.WARNING,
            names.EVENT_POSTPONED if planned else _LOGGED[outcome.verdict],
            event_id=event.id,
            event_type=event.type,
            tenant_id=str(event.tenant_id),
            attempts=outcome.attempts_after(event.attempts),
            reason=outcome.reason,
            **outcome.facts,
        )

    def _subscriptions(self, event: Event[Any]) -> tuple[Subscription, ...]:
        plan = self._plans.get(event.type)
        return plan.subscriptions if plan else ()

    def _decide(
        self,
        event: Event[Any],
        error: BaseException,
        subscriptions: tuple[Subscription, ...],
        handler: str,
    ) -> Outcome:
        return decide_failure(
            event, error, subscriptions, max_attempts=self._limits.max_attempts, handler=handler
        )
