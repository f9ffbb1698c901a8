"""One process works for several databases, and one that is away holds up no other."""

import asyncio
from collections.abc import Iterator
from typing import Any

import anyio
import asyncpg
import pytest

from reactor import Context, Event, Reactor, databases
from reactor.db import pool
from reactor.errors import ConnectError, NotMigrated
from reactor.settings import Settings
from reactor.telemetry import metrics
from tests.conftest import Server
from tests.engine.conftest import World, enter, until
from tests.engine.silence import Silence

app = Reactor()
seen: list[str] = []


@app.on("hello")
async def hello(event: Event[Any], ctx: Context) -> None:
    seen.append(await ctx.db.fetchval("select current_database()"))


@pytest.fixture
def other(server: Any, template: str) -> Iterator[str]:
    """The name of a second database."""
    seen.clear()
    name = server.create(template)
    yield name
    server.drop(name)


async def greet(url: str) -> None:
    """Emit an event there, of a tenant of its own."""
    connection = await asyncpg.connect(url)
    await connection.execute(
        "with t as (insert into public.tenants (name) values ('x') returning id) "
        "select reactor.emit(t.id, 'hello') from t"
    )
    await connection.close()


async def handled_in(name: str) -> None:
    async def known() -> bool:
        return name in seen

    await until(known, what=f"an event in {name}")


async def test_several_databases_are_served_by_one_process(world: World, server: Any, other: str) -> None:
    await greet(world.url)
    async with world.running(app, databases=f"{world.url},{server.url(other)}"):
        await greet(server.url(other))
        await handled_in(other)
        await handled_in(await world.conn.fetchval("select current_database()"))
    assert len(seen) == 2


async def test_what_is_wrong_in_one_is_not_hidden_by_the_other_in_the_metrics(
    world: World, server: Any, other: str
) -> None:
    urls = [world.url, server.url(other)]

    def shown(name: str) -> list[float | None]:
        labels = [{"database": pool.name_database(url)} for url in urls]
        return [metrics.REGISTRY.get_sample_value(f"reactor_{name}", label) for label in labels]

    async def come_to(name: str, *values: float) -> None:
        async def is_so() -> bool:
            return shown(name) == list(values)

        await until(is_so, what=f"{name} is {values}")

    there = await asyncpg.connect(urls[1])
    try:
        await there.execute("insert into public.tenants (name) values ('x')")
        async with world.running(app, databases=",".join(urls), canary_seconds=60):
            await come_to("listener_up", 1, 1)
            await come_to("leader", 1, 1)
            await there.execute(
                "update reactor.leadership "
                "set term = term + 1, leader = 'another', expires_at = now() + interval '1 h'"
            )
            await come_to("leader", 1, 0)

            async def is_heard() -> bool:
                return bool(shown("canary_heard_timestamp_seconds")[1])

            # The first one has no tenant, so none is sent there.
            await until(is_heard)
            assert shown("canary_heard_timestamp_seconds")[0] == 0
            await asyncio.to_thread(server.admin, f"alter database {other} allow_connections false")
            await there.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity "
                "where application_name like '%listener' and datname = current_database()"
            )
            await come_to("listener_up", 1, 0)
            await asyncio.to_thread(server.admin, f"alter database {other} allow_connections true")
            await come_to("listener_up", 1, 1)
    finally:
        await there.close()


@pytest.mark.parametrize("is_first", [True, False])
async def test_one_that_is_away_at_the_start_is_served_when_it_is_back(
    world: World, server: Any, other: str, is_first: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(databases, "_PAUSE", 0.05)
    server.admin(f"alter database {other} rename to {other}_away")
    urls = [world.url, server.url(other)]
    async with world.running(app, databases=",".join(reversed(urls) if is_first else urls)):
        try:
            await greet(world.url)
            await handled_in(await world.conn.fetchval("select current_database()"))
            healths = [replica.health for replica in app.replicas]
            here, there = reversed(healths) if is_first else healths
            assert (here.started, here.connected) == (True, True)
            # The process has started, so nobody need restart it; it is not ready.
            assert (there.started, there.connected) == (True, False)
        finally:
            server.admin(f"alter database {other}_away rename to {other}")
        await greet(server.url(other))
        await handled_in(other)

        async def ready() -> bool:
            return all(replica.health.connected for replica in app.replicas)

        await until(ready)


async def test_a_drain_does_not_wait_for_one_that_is_away(
    world: World, server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(databases, "_PAUSE", 3600.0)
    async with (
        asyncio.timeout(30),
        world.running(app, databases=f"{world.url},{server.url('nowhere')}"),
    ):
        pass


async def test_without_any_of_them_nothing_starts(world: World, server: Any) -> None:
    with pytest.raises(ConnectError, match=r"nowhere.*does not exist"):
        async with world.running(app, databases=f"{server.url('nowhere')},{server.url('neither')}"):
            pass


@pytest.mark.parametrize("is_first", [True, False])
async def test_one_that_says_nothing_keeps_no_other_waiting_and_a_drain_not_at_all(
    world: World, monkeypatch: pytest.MonkeyPatch, is_first: bool
) -> None:
    monkeypatch.setattr(pool, "_CONNECT_SECONDS", 3600.0)
    seen.clear()
    silence = Silence()
    async with silence.listening() as nowhere, asyncio.timeout(30), anyio.create_task_group() as group:
        urls = [nowhere, world.url] if is_first else [world.url, nowhere]
        settings = Settings(databases=",".join(urls), canary_seconds=0)
        group.start_soon(lambda: app.run(settings, handle_signals=False))
        await greet(world.url)
        await handled_in(await world.conn.fetchval("select current_database()"))
        await silence.asked.wait()
        app.drain()


@pytest.mark.parametrize("lets_in", [False, True], ids=["", "after the login"])
async def test_a_drain_does_not_wait_for_the_only_one_that_says_nothing(
    server: Server, world: World, monkeypatch: pytest.MonkeyPatch, lets_in: bool
) -> None:
    monkeypatch.setattr(pool, "_CONNECT_SECONDS", 3600.0)
    silence = Silence(_socket(server) if lets_in else None)
    async with silence.listening() as nowhere, asyncio.timeout(30), anyio.create_task_group() as group:
        settings = Settings(database_url=nowhere.replace("/x?", "/postgres?"), canary_seconds=0)
        group.start_soon(lambda: app.run(settings, handle_signals=False))
        await silence.asked.wait()
        app.drain()


async def test_a_server_that_says_nothing_after_the_login_is_given_up(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "_CONNECT_SECONDS", 0.5)
    silence = Silence(_socket(server))
    async with silence.listening() as nowhere, asyncio.timeout(30):
        with pytest.raises(ConnectError, match="does not answer within"):
            await app.run(Settings(database_url=nowhere.replace("/x?", "/postgres?")), handle_signals=False)


def _socket(server: Server) -> str:
    if server.own is None:
        pytest.skip("needs the socket of a server of our own")
    return f"{server.own.socket_dir}/.s.PGSQL.{server.own.tcp_port}"


async def test_one_that_nobody_migrated_ends_the_process_and_the_others_drain_before(
    world: World, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    own, begun, refused = Reactor(), asyncio.Event(), asyncio.Event()
    check = pool.is_pooled
    name = server.create()

    @own.on("hello")
    async def slow(event: Event[Any], ctx: Context) -> None:
        begun.set()
        await refused.wait()
        await enter(event, ctx)

    async def when_the_handler_has_begun(connection: pool.Connection) -> bool:
        if await connection.fetchval("select current_database()") == name:
            await begun.wait()
            # The refusal comes within a few round trips of here, and the drain with it.
            asyncio.get_running_loop().create_task(_set_when_draining(own, refused))
        return await check(connection)

    monkeypatch.setattr(pool, "is_pooled", when_the_handler_has_begun)
    await greet(world.url)
    try:
        with pytest.raises(NotMigrated, match=f"database {name}"):
            await own.run(
                Settings(databases=f"{world.url},{server.url(name)}", canary_seconds=0), handle_signals=False
            )
    finally:
        server.drop(name)
    assert await world.notes() == ["hello"]
    assert await world.count("reactor.events") == await world.count("public.agent_tenant_locks") == 0
    assert await world.conn.fetchval("select max(interruptions) from reactor.history") == 0


async def _set_when_draining(own: Reactor, refused: asyncio.Event) -> None:
    while not any(replica.health.draining for replica in own.replicas):
        await asyncio.sleep(0.01)
    refused.set()
