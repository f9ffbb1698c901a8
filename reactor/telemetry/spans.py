"""Spans of OpenTelemetry: one for each event that is handled, or batch, and one for each run of a job.

Imported only where traces are wanted, see tracing.py. Names and attributes are those of OpenTelemetry's
semantic conventions for messaging; what is ours begins with ``reactor.``. docs/telemetry.md has the table.
"""

import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from importlib.metadata import version
from typing import Any
from uuid import UUID

from opentelemetry import trace
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from reactor.errors import Discard, Retry, kind_of, redact, storable, text_of
from reactor.events import Event
from reactor.telemetry import names

_WIRE = TraceContextTextMapPropagator()


class Handling:
    """What a span that goes on is told."""

    __slots__ = ("_span",)

    def __init__(self, span: trace.Span) -> None:
        self._span = span

    @property
    def traceparent(self) -> str:
        """The W3C trace context of what happens in it."""
        carrier: dict[str, str] = {}
        _WIRE.inject(carrier, trace.set_span_in_context(self._span))
        return carrier.get("traceparent", "")

    def failed(self, error: BaseException) -> None:
        """How it ended. ``Discard`` and a ``Retry`` that keeps its attempts are decisions, no failures."""
        if isinstance(error, Discard) or (isinstance(error, Retry) and not error.counts):
            self._span.set_attribute(names.SPAN_OUTCOME, "discard" if isinstance(error, Discard) else "retry")
            return
        kind, told = kind_of(error), storable(redact(text_of(error)))
        self._span.set_attribute("error.type", kind)
        # Not record_exception(): it takes the text as it is, passwords and rows of tables with it.
        where = redact("".join(traceback.format_tb(error.__traceback__)))
        self._span.add_event(
            "exception",
            {
                "exception.type": kind,
                "exception.message": told,
                "exception.stacktrace": f"{where}{kind}: {told}",
            },
        )
        self._span.set_status(trace.StatusCode.ERROR, told)

    def partly_failed(self, failures: Mapping[int, BaseException]) -> None:
        """Of a batch, what ``ctx.fail`` was told."""
        self._span.set_attribute(names.SPAN_FAILED, len(failures))
        for error in failures.values():
            self.failed(error)


class Spans:
    """Made once for a process that runs the reactor."""

    def __init__(self, provider: trace.TracerProvider) -> None:
        self._tracer = provider.get_tracer("reactor", version("reactor"))

    @contextmanager
    def handling(
        self, tenant_id: UUID, run_id: UUID, handlers: Sequence[str], events: Sequence[Event[Any]]
    ) -> Iterator[Handling]:
        """Around the handlers of one event or batch. The trace of an event goes on in its span; a batch has a
        trace of its own, with a link to each event's."""
        first = events[0]
        links: list[trace.Link] = []
        attributes: dict[str, str | int | Sequence[str]] = {
            "messaging.system": "reactor",
            "messaging.operation.name": "process",
            "messaging.operation.type": "process",
            "messaging.destination.name": first.type,
            names.SPAN_TENANT: str(tenant_id),
            names.SPAN_RUN: str(run_id),
            names.SPAN_HANDLERS: list(handlers),
        }
        if len(events) == 1:
            attributes["messaging.message.id"] = str(first.event_id)
            attributes[names.SPAN_EVENT] = first.id
            attributes[names.SPAN_ATTEMPT] = first.attempts + 1
            parent = _context(first)
        else:
            attributes["messaging.batch.message_count"] = len(events)
            parent, links = trace.set_span_in_context(trace.INVALID_SPAN), [_link(event) for event in events]
        with self._going_on(
            f"process {first.type}", trace.SpanKind.CONSUMER, parent, attributes, links
        ) as span:
            yield span

    @contextmanager
    def job(self, name: str, due_at: datetime) -> Iterator[Handling]:
        """Around one run of a periodic job, which begins a trace."""
        attributes = {names.SPAN_JOB: name, names.SPAN_DUE: due_at.isoformat()}
        parent = trace.set_span_in_context(trace.INVALID_SPAN)
        with self._going_on(f"job {name}", trace.SpanKind.INTERNAL, parent, attributes) as span:
            yield span

    @contextmanager
    def _going_on(
        self,
        name: str,
        kind: trace.SpanKind,
        parent: Any,
        attributes: Mapping[str, str | int | Sequence[str]],
        links: Sequence[trace.Link] = (),
    ) -> Iterator[Handling]:
        with self._tracer.start_as_current_span(
            name,
            context=parent,
            kind=kind,
            attributes=attributes,
            links=links,
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            handling = Handling(span)
            try:
                yield handling
            except BaseException as error:
                handling.failed(error)
                raise


def given_provider() -> trace.TracerProvider | None:
    """The application's own; ``None`` where it has set up none, or one that does nothing."""
    provider = trace.get_tracer_provider()
    return None if isinstance(provider, trace.ProxyTracerProvider | trace.NoOpTracerProvider) else provider


def _context(event: Event[Any]) -> Any:
    """The writer's, if it said one that can be read."""
    nothing = trace.set_span_in_context(trace.INVALID_SPAN)
    return _WIRE.extract({"traceparent": event.traceparent or ""}, nothing)


def _link(event: Event[Any]) -> trace.Link:
    origin = trace.get_current_span(_context(event)).get_span_context()
    return trace.Link(origin, {"messaging.message.id": str(event.event_id), names.SPAN_EVENT: event.id})
