"""The demo from beginning to end: a server, a company, the built-in app, an application's traffic, a table.

The replica and the application are two logins of the server with no more rights than they need in real life;
only what draws the table and judges the run reads with a superuser's eyes.
"""

import asyncio
import resource
import signal
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from random import Random
from time import monotonic

import anyio
from anyio.abc import TaskStatus

from reactor import settings as reactor_settings
from reactor.builtin import app
from reactor.db import pool
from reactor.db.postmaster import EmbeddedServer
from reactor.demo import company, hook, journal, place
from reactor.demo.acts import Stage, drain, go_live, settle_backlog
from reactor.demo.desks import read_desks
from reactor.demo.latency import Tracker
from reactor.demo.report import Report
from reactor.demo.screen import Scene, Screen
from reactor.demo.traffic import WRITERS, Traffic
from reactor.demo.verdict import judge, tally
from reactor.demo.view import read_queue, read_tenants
from reactor.settings import Settings
from reactor.telemetry import metrics
from reactor.web.server import is_free

_LOOK = 0.5


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says. ``seconds`` of traffic; None: until somebody ends it."""

    once: bool = False
    seed: int = 7
    tenants: int = 12
    orders: int = 3000
    rate: float = 25.0
    seconds: float | None = None
    keep: bool = False
    fresh: bool = False
    chaos: bool = False
    port: int | None = None
    directory: Path | None = None


@dataclass(slots=True)
class _Curtain:
    """How the demo ends before its time. Ctrl-C ends the show in order; a second one, or one before it
    has begun, ends everything at once."""

    scope: anyio.CancelScope
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    showing: bool = False

    async def fall(self) -> None:
        with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            async for _ in signals:
                if self.stop.is_set() or not self.showing:
                    self.scope.cancel()
                self.stop.set()


async def play(options: Options, screen: Screen) -> Report | None:
    """Runs the demo; what came of it, or None when it was cut short. Whatever it started is stopped then."""
    began = monotonic()
    report: Report | None = None
    async with anyio.create_task_group() as group:
        curtain = _Curtain(group.cancel_scope)
        group.start_soon(curtain.fall, name="signals")
        report = await _play(options, screen, curtain)
        group.cancel_scope.cancel()
    if report is not None:
        report.seconds["total"] = monotonic() - began
        report.memory_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return report


async def _play(options: Options, screen: Screen, curtain: _Curtain) -> Report:
    report = Report(seed=options.seed, bounded=options.once)
    async with AsyncExitStack() as stack:
        with screen.step("PostgreSQL"), report.timing("server"):
            server = await stack.enter_async_context(
                place.server(
                    options.directory,
                    fresh=options.fresh,
                    keep=options.keep,
                    port=options.port,
                    say=screen.say,
                )
            )
        log = stack.enter_context(journal.kept_in(server.base / "reactor.log"))
        report.log = str(log.path)
        with screen.step("Schema, roles, policies"), report.timing("migrate"):
            kept = await place.prepare(server, keep=options.keep)
        receiver = await stack.enter_async_context(hook.receiving())
        monitor = await stack.enter_async_context(pool.connected(server.url(place.DATABASE), name="demo"))
        if kept:
            screen.say("Going on with the company of last time.")
        else:
            with (
                screen.step(f"A company: {options.tenants} tenants, {options.orders:,} orders queued"),
                report.timing("seed"),
            ):
                await company.seed_company(
                    monitor,
                    seed=options.seed,
                    tenants=options.tenants,
                    orders=options.orders,
                    due_within=timedelta(seconds=(options.seconds or 300) * 0.8),
                )
                await monitor.execute("analyze")
        await company.aim_webhooks(monitor, receiver.url, receiver.secret)
        desks = await read_desks(monitor)
        tracker = Tracker()
        version = await monitor.fetchval("show server_version")
        clerks = await stack.enter_async_context(
            await pool.create_pool(
                server.url(place.DATABASE, user=place.APPLICATION_ROLE),
                size=WRITERS + 1,
                name="demo application",
                pooler="none",
            )
        )
        stage = Stage(
            app=app,
            scene=Scene(
                f"PostgreSQL {version} · {len(desks)} tenants · seed {options.seed}",
                # On a line of its own: folded after the word export, it would export nothing.
                "Ctrl-C ends it. For other commands, in another terminal:\n"
                f"export REACTOR_DATABASE_URL='{_address(server)}'",
                tracker,
            ),
            report=report,
            tracker=tracker,
            monitor=monitor,
            admin_url=server.url(place.DATABASE),
            clerks=clerks,
            traffic=Traffic(
                clerks,
                desks,
                tracker,
                # Other ids than the company's, and than those of the last time when its company is kept.
                Random(f"{options.seed} {sum(desk.orders for desk in desks)}"),
                rate=options.rate,
                raising=not options.once,
            ),
            desks=desks,
            stop=curtain.stop,
            bounded=options.once,
            seconds=options.seconds,
            chaos=options.chaos,
            untouched=not kept,
        )
        curtain.showing = True
        with screen.show():
            await _perform(stage, screen, server)
        with report.timing("check"):
            report.verdict = await (judge(monitor) if options.once else tally(monitor))
        report.tenants = await read_tenants(monitor)
        stage.conclude(receiver)
        report.warnings = log.warnings
    return report


async def _perform(stage: Stage, screen: Screen, server: EmbeddedServer) -> None:
    """The replica runs, and beside it the acts, one after the other; the table is drawn all the while."""
    async with anyio.create_task_group() as group:
        await group.start(_run_app, _settings(server), not stage.bounded, name="replica")
        if not stage.bounded and app.http_address is not None:
            stage.scene.dashboard = app.http_address
            screen.tell(f"Dashboard: {app.http_address}")
        group.start_soon(_draw, stage, screen, server, name="screen")
        await settle_backlog(stage)
        await go_live(stage)
        await drain(stage)
        group.cancel_scope.cancel()


async def _run_app(settings: Settings, serve_http: bool, *, task_status: TaskStatus[None]) -> None:
    await app.run(settings, handle_signals=False, serve_http=serve_http, task_status=task_status)


async def _draw(stage: Stage, screen: Screen, server: EmbeddedServer) -> None:
    """Looks twice a second; less often when looking itself is work."""
    scene = stage.scene
    before, at = _handled(), monotonic()
    async with pool.connected(server.url(place.DATABASE), name="demo screen") as connection:
        first = before
        while True:
            began = monotonic()
            await stage.tracker.look(connection)
            scene.tenants = await read_tenants(connection)
            scene.queue = await read_queue(connection)
            scene.listening = stage.is_listening()
            now, handled = monotonic(), _handled()
            scene.rates.append((handled - before) / max(now - at, 1e-3))
            before, at = handled, now
            scene.handled = int(handled - first)
            screen.draw(scene)
            await anyio.sleep(max(_LOOK, 10 * (monotonic() - began)))


def _handled() -> float:
    return metrics.REGISTRY.get_sample_value("reactor_events_settled_total", {"outcome": "handled"}) or 0.0


def _settings(server: EmbeddedServer) -> Settings:
    """The user's settings, but for everything that leads out of the demo; its dashboard takes any free port
    when the usual one is somebody else's."""
    chosen = reactor_settings.load(
        database_url=server.url(place.DATABASE, user=place.REPLICA_ROLE),
        listen_url=None,
        databases=(),
        pooler="none",
        replica="demo",
        email_url="console://",
        email_from="Demo <demo@reactor.example>",
        webhook_allow_private=True,
        drain_seconds=10,
        canary_seconds=0,
        dashboard_trust_loopback=True,
    )
    if "http_port" in chosen.model_fields_set or is_free(chosen):
        return chosen
    return chosen.model_copy(update={"http_port": 0})


def _address(server: EmbeddedServer) -> str:
    if server.tcp_port is not None:
        return server.url(place.DATABASE, tcp=True)
    return f"postgresql://postgres@/{place.DATABASE}?host={server.socket_dir}"
