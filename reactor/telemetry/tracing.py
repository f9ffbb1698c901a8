"""Traces, for whoever wants them: OpenTelemetry is an extra, and nothing of it is imported without need.

They go to the collector of REACTOR_OTLP_URL, or to the TracerProvider that the application has set up.
"""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from reactor.errors import SettingError
from reactor.settings import Settings

if TYPE_CHECKING:
    from reactor.telemetry.collector import Collector
    from reactor.telemetry.spans import Spans


@asynccontextmanager
async def exporting(settings: Settings) -> "AsyncIterator[Collector | None]":
    """Spans are sent to REACTOR_OTLP_URL while the block lasts; ``None`` where there is no such setting.

    Raises SettingError when OpenTelemetry is not installed.
    """
    if settings.otlp_url is None:
        yield None
        return
    try:
        from reactor.telemetry.collector import Collector
    except ModuleNotFoundError as error:
        raise SettingError(
            f"REACTOR_OTLP_URL is set, and {error.name} is not installed", hint="pip install 'reactor[otel]'"
        ) from None
    collector = Collector(settings.otlp_url.get_secret_value(), settings.replica)
    try:
        yield collector
    finally:
        await collector.close()


def spans(collector: "Collector | None") -> "Spans | None":
    """What makes spans; ``None`` when they would go nowhere, which costs a handler nothing."""
    if collector is None and "opentelemetry.trace" not in sys.modules:
        # An application that has set up a provider has imported it.
        return None
    from reactor.telemetry.spans import Spans, given_provider

    provider = collector.provider if collector is not None else given_provider()
    return None if provider is None else Spans(provider)
