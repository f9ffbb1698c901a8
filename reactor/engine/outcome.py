"""What became of one event: data, decided by the runner, carried out by reactor.settle()."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal, assert_never

from pydantic import ValidationError

from reactor.errors import BadArgument, Discard, Retry
from reactor.events import MAX_DEPTH, Event
from reactor.handlers import Subscription

Verdict = Literal["retry", "interrupted", "dead", "discard"]

#: What a row in agent_alerts emits, a dead event's included.
ALERT_EVENT = "alert.created"

#: Longest error text that is kept with an event, in characters.
_LONGEST = 2000
#: A handler may ask for any delay, and a date has an end.
_LONGEST_DELAY = timedelta(days=3650)


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
            "delay": min(self.delay, _LONGEST_DELAY).total_seconds() if self.delay is not None else None,
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
            case "interrupted" | "discard":
                return False
            case _ as never:
                assert_never(never)


def decide_unfit(
    event: Event[Any], subscriptions: tuple[Subscription, ...], *, max_attempts: int, max_interruptions: int
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
        return Outcome(event.id, "dead", f"failed {event.attempts} times", counts=False)
    if event.interruptions >= max_interruptions:
        return Outcome(event.id, "dead", f"interrupted {event.interruptions} times", counts=False)
    return None


def decide_failure(
    event: Event[Any],
    error: BaseException,
    subscriptions: tuple[Subscription, ...],
    *,
    max_attempts: int,
    handler: str,
) -> Outcome:
    """What a handler's exception means for its event."""
    match error:
        case Discard():
            return Outcome(event.id, "discard", storable(error.reason))
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
            return Outcome(event.id, "retry", _text(error), error=told, delay=error.after, counts=False)
        case _:
            delay = error.after if isinstance(error, Retry) else None
            told = describe(error, handler)
            tries = event.attempts + 1
            if tries >= allowed_attempts(subscriptions, max_attempts):
                return Outcome(event.id, "dead", f"failed {tries} times, last: {_text(error)}", error=told)
            return Outcome(event.id, "retry", _text(error), error=told, delay=delay)


def allowed_attempts(subscriptions: tuple[Subscription, ...], default: int) -> int:
    """The strictest of the handlers decides: they commit together, so they fail together."""
    own = [s.max_attempts for s in subscriptions if s.max_attempts is not None]
    return min(own) if own else default


def describe(error: BaseException, handler: str) -> dict[str, Any]:
    """An error as it is kept with the event."""
    return {"kind": type(error).__name__, "error": _text(error), "handler": handler}


def _text(error: BaseException) -> str:
    return storable(str(error) or type(error).__name__)


def storable(text: str) -> str:
    """Text of any origin as PostgreSQL can keep it: no NUL, no half of a surrogate pair, not endless."""
    clean = text.replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode()
    return clean if len(clean) <= _LONGEST else clean[: _LONGEST - 1] + "…"


def _summary(error: ValidationError) -> str:
    parts = [
        f"{'.'.join(str(p) for p in item['loc']) or 'payload'}: {item['msg']}"
        for item in error.errors(include_url=False, include_input=False)[:5]
    ]
    return "; ".join(parts)
