"""Behind a real PgBouncer: with transactions pooled and LISTEN direct all works; what cannot is said."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest
from structlog.testing import capture_logs

from reactor import Context, Event, Reactor
from reactor.cli.doctor import doctor
from reactor.cli.migrate import migrate
from reactor.db import pool
from reactor.engine.listener import Listener
from reactor.errors import ConnectError
from reactor.settings import Settings
from reactor.testing import running
from tests.conftest import Server
from tests.engine.conftest import World, enter, until
from tests.engine.pgbouncer import PROGRAM, pgbouncer
from tests.patience import patience

pytestmark = pytest.mark.skipif(
    PROGRAM is None, reason="no pgbouncer here; Debian: apt-get install pgbouncer"
)

ASLEEP = "select last_value > 1 from reactor.doorbell"
DONE = "select not exists (select from reactor.events where event_type <> 'reactor.canary')"
KINDS = ("write", "read", "fail", "batch")
_TENANTS, _EACH = 6, 30


@pytest.fixture
async def transactions(server: Server, world: World) -> AsyncIterator[str]:
    """The URL of the test's database through PgBouncer in transaction mode."""
    async with pgbouncer(server, "transaction") as port:
        yield _through(port, world)


@pytest.fixture
async def sessions(server: Server, world: World) -> AsyncIterator[str]:
    """… in session mode, with room for every session."""
    async with pgbouncer(server, "session", size=40) as port:
        yield _through(port, world)


def _through(port: int, world: World) -> str:
    return f"postgresql://postgres@127.0.0.1:{port}{urlsplit(world.url).path}"


def company() -> Reactor:
    """One of everything: events that write, fail once, wait, come in batches, emit, and a job."""
    app = Reactor()

    @app.on("write")
    async def write(event: Event[Any], ctx: Context) -> None:
        await enter(event, ctx, str(event.payload["n"]))

    @app.on("read")
    async def read(event: Event[Any], ctx: Context) -> None:
        pass

    @app.on("fail")
    async def fail(event: Event[Any], ctx: Context) -> None:
        await enter(event, ctx)
        if event.attempts == 0:
            raise RuntimeError("once")

    @app.on("batch", batch=10)
    async def batch(events: list[Event[Any]], ctx: Context) -> None:
        async with ctx.db.transaction():
            for event in events:
                await enter(event, ctx)
        await ctx.emit("later", delay=timedelta(milliseconds=50))

    @app.on("later")
    async def later(event: Event[Any], ctx: Context) -> None:
        await ctx.checkpoint()
        await enter(event, ctx)

    @app.every("500ms")
    async def job(ctx: Any) -> None:
        await ctx.db.execute("select 1")

    return app


async def flood(world: World) -> None:
    for _ in range(_TENANTS):
        tenant = await world.tenant(enabled=True)
        for kind in KINDS:
            await world.flood(tenant, kind, _EACH)


async def check_all_happened_once(world: World, more: int = 0) -> None:
    """What flood() brought, and ``more`` events of type "write"."""
    rows = await world.conn.fetch("select event_type, count(*) as n from reactor.history group by 1")
    counts = {row["event_type"]: row["n"] for row in rows}
    each = _TENANTS * _EACH
    assert {kind: counts[kind] for kind in KINDS} == {
        "write": each + more,
        "read": each,
        "fail": each,
        "batch": each,
    }
    assert await world.dead() == []
    lines = await world.conn.fetchrow(
        "select count(*) as n, count(distinct event_id) as events from public.ledger"
    )
    assert lines is not None
    assert lines["n"] == lines["events"] == 3 * each + more + counts["later"]
    # Nothing failed but what was to fail, once.
    assert await world.count("reactor.history where attempts <> (event_type = 'fail')::int") == 0
    assert await world.count("reactor.history where interruptions > 0") == 0
    assert await world.count("public.agent_autonomous_runs where status = 'timeout'") == 0


def troubles(said: list[Any]) -> list[Any]:
    # The loop stands still when the machine is busy with something else.
    expected = ("event_failed", "handler_blocks_loop")
    return [
        line for line in said if line["log_level"] in ("warning", "error") and line["event"] not in expected
    ]


@pytest.mark.parametrize("pooler", ["auto", "transaction"])
async def test_through_a_transaction_pooler_with_a_direct_listener_everything_works(
    world: World, transactions: str, pooler: str
) -> None:
    await flood(world)
    settings = {"listen_url": world.url, "pooler": pooler, "poll_seconds": 60, "canary_seconds": 1}
    first, second = company(), company()
    with capture_logs() as said:
        async with running(first, transactions, **settings), running(second, transactions, **settings):
            await world.until(DONE, within=40)
            await world.until("select finished_at is not null from reactor.schedules where name like '%job'")
            await world.until(ASLEEP)
            # These come by notifications: the poll is a minute away.
            tenant = await world.tenant(enabled=True)
            for n in range(20):
                await world.emit(tenant, "write", {"n": n})
                await world.until(DONE, within=10)
            await world.until("select heard_at is not null from reactor.canary")
            assert all(replica.health.listening for replica in (*first.replicas, *second.replicas))
    await check_all_happened_once(world, more=20)
    assert troubles(said) == []


@pytest.mark.parametrize("mode", ["transaction", "session"])
async def test_statements_that_a_session_would_keep_meet_no_other_session(
    server: Server, world: World, mode: str
) -> None:
    """Few server connections for many clients, so that each statement meets another one."""
    size = 3 if mode == "transaction" else 20
    async with (
        pgbouncer(server, mode, size=size) as port,
        await pool.create_pool(_through(port, world), size=20) as clients,
    ):

        async def ask(n: int) -> None:
            for turn in range(10):
                async with clients.acquire() as connection:
                    answer = await connection.fetchval("select $1::jsonb -> 'n'", {"n": n + turn})
                    assert answer == n + turn
                    rows = await connection.fetch(
                        "select $1::uuid[] is null, g from generate_series(1, $2) g", None, 3
                    )
                    assert len(rows) == 3

        async with asyncio.timeout(30):
            await asyncio.gather(*(ask(n) for n in range(20)))
            async with clients.acquire() as connection:
                assert await pool.is_pooled(connection)


async def test_through_a_session_pooler_everything_works_the_listener_included(
    world: World, sessions: str
) -> None:
    await flood(world)
    app = company()
    with capture_logs() as said:
        async with running(app, sessions, poll_seconds=60):
            await world.until(DONE, within=40)
            await world.until(ASLEEP)
            (replica,) = app.replicas
            assert replica.health.listening
            tenant = await world.tenant(enabled=True)
            await world.emit(tenant, "write", {"n": 0})
            await world.until(DONE, within=10)
    await check_all_happened_once(world, more=1)
    assert troubles(said) == []


async def test_listening_through_a_transaction_pooler_is_named_with_what_to_do_and_events_are_polled(
    world: World, transactions: str
) -> None:
    await flood(world)
    app = company()
    with capture_logs() as said:
        async with running(app, transactions, poll_seconds=60):
            await world.until(DONE, within=40)
            (replica,) = app.replicas

            async def is_found_out() -> bool:
                return replica.health.pooled and not replica.health.listening

            # Among many other clients it may take a beat until the session is another's.
            await until(is_found_out, within=20)
            # Nobody hears of it: it is found by looking, once a second instead of once a minute.
            tenant = await world.tenant(enabled=True)
            await world.emit(tenant, "write", {"n": 0})
            await world.until(DONE, within=10)
    await check_all_happened_once(world, more=1)
    # Among many other clients it may take a beat until the session is another's.
    *others, complaint = troubles(said)
    assert {line["event"] for line in others} <= {"listener_lost"}
    assert complaint["log_level"] == "error"
    assert "REACTOR_LISTEN_URL" in complaint["hint"]


async def test_without_notifications_a_transaction_pooler_needs_no_listener(
    world: World, transactions: str
) -> None:
    await flood(world)
    with capture_logs() as said:
        async with running(company(), transactions, notify="off"):
            await world.until(DONE, within=40)
    await check_all_happened_once(world)
    assert troubles(said) == []


async def test_a_listener_that_is_alone_on_a_transaction_pooler_is_not_taken_in(
    world: World, transactions: str
) -> None:
    """With nothing else going on, every statement meets the session that listens, and it looks well."""
    listener = Listener(
        transactions,
        name="alone",
        database="test",
        on_work=lambda: None,
        on_timer=lambda: None,
        on_gate=lambda: None,
    )
    with capture_logs() as said:
        listening = asyncio.create_task(listener.run())
        try:

            async def is_found_out() -> bool:
                return listener.pooled

            await until(is_found_out, within=8)
            assert not listener.healthy
        finally:
            listening.cancel()
    assert [line["event"] for line in said] == ["listener_behind_pooler"]


async def test_a_listener_that_has_the_only_session_of_a_session_pooler_is_believed(
    server: Server, world: World
) -> None:
    async with pgbouncer(server, "session", size=1) as port:
        heard = asyncio.Event()
        listener = Listener(
            _through(port, world),
            name="only",
            database="test",
            on_work=lambda: heard.set() if listener.healthy else None,
            on_timer=lambda: None,
            on_gate=lambda: None,
        )
        listening = asyncio.create_task(listener.run())
        try:

            async def is_healthy() -> bool:
                return listener.healthy

            await until(is_healthy)
            heard.clear()
            await world.conn.execute("select pg_notify('reactor', '')")
            async with patience(5):
                await heard.wait()
        finally:
            listening.cancel()


async def test_the_command_line_migrates_and_examines_through_a_transaction_pooler(
    server: Server,
    empty_database_url: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    async with pgbouncer(server, "transaction") as port:
        url = f"postgresql://postgres@127.0.0.1:{port}{urlsplit(empty_database_url).path}"
        monkeypatch.setenv("REACTOR_DATABASE_URL", url)
        # Two at once, as when two containers start.
        assert await asyncio.gather(migrate(), migrate()) == [0, 0]
        capsys.readouterr()
        assert await doctor(json=True) == 1
        checks = {check["check"]: check for check in json.loads(capsys.readouterr().out)["checks"]}
        assert checks["pooler"]["level"] == "ok"
        assert checks["notifications"]["level"] == "wrong"
        assert "REACTOR_LISTEN_URL" in checks["notifications"]["mend"]
        monkeypatch.setenv("REACTOR_LISTEN_URL", empty_database_url)
        assert await doctor(json=True) == 0


async def test_a_pooler_that_pools_statements_is_refused_with_what_it_needs(
    server: Server, world: World
) -> None:
    async with pgbouncer(server, "statement") as port:
        with pytest.raises(ConnectError, match="statement pooling") as refused:
            await company().run(Settings(database_url=_through(port, world)), handle_signals=False)
    assert "pool_mode = transaction" in (refused.value.hint or "")
