"""What was registered for which event type: data that the engine reads and the app writes."""

import asyncio
import inspect
import re
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, TypeAlias

from pydantic import BaseModel

from reactor.errors import BadArgument, ReactorError

#: A handler, single or batch: ``(event, ctx)`` or ``(events, ctx)``.
HandlerFunction = Callable[[Any, Any], Awaitable[object]]
#: Wraps handlers: ``(events, ctx, call_next)``.
Middleware: TypeAlias = Callable[[Any, Any, Callable[[], Awaitable[None]]], Awaitable[object]]
#: A periodic job: ``(ctx)``.
JobFunction = Callable[[Any], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class Subscription:
    """One handler of one event type."""

    event_type: str
    function: HandlerFunction
    name: str
    #: What the payload must fit; ``None``: plain JSON.
    model: type[BaseModel] | None = None
    #: At most so many events of one tenant in a call; ``None``: one event, not a list.
    batch: int | None = None
    #: Failed tries until an event is dead; ``None``: the setting.
    max_attempts: int | None = None
    #: How long one call may take.
    timeout: timedelta = timedelta(seconds=60)
    #: Several handlers of one type run in this order, lower first.
    priority: int = 0
    #: Waits while the kill switch or the tenant is off.
    gated: bool = False
    #: At most so many tenants at once in this replica run this handler; ``None``: no cap.
    concurrency: int | None = None
    #: Middleware of the included app that it came from; the including app's is around it.
    layers: tuple[Middleware, ...] = ()
    #: ``timeout`` in seconds, which the watchdog compares at every call
    seconds: float = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "seconds", self.timeout.total_seconds())


@dataclass(frozen=True, slots=True)
class Plan:
    """How events of one type are handled, worked out once: it is asked for at every event."""

    subscriptions: tuple[Subscription, ...]
    #: at most so many events are handled together
    size: int
    #: the longest that one of its handlers may take
    limit: timedelta
    #: whether there is one handler, which wants its payload as it is
    is_simple: bool

    @classmethod
    def of(cls, subscriptions: tuple[Subscription, ...]) -> "Plan":
        """The plan for these handlers of one type, in calling order; there is at least one."""
        return cls(
            subscriptions,
            size=max(s.batch or 1 for s in subscriptions),
            limit=max(s.timeout for s in subscriptions),
            is_simple=len(subscriptions) == 1 and subscriptions[0].model is None,
        )

    @property
    def is_plain(self) -> bool:
        """Whether that handler takes each event alone, and nothing of its app's is around it."""
        return self.is_simple and self.subscriptions[0].batch is None and not self.subscriptions[0].layers


@dataclass(frozen=True, slots=True)
class Job:
    """One periodic job: run by the leader, once in the fleet."""

    name: str
    function: JobFunction
    every: timedelta
    #: Whether runs that were missed while no replica lived are made good one by one.
    catch_up: bool = False
    timeout: timedelta = timedelta(minutes=10)
    #: One transaction around it, which commits only while this replica leads. Housekeeping works in
    #: small fenced steps instead.
    in_transaction: bool = True


@dataclass(slots=True)
class HandlerSet:
    """All subscriptions of an app, by event type and in calling order."""

    by_type: dict[str, tuple[Subscription, ...]] = field(default_factory=dict)
    middleware: tuple[Middleware, ...] = ()

    def add(self, subscription: Subscription) -> None:
        """Add one, in its place by priority. Raises BadArgument for a name that the type has already, and
        when only some of its handlers are gated.
        """
        known = self.by_type.get(subscription.event_type, ())
        if any(s.name == subscription.name for s in known):
            raise BadArgument(
                f"handler {subscription.name} is registered twice for {subscription.event_type}",
                hint="give one of them another name",
            )
        if any(s.gated != subscription.gated for s in known):
            others = ", ".join(s.name for s in known)
            raise BadArgument(
                f"handlers of {subscription.event_type} must all be gated, or none: they commit together. "
                f"{subscription.name} is{'' if subscription.gated else ' not'}, "
                f"{others} {'are' if len(known) > 1 else 'is'}{' not' if subscription.gated else ''}",
                hint=f"give {subscription.name} gated={known[0].gated}, or its work an event type of its own",
            )
        both = sorted((*known, subscription), key=lambda s: s.priority)
        self.by_type[subscription.event_type] = tuple(both)

    def plans(self) -> dict[str, Plan]:
        """One for each event type that has a handler."""
        return {kind: Plan.of(subscriptions) for kind, subscriptions in self.by_type.items()}

    @property
    def gated_types(self) -> list[str]:
        """The event types whose handlers wait while the kill switch or the tenant is off."""
        return sorted(kind for kind, subs in self.by_type.items() if subs[0].gated)

    def __iter__(self) -> Iterator[Subscription]:
        for subscriptions in self.by_type.values():
            yield from subscriptions


def refuse_unawaited(name: str, returned: object) -> None:
    """Raises ReactorError when a function of the application's gave back what it should have awaited: nothing
    of that has happened, and the event would be acknowledged. Any other value is nobody's concern."""
    if not inspect.isawaitable(returned) or (isinstance(returned, asyncio.Future) and returned.done()):
        return
    kind = type(returned).__name__
    if inspect.iscoroutine(returned):
        returned.close()  # the interpreter would complain of it as well, without a name
    raise ReactorError(
        f"{name} returned a {kind} that nobody awaits, so its work is not done",
        hint="write `await` before it",
    )


_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)")
_AS_WRITTEN = "write it like 30s, 5m, 1h30m or 1d"
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def parse_duration(text: str | timedelta) -> timedelta:
    """``"1h30m"``, ``"500ms"`` or a timedelta. Raises BadArgument for anything else, zero included."""
    if isinstance(text, timedelta):
        duration = text
    else:
        # A number is a mistake that is easily made, and what unit it is in nobody knows.
        compact = text.strip().lower() if isinstance(text, str) else ""
        if not compact or _DURATION.sub("", compact).strip():
            raise BadArgument(f"{text!r} is no duration", hint=_AS_WRITTEN)
        try:
            duration = timedelta(
                seconds=sum(float(n) * _UNITS[unit] for n, unit in _DURATION.findall(compact))
            )
        except OverflowError:
            raise BadArgument(f"{text!r} is longer than any calendar", hint=_AS_WRITTEN) from None
    if duration <= timedelta(0):
        raise BadArgument(f"the duration {text!r} must be longer than zero", hint=_AS_WRITTEN)
    return duration
