"""Payloads as the models of the handlers that want them, before any handler is called."""

from collections.abc import Iterator
from typing import Any

from reactor.engine.judge import Judge
from reactor.engine.run import Segment
from reactor.events import Event, fit
from reactor.handlers import Subscription


def fit_all(
    judge: Judge, segment: Segment, subscriptions: tuple[Subscription, ...], events: list[Event[Any]]
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
                judge.failed(segment, event, error, subscriptions, subscription.name)
                break
        else:
            kept.append(event)
            for column, one in zip(fitted, row, strict=True):
                column.append(one)
    return kept, fitted


def in_parts(
    subscriptions: tuple[Subscription, ...], fitted: list[list[Event[Any]]]
) -> Iterator[tuple[Subscription, list[Event[Any]]]]:
    """The calls that each handler's events come to."""
    for subscription, events in zip(subscriptions, fitted, strict=True):
        size = subscription.batch or 1
        for start in range(0, len(events), size):
            yield subscription, events[start : start + size]
