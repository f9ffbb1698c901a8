"""Sends spans to a collector by OTLP over HTTP, from a thread of its own. What it cannot send is dropped:
a collector that is away costs traces, and holds up no event.
"""

import logging
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from urllib.parse import urlsplit

import anyio
import anyio.to_thread
import structlog
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_INSTANCE_ID, SERVICE_NAME, Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from reactor.errors import kind_of, text_of
from reactor.telemetry import names

log = structlog.get_logger("reactor.collector")

#: Seconds for one answer of the collector's, and for what is left at the end.
_PATIENCE = 5.0
_LAST = 2.0
#: Of what the exporter says about a failure, in characters.
_LONGEST = 300


class Collector:
    """Made by the app for as long as it runs.

    The sampler, headers for the collector and attributes of the process are OpenTelemetry's own variables:
    OTEL_TRACES_SAMPLER, OTEL_EXPORTER_OTLP_HEADERS, OTEL_RESOURCE_ATTRIBUTES, OTEL_SERVICE_NAME.
    """

    def __init__(self, url: str, replica: str) -> None:
        resource = Resource.create({SERVICE_INSTANCE_ID: replica})
        if str(resource.attributes[SERVICE_NAME]).startswith("unknown_service"):
            resource = resource.merge(Resource({SERVICE_NAME: "reactor"}))
        self.provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self.provider.add_span_processor(BatchSpanProcessor(_Sender(endpoint(url))))

    async def close(self) -> None:
        """Send what is left, in two seconds at most."""
        with anyio.move_on_after(_LAST, shield=True):
            await anyio.to_thread.run_sync(self.provider.shutdown, abandon_on_cancel=True)


class _Sender(SpanExporter):
    """Says once that traces are lost, and once that they arrive again, instead of at every try."""

    def __init__(self, url: str) -> None:
        self._http: SpanExporter = OTLPSpanExporter(endpoint=url, timeout=_PATIENCE)
        self._host = urlsplit(url).netloc.rpartition("@")[2]
        self._is_away = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        with _heard(logging.getLogger(OTLPSpanExporter.__module__)) as complaints:
            try:
                result = self._http.export(spans)
            except Exception as error:
                result = SpanExportResult.FAILURE
                complaints.append(f"{kind_of(error)}: {text_of(error)}")
        is_away = result is not SpanExportResult.SUCCESS
        if is_away != self._is_away:
            self._is_away = is_away
            if is_away:
                log.warning(
                    names.TRACES_LOST,
                    collector=self._host,
                    error=complaints[0][:_LONGEST] if complaints else "",
                    hint="events go on; their spans are dropped until REACTOR_OTLP_URL takes them",
                )
            else:
                log.info(names.TRACES_SENT, collector=self._host)
        return result

    def shutdown(self) -> None:
        self._http.shutdown()

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        return self._http.force_flush(timeout_millis)


@contextmanager
def _heard(logger: logging.Logger) -> Iterator[list[str]]:
    """What it says in this thread is kept instead of logged: the application may use it as well."""
    thread, complaints = threading.get_ident(), list[str]()

    def keep(record: logging.LogRecord) -> bool:
        if record.thread != thread:
            return True
        complaints.append(record.getMessage())
        return False

    logger.addFilter(keep)
    try:
        yield complaints
    finally:
        logger.removeFilter(keep)


def endpoint(url: str) -> str:
    """Where a collector at ``url`` takes traces; one that is named whole is left as it is."""
    base = url.rstrip("/")
    return base if base.endswith("/v1/traces") else f"{base}/v1/traces"
