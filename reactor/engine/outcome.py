"""What became of one event: data, decided by the runner, carried out by reactor.settle()."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal, assert_never

import asyncpg
from pydantic import ValidationError

from reactor.engine.refusals import hint_for
from reactor.errors import (
    SQLSTATES,
    BadArgument,
    Discard,
    ReactorError,
    Retry,
    downward,
    kind_of,
    redact,
    storable,
    text_of,
)
from reactor.events import MAX_DEPTH, Event
from reactor.frames import where_raised
from reactor.handlers import Subscription

Verdict = Literal["retry", "dead", "discard"]

#: What a row in agent_alerts emits, a dead event's included.
ALERT_EVENT = "alert.created"

#: A handler may ask for any delay, and a date has an end, an interval two of them.
_LONGEST_DELAY = timedelta(days=3650)
_NO_DELAY = timedelta(0)
#: After so long an event comes again that only other replicas handle; by then this one takes none of them.
_TO_ANOTHER = timedelta(seconds=0.1)


@dataclass(frozen=True, slots=True)
class Outcome:
    """Why an event was not simply handled."""

    id: int
    verdict: Verdict
    reason: str
    error: dict[str, Any] | None = None
    delay: timedelta | None = None
    counts: bool = True

    def as_json(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "verdict": self.verdict,
            "reason": self.reason,
            "error": self.error,
            "delay": None
            if self.delay is None
            else max(_NO_DELAY, min(self.delay, _LONGEST_DELAY)).total_seconds(),
            "counts": self.counts,
        }

    @property
    def is_failure(self) -> bool:
        """Whether the run counts as failed."""
        match self.verdict:
            case "dead":
                return True
            case "retry":
                return self.counts
            case "discard":
                return False
            case _ as never:
                assert_never(never)

    @property
    def facts(self) -> dict[str, Any]:
        """What is kept of the error, as the log calls it."""
        error = self.error or {}
        renamed = {"kind": "error_type", "handler": "handler", "where": "where", "hint": "hint"}
        return {name: error[key] for key, name in renamed.items() if key in error}

    def attempts_after(self, before: int) -> int:
        """The event's failed tries once this is settled, of which it had ``before``."""
        return before + (self.counts and self.verdict in ("retry", "dead"))


def decide_unfit(
    event: Event[Any],
    subscriptions: tuple[Subscription, ...],
    *,
    max_attempts: int,
    max_interruptions: int,
    last: str = "",
) -> Outcome | None:
    """Events that no handler is asked about: they are dead, with the reason."""
    if not subscriptions and event.type == ALERT_EVENT:
        # Alerts are rows that a person can read; an app that has no handler for them delivers none.
        return Outcome(event.id, "discard", "this app delivers no alerts")
    if not subscriptions:
        reason = f"no handler is registered for event type {event.type}"
        return Outcome(event.id, "dead", reason, counts=False)
    if event.depth > MAX_DEPTH:
        reason = f"a chain of {event.depth} events caused one another: a loop"
        return Outcome(event.id, "dead", reason, counts=False)
    if event.attempts >= allowed_attempts(subscriptions, max_attempts):
        return Outcome(event.id, "dead", f"failed {_times(event.attempts)}", counts=False)
    if event.interruptions >= max_interruptions:
        reason = f"interrupted {_times(event.interruptions)}" + (f", last: {last}" if last else "")
        return Outcome(event.id, "dead", storable(reason), counts=False)
    return None


def leave_to_another(event: Event[Any]) -> Outcome:
    """In a rolling deploy the newer replicas handle more, and whoever takes an event may be an older one."""
    reason = f"another replica handles event type {event.type}"
    return Outcome(event.id, "retry", reason, delay=_TO_ANOTHER, counts=False)


def decide_failure(
    event: Event[Any],
    error: BaseException,
    subscriptions: tuple[Subscription, ...],
    *,
    max_attempts: int,
    handler: str,
) -> Outcome:
    """What a handler's exception means for its event. Never raises, whatever class the exception is of."""
    try:
        return _decide(event, error, subscriptions, max_attempts=max_attempts, handler=handler)
    except Exception as refused:
        # A subclass of Retry, say, that never called our constructor: it is a failure like any other.
        spoilt = TypeError(f"{kind_of(error)} cannot be read: {kind_of(refused)}: {text_of(refused)}")
        return _decide(event, spoilt, subscriptions, max_attempts=max_attempts, handler=handler)


def _decide(
    event: Event[Any],
    error: BaseException,
    subscriptions: tuple[Subscription, ...],
    *,
    max_attempts: int,
    handler: str,
) -> Outcome:
    match error:
        case Discard():
            return Outcome(event.id, "discard", storable(redact(error.reason)))
        case ValidationError():
            reason = storable(f"the payload does not fit {error.title}: {_summary(error)}")
            return Outcome(event.id, "dead", reason, error=describe(error, handler), counts=False)
        case BadArgument():
            # Not of this event's making a next time either.
            told = describe(error, handler)
            return Outcome(event.id, "dead", _text(error), error=told, counts=False)
        case Retry() if not error.counts:
            # Kept with the event, so that a person can ask why it waits.
            told = describe(error, handler)
            return Outcome(event.id, "retry", _text(error), error=told, delay=_delay(error), counts=False)
        case _:
            delay = _delay(error) if isinstance(error, Retry) else None
            told = describe(error, handler)
            tries = event.attempts + 1
            if tries >= allowed_attempts(subscriptions, max_attempts):
                reason = f"failed {_times(tries)}, last: {_text(error)}"
                return Outcome(event.id, "dead", reason, error=told)
            return Outcome(event.id, "retry", _text(error), error=told, delay=delay)


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def allowed_attempts(subscriptions: tuple[Subscription, ...], default: int) -> int:
    """The strictest of the handlers decides: they commit together, so they fail together."""
    own = [s.max_attempts for s in subscriptions if s.max_attempts is not None]
    return min(own) if own else default


def describe(error: BaseException, handler: str) -> dict[str, Any]:
    """An error as it is kept with the event; ``where`` and ``hint`` only if there is something to say."""
    kind = kind_of(error)
    told: dict[str, Any] = {"kind": kind, "error": text_of(error) or kind, "handler": storable(handler)}
    if isinstance(error, Retry) and not error.counts:
        return told
    if where := where_raised(error):
        told["where"] = where
    if hint := hint_for(error):
        told["hint"] = storable(hint)
    return told


def _text(error: BaseException) -> str:
    """An error in a line or two: its type first, unless its text is meant to be read alone."""
    # A group's own text only says how many there are.
    return storable(": ".join(_own_text(each) for each in downward(error)))


def _own_text(error: BaseException) -> str:
    kind, text = kind_of(error), text_of(error)
    match error:
        case ReactorError() | Retry():
            return text or kind
        case asyncpg.PostgresError() if error.sqlstate in SQLSTATES:
            return text
        case _:
            return f"{kind}: {text}" if text else kind


def _delay(error: Retry) -> timedelta | None:
    """What it asks for, unless somebody set something else there afterwards."""
    after: object = error.after
    return after if isinstance(after, timedelta) else None


def _summary(error: ValidationError) -> str:
    parts = [
        f"{'.'.join(str(p) for p in item['loc']) or 'payload'}: {item['msg']}"
        for item in error.errors(include_url=False, include_input=False)[:5]
    ]
    return "; ".join(parts)
