"""Traces: a span for each event that is handled, in the trace of whoever wrote it, at a real collector."""

import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from structlog.testing import capture_logs

from reactor import Context, Discard, Event, JobContext, Reactor, Retry
from reactor.errors import SettingError
from reactor.telemetry import collector as sending
from reactor.telemetry import names
from reactor.testing import Left
from tests.engine.collector import Collector, Span, collector
from tests.engine.conftest import World, enter, until
from tests.processes import replica, without_settings

TRACE, WRITER = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
CONSUMER, INTERNAL = 5, 1


@pytest.fixture
def traces() -> Iterator[Collector]:
    with collector() as started:
        yield started


async def emit_traced(world: World, tenant: UUID, kind: str, trace: str = TRACE, writer: str = WRITER) -> int:
    async with world.conn.transaction():
        await world.conn.execute(f"set local reactor.traceparent = '00-{trace}-{writer}-01'")
        return await world.emit(tenant, kind)


async def drained(world: World, app: Reactor, traces: Collector, **settings: Any) -> Left:
    return await world.drain(app, otlp_url=traces.url, replica="one", **settings)


def one(traces: Collector, name: str) -> Span:
    (span,) = traces.named(name)
    return span


async def test_a_trace_goes_from_the_writer_through_the_handler_to_what_that_causes(
    world: World, traces: Collector
) -> None:
    await world.conn.execute("select reactor.watch('public.ledger', 'ledger.entered')")
    app = Reactor()

    @app.on("first")
    async def first(event: Event[Any], ctx: Context) -> None:
        await ctx.emit("second")
        await enter(event, ctx)

    @app.on("second")
    @app.on("ledger.entered")
    async def other(event: Event[Any], ctx: Context) -> None: ...

    tenant = await world.tenant()
    event = await emit_traced(world, tenant, "first")
    await drained(world, app, traces)
    span = one(traces, "process first")
    assert (span.trace_id, span.parent_id, span.kind) == (TRACE, WRITER, CONSUMER)
    row = await world.history(event)
    assert row is not None
    assert span.attributes == {
        "messaging.system": "reactor",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.name": "first",
        "messaging.message.id": str(row["event_id"]),
        names.SPAN_TENANT: str(tenant),
        names.SPAN_RUN: str(row["run_id"]),
        names.SPAN_HANDLERS: [f"{__name__}.{first.__qualname__}"],
        names.SPAN_EVENT: event,
        names.SPAN_ATTEMPT: 1,
    }
    assert span.resource["service.name"] == "reactor"
    assert span.resource["service.instance.id"] == "one"
    assert not span.is_error
    # What it emitted, and what a trigger emitted for what it wrote, are in the same trace, under its span.
    for caused in ("process second", "process ledger.entered"):
        assert one(traces, caused).trace_id == TRACE
        assert one(traces, caused).parent_id == span.span_id


async def test_an_event_whose_writer_said_none_or_nonsense_begins_a_trace(
    world: World, traces: Collector
) -> None:
    app = Reactor()

    @app.on("quiet")
    async def quiet(event: Event[Any], ctx: Context) -> None: ...

    tenant = await world.tenant()
    await world.emit(tenant, "quiet")
    await emit_traced(world, tenant, "quiet", trace="not hexadecimal")
    await drained(world, app, traces)
    spans = traces.named("process quiet")
    assert [span.parent_id for span in spans] == ["", ""]
    assert len({span.trace_id for span in spans}) == 2


async def test_several_handlers_of_a_type_share_the_events_span(world: World, traces: Collector) -> None:
    app = Reactor()

    @app.on("both", priority=1)
    async def before(event: Event[Any], ctx: Context) -> None:
        await ctx.emit("caused")

    @app.on("both", priority=2)
    async def after(event: Event[Any], ctx: Context) -> None:
        await ctx.emit("caused")

    @app.on("caused")
    async def caused(event: Event[Any], ctx: Context) -> None: ...

    tenant = await world.tenant()
    # The second event is in the transaction of the first one, and causes things of its own all the same.
    for writer in (WRITER, WRITER[::-1]):
        await emit_traced(world, tenant, "both", writer=writer)
    await drained(world, app, traces)
    both = traces.named("process both")
    assert [span.parent_id for span in both] == [WRITER, WRITER[::-1]]
    assert [name.rpartition(".")[2] for name in both[0].attributes[names.SPAN_HANDLERS]] == [
        "before",
        "after",
    ]
    assert [span.parent_id for span in traces.named("process caused")] == [
        both[0].span_id,
        both[0].span_id,
        both[1].span_id,
        both[1].span_id,
    ]


async def test_a_failure_is_told_with_its_place_and_no_secret_and_a_decision_is_none(
    world: World, traces: Collector
) -> None:
    app = Reactor()

    @app.on("failing", max_attempts=2)
    async def failing(event: Event[Any], ctx: Context) -> None:
        raise ConnectionError("no way to postgresql://me:hunter2@db/crm")

    @app.on("discarding")
    async def discarding(event: Event[Any], ctx: Context) -> None:
        raise Discard("nothing to do")

    @app.on("waiting")
    async def waiting(event: Event[Any], ctx: Context) -> None:
        raise Retry(after=timedelta(days=1), counts=False)

    tenant = await world.tenant()
    for kind in ("failing", "discarding", "waiting"):
        await world.emit(tenant, kind)
    async with world.running(app, otlp_url=traces.url):
        await world.until("select count(*) = 1 from reactor.dead_events")
        await world.until("select count(*) = 1 from reactor.history where event_type = 'discarding'")
        await world.until("select count(*) = 1 from reactor.events where available_at is not null")
    tries = traces.named("process failing")
    assert [span.attributes[names.SPAN_ATTEMPT] for span in tries] == [1, 2]
    for span in tries:
        assert span.is_error
        assert span.attributes["error.type"] == "ConnectionError"
        assert "no way to" in span.message
        (raised,) = span.events
        assert (raised["name"], raised["exception.type"]) == ("exception", "ConnectionError")
        assert f'File "{__file__}"' in raised["exception.stacktrace"]
        assert "hunter2" not in str(span)
    for kind, outcome in (("discarding", "discard"), ("waiting", "retry")):
        span = one(traces, f"process {kind}")
        assert not span.is_error
        assert not span.events
        assert span.attributes[names.SPAN_OUTCOME] == outcome


async def test_a_batch_has_a_span_with_a_link_to_each_of_its_events(world: World, traces: Collector) -> None:
    app = Reactor()

    @app.on("counted", batch=10)
    async def count(events: Sequence[Event[Any]], ctx: Context) -> None:
        ctx.fail(events[1], Discard("not this one"))
        ctx.fail(events[2], ValueError("nor that"))

    tenant = await world.tenant()
    async with world.conn.transaction():
        for n in range(3):
            await world.conn.execute(f"set local reactor.traceparent = '00-{TRACE}-{n + 1:016x}-01'")
            await world.emit(tenant, "counted")
    async with world.running(app, otlp_url=traces.url):
        await world.until("select count(*) = 1 from reactor.events where attempts = 1")
    span = traces.named("process counted")[0]
    assert (span.parent_id, span.trace_id == TRACE) == ("", False)
    assert span.links == [f"{TRACE}-{n + 1:016x}" for n in range(3)]
    assert span.attributes["messaging.batch.message_count"] == 3
    assert span.attributes[names.SPAN_FAILED] == 2
    assert [raised["exception.message"] for raised in span.events] == ["nor that"]


async def test_a_job_is_a_trace_and_what_it_emits_is_in_it(world: World, traces: Collector) -> None:
    app = Reactor()
    tenant = await world.tenant()

    @app.every("200ms", name="often")
    async def often(ctx: JobContext) -> None:
        await ctx.emit(tenant, "asked.for")

    @app.on("asked.for")
    async def asked_for(event: Event[Any], ctx: Context) -> None: ...

    async with world.running(app, otlp_url=traces.url):
        await world.until("select count(*) > 1 from reactor.history where event_type = 'asked.for'")
    jobs, handled = traces.named("job often"), traces.named("process asked.for")
    for job in jobs:
        assert (job.kind, job.parent_id, job.attributes[names.SPAN_JOB]) == (INTERNAL, "", "often")
    # Each in a trace of its own, whatever the connection was used for before.
    assert len({job.trace_id for job in jobs}) == len(jobs)
    assert {(span.trace_id, span.parent_id) for span in handled} <= {
        (job.trace_id, job.span_id) for job in jobs
    }
    # Housekeeping is no application's.
    assert {span.name for span in traces.spans} == {"job often", "process asked.for"}


async def test_a_collector_that_is_away_costs_traces_and_no_event(
    world: World,
    traces: Collector,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "20")
    app = Reactor()

    @app.on("work")
    async def work(event: Event[Any], ctx: Context) -> None:
        await enter(event, ctx)

    tenant = await world.tenant()
    # One that is not tried again by the exporter itself.
    traces.refuses = 400
    with capture_logs() as said:
        async with world.running(app, otlp_url=f"{traces.url}/v1/traces"):

            async def has_said(event: str) -> bool:
                return any(line["event"] == event for line in said)

            for n in range(3):
                await world.emit(tenant, "work")
                await world.until("select count(*) = $1 from reactor.history", n + 1)
                await until(lambda: has_said(names.TRACES_LOST))
            traces.refuses = 0
            await world.emit(tenant, "work")
            await until(lambda: has_said(names.TRACES_SENT))
    assert len(await world.notes()) == 4
    told = [line for line in said if line["event"] in (names.TRACES_LOST, names.TRACES_SENT)]
    assert [line["event"] for line in told] == [names.TRACES_LOST, names.TRACES_SENT]
    assert told[0]["collector"] == traces.url.removeprefix("http://")
    assert "400" in told[0]["error"]
    assert not [line for line in caplog.records if line.name.startswith("opentelemetry")]
    # The first one was dropped; those behind it may have waited.
    assert 1 <= len(traces.named("process work")) <= 3


async def test_credentials_of_a_collector_reach_it_and_nobody_else(
    world: World, traces: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-key=abc123")
    app = Reactor()

    @app.on("work")
    async def work(event: Event[Any], ctx: Context) -> None: ...

    await world.emit(await world.tenant(), "work")
    with capture_logs() as said:
        await world.drain(app, otlp_url=traces.url.replace("//", "//me:hunter2@"))
    assert traces.headers[0]["x-key"] == "abc123"
    assert traces.headers[0]["authorization"].startswith("Basic ")
    assert "hunter2" not in str(said)


async def test_an_extra_that_is_not_installed_stops_the_start_with_what_to_do(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "reactor.telemetry.collector")
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.resources", None)
    with pytest.raises(SettingError) as told:
        await world.drain(Reactor(), otlp_url="http://127.0.0.1:4318")
    assert "REACTOR_OTLP_URL is set, and opentelemetry.sdk.resources is not installed" in told.value.message
    assert told.value.hint == "pip install 'reactor[otel]'"


@pytest.mark.parametrize(
    ("url", "whole"),
    [
        ("http://collector:4318", "http://collector:4318/v1/traces"),
        ("http://collector:4318/", "http://collector:4318/v1/traces"),
        ("https://host/otlp", "https://host/otlp/v1/traces"),
        ("https://host/otlp/v1/traces", "https://host/otlp/v1/traces"),
    ],
)
def test_a_collector_is_named_with_or_without_its_path(url: str, whole: str) -> None:
    assert sending.endpoint(url) == whole


OWN = """
import sys
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor
from reactor import Reactor

provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(ConsoleSpanExporter(
    out=sys.stderr, formatter=lambda s: f"span {s.name} {trace.format_trace_id(s.context.trace_id)}\\n")))
trace.set_tracer_provider(provider)
app = Reactor()

@app.on("work")
async def work(event, ctx):
    ctx.log.info("at_work")
"""


async def test_the_applications_own_provider_is_used_and_log_lines_name_the_trace(
    world: World, tmp_path: Any
) -> None:
    (tmp_path / "own.py").write_text(OWN)
    await emit_traced(world, await world.tenant(), "work")
    async with replica(tmp_path, world.url, "--app", "own:app") as running:
        await running.says("at_work")
        await world.until("select count(*) = 1 from reactor.history")
        assert await running.end(signal.SIGTERM) == 0
    (line,) = running.about("at_work")
    assert line["trace_id"] == TRACE
    assert len(line["span_id"]) == 16
    assert any(said.startswith(f"span process work {TRACE}") for said in running.lines)
    (started,) = running.about(names.REPLICA_STARTED)
    assert "trace_id" not in started


def test_without_a_collector_nothing_of_opentelemetry_is_imported() -> None:
    asked = (
        "import sys, reactor.cli, reactor.builtin; from reactor.settings import Settings; "
        "from reactor.telemetry import tracing; assert tracing.spans(None) is None; "
        "sys.exit(any(name.startswith('opentelemetry') for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", asked], env=without_settings(), check=False).returncode == 0
