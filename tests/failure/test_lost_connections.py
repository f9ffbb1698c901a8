"""Connections that end or fall silent: the replica lives on, and the event is blamed for nothing."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from reactor import Context, Event, Reactor
from reactor.db import pool
from reactor.engine.interruption import is_infrastructure
from reactor.engine.listener import Listener
from reactor.engine.run import Run
from reactor.engine.scope import Scope, ScopeUnavailable
from reactor.errors import ConnectError
from reactor.settings import Settings
from reactor.testing import running
from reactor.upkeep.heartbeat import Heartbeat
from reactor.upkeep.leader import Leader
from tests.failure.proxy import Proxy


@dataclass
class Sleeper:
    """An app with one handler, whose first try stops in the middle of its transaction."""

    app: Reactor
    #: the first try has written and stopped; it may go on
    reached: asyncio.Event
    go_on: asyncio.Event


def sleeper() -> Sleeper:
    app = Reactor()
    made = Sleeper(app, asyncio.Event(), asyncio.Event())

    @app.on("test.event")
    async def handle(event: Event[Any], ctx: Context) -> None:
        await ctx.db.execute("insert into public.effects values ($1, $2)", event.id, ctx.tenant_id)
        if not made.reached.is_set():
            made.reached.set()
            await made.go_on.wait()
            await ctx.db.fetchval("select pg_sleep(0)")

    return made


@pytest.fixture
async def tenant(conn: pool.Connection) -> UUID:
    await conn.execute(
        "create table public.effects (event bigint primary key, tenant_id uuid not null); "
        "select reactor.protect('public.effects')"
    )
    tenant = uuid4()
    await conn.execute("insert into public.tenants (id, name) values ($1, 'one')", tenant)
    return tenant


@pytest.fixture
async def proxy(server: Any) -> AsyncIterator[Proxy]:
    if server.own is None:
        pytest.skip("needs the socket of a server of our own")
    made = Proxy(Path(server.own.socket_dir) / f".s.PGSQL.{server.own.tcp_port}")
    await made.start()
    yield made
    await made.stop()


def through(proxy: Proxy, url: str) -> str:
    database = url.split("?")[0].rsplit("/", 1)[1]
    return f"postgresql://postgres@127.0.0.1:{proxy.port}/{database}?sslmode=disable"


async def history(conn: pool.Connection, *, within: float = 30) -> asyncpg.Record:
    async with asyncio.timeout(within):
        while (row := await conn.fetchrow("select * from reactor.history")) is None:
            await asyncio.sleep(0.02)
    return row


async def test_a_handlers_backend_that_is_ended_interrupts_the_event_and_not_the_replica(
    conn: pool.Connection, database_url: str, tenant: UUID
) -> None:
    made = sleeper()
    async with running(made.app, database_url):
        await conn.execute("select reactor.emit($1, 'test.event')", tenant)
        await made.reached.wait()
        ended = await conn.fetchval(
            "select count(pg_terminate_backend(pid)) from pg_stat_activity "
            "where application_name like 'reactor run %'"
        )
        assert ended == 1
        made.go_on.set()
        row = await history(conn)
        assert (row["attempts"], row["interruptions"]) == (0, 1)
        # And it goes on with other work.
        await conn.execute("truncate reactor.history")
        await conn.execute("select reactor.emit($1, 'test.event')", tenant)
        await history(conn)


@pytest.mark.slow
async def test_a_handler_whose_connection_lost_its_other_end_does_not_hold_its_lease_for_long(
    conn: pool.Connection, database_url: str, tenant: UUID, proxy: Proxy
) -> None:
    """The heartbeat has other connections, so the lease would last as long as the handler may take."""
    made = sleeper()
    async with running(made.app, through(proxy, database_url), lease_seconds=120, drain_seconds=0):
        await conn.execute("select reactor.emit($1, 'test.event')", tenant)
        await made.reached.wait()
        proxy.forget_open(close_upstream=False)
        made.go_on.set()
        row = await history(conn, within=60)
        assert (row["attempts"], row["interruptions"]) == (0, 1)
        assert await conn.fetchval("select count(*) from public.effects") == 1


@pytest.mark.slow
async def test_an_event_whose_turn_comes_on_a_silent_connection_is_interrupted_once_and_has_not_failed(
    conn: pool.Connection, database_url: str, tenant: UUID, proxy: Proxy
) -> None:
    """The savepoint before it gets no answer; nothing else may be asked of that connection."""
    app = Reactor()
    reached, go_on = asyncio.Event(), asyncio.Event()

    @app.on("test.event")
    async def handle(event: Event[Any], ctx: Context) -> None:
        await ctx.db.execute("insert into public.effects values ($1, $2)", event.id, ctx.tenant_id)
        if not reached.is_set():
            reached.set()
            await go_on.wait()

    await conn.execute("select reactor.emit($1, 'test.event') from generate_series(1, 2)", tenant)
    async with running(app, through(proxy, database_url), lease_seconds=120, drain_seconds=0):
        await reached.wait()
        proxy.forget_open(close_upstream=False)
        go_on.set()
        # Long before the lease runs out; how soon, is measured where nothing else runs.
        async with asyncio.timeout(60):
            while await conn.fetchval("select count(*) from reactor.history") < 2:
                await asyncio.sleep(0.05)
        rows = await conn.fetch("select attempts, interruptions from reactor.history")
        assert [tuple(row) for row in rows] == [(0, 1), (0, 1)]


async def test_a_transaction_that_falls_silent_between_fence_and_commit_is_ended_by_the_server(
    conn: pool.Connection, database_url: str, tenant: UUID
) -> None:
    handlers = await pool.create_pool(database_url, size=1, keep_session=True)
    async with handlers:
        scope = Scope(handlers, tenant, uuid4())
        scope.enter(None, timedelta(seconds=1))
        await scope.use()
        connection = await scope.leave_role()
        pid = connection.get_server_pid()
        async with asyncio.timeout(20):
            while await conn.fetchval("select exists (select from pg_stat_activity where pid = $1)", pid):
                await asyncio.sleep(0.05)
        scope.terminate()


async def test_a_replica_that_the_server_does_not_let_write_says_so_and_does_not_start(
    conn: pool.Connection, database_url: str
) -> None:
    name = await conn.fetchval("select current_database()")
    await conn.execute(f"alter database {name} set default_transaction_read_only = on")
    with pytest.raises(ConnectError, match="lets no replica in"):
        await Reactor().run(Settings(database_url=database_url), handle_signals=False)


async def test_a_replica_whose_first_connection_is_cut_says_so_and_does_not_start(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def cut_off(*_: object) -> None:
        raise asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation")

    monkeypatch.setattr("reactor.db.migrate.check_migrated", cut_off)
    with pytest.raises(ConnectError, match="ended the connection"):
        await Reactor().run(Settings(database_url=database_url), handle_signals=False)


async def test_the_listener_outlives_a_driver_that_lost_its_thread(
    conn: pool.Connection, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """InternalClientError is none of the driver's database errors; it comes when it is cut off half-way."""
    tries = []

    async def connect(*arguments: Any, **options: Any) -> pool.Connection:
        tries.append(1)
        if len(tries) == 1:
            raise asyncpg.InternalClientError("cannot switch to state 15")
        return await pool.connect(*arguments, **options)

    monkeypatch.setattr("reactor.engine.listener.connect", connect)
    listener = Listener(
        database_url,
        name="test",
        database="test",
        on_work=lambda: None,
        on_timer=lambda: None,
        on_gate=lambda: None,
    )
    task = asyncio.create_task(listener.run())
    async with asyncio.timeout(20):
        while not listener.healthy and not task.done():
            await asyncio.sleep(0.01)
    assert listener.healthy
    task.cancel()


async def test_a_server_that_gives_no_connection_is_not_the_events_failure(
    database_url: str, tenant: UUID
) -> None:
    handlers = await pool.create_pool(database_url, size=1, keep_session=True)
    await handlers.close()
    scope = Scope(handlers, tenant, uuid4())
    scope.enter(None)
    with pytest.raises(ScopeUnavailable) as refused:
        await scope.use()
    assert is_infrastructure(refused.value, scope)


@pytest.mark.parametrize(("lease", "longest"), [(3, 2.25), (30, 15), (3600, 15)])
async def test_a_dead_leader_has_a_successor_before_the_leases_that_it_should_end_are_long_over(
    conn: pool.Connection, database_url: str, lease: float, longest: float
) -> None:
    own = await pool.create_pool(database_url, size=2)
    elected = asyncio.Event()

    async def duties(_term: int) -> None:
        elected.set()
        await asyncio.Event().wait()

    async with own:
        leader = Leader(
            pool=own,
            replica="first",
            process="p",
            database="test",
            lease=timedelta(seconds=lease),
            duties=duties,
        )
        task = asyncio.create_task(leader.run())
        await elected.wait()
        left = await conn.fetchval("select expires_at - clock_timestamp() from reactor.leadership")
        assert left <= timedelta(seconds=longest)
        task.cancel()
        await asyncio.wait([task])


async def test_a_heartbeat_that_hears_nothing_spares_the_next_handler_a_connection_that_is_as_silent(
    proxy: Proxy, database_url: str
) -> None:
    url = through(proxy, database_url)
    own = await pool.create_pool(url, size=1, keep_session=True)
    handlers = await pool.create_pool(url, size=1, keep_session=True)

    async def enlist() -> None:
        raise AssertionError("nobody was retired")

    heartbeat: Heartbeat[Run] = Heartbeat(
        pool=own,
        handlers=handlers,
        replica="x",
        process="y",
        lease=timedelta(seconds=1),
        runs=tuple,
        lost=lambda _: None,
        enlist=enlist,
    )
    try:
        proxy.forget_open(close_upstream=True)
        assert not await heartbeat.beat()
        async with asyncio.timeout(10), handlers.acquire() as connection:
            assert await connection.fetchval("select 1") == 1
    finally:
        own.terminate()
        handlers.terminate()
