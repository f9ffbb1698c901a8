"""A URL that names several servers: the one that answers is found, however the others are gone."""

import asyncio
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from reactor import Context, Event, Reactor
from reactor.db import hosts, pool
from reactor.db.hosts import hosts_of
from reactor.errors import ConnectError
from reactor.settings import Settings
from reactor.testing import running
from tests.conftest import Server
from tests.engine.conftest import World, enter
from tests.engine.silence import Silence
from tests.failure.proxy import Proxy


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("postgresql://u:p@one/x", []),
        ("postgresql://u:p@one:1,two/x", [("one", 1), ("two", None)]),
        ("postgresql://u:p@[::1]:1,[fe80::1]/x", [("::1", 1), ("fe80::1", None)]),
        ("postgresql:///x?host=one:1,two&port=5,6", [("one", 5), ("two", 6)]),
        ("postgresql:///x?host=/run/a,/run/b&port=5", [("/run/a", 5), ("/run/b", 5)]),
        # What the driver does otherwise, or refuses.
        ("postgresql://u:p@one,two/x?target_session_attrs=prefer-standby", []),
        ("postgresql://u:p@one:1,two:what/x", []),
        ("postgresql:///x?host=one,two,three&port=1,2", []),
    ],
)
def test_the_servers_of_a_url_are_read_as_the_driver_reads_them(
    url: str, found: list[tuple[str, int | None]]
) -> None:
    assert hosts_of(url) == found


def _address(server: Server) -> str:
    if server.own is None:
        pytest.skip("needs a server of our own")
    return f"127.0.0.1:{server.own.tcp_port}"


async def test_one_that_is_gone_without_a_word_keeps_nobody_from_the_one_that_took_over(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "_CONNECT_SECONDS", 3600.0)
    monkeypatch.setattr(hosts, "_HEAD_START", 0.1)
    silence = Silence()
    async with silence.listening() as nowhere, asyncio.timeout(30):
        dead = urlsplit(nowhere).netloc.rpartition("@")[2]
        assert server.own is not None
        url = f"postgresql://postgres:{server.own.password}@{dead},{_address(server)}/postgres"
        clients = await pool.create_pool(f"{url}?target_session_attrs=read-write", size=3)
        async with clients, clients.acquire() as one, clients.acquire() as two, clients.acquire() as three:
            for connection in (one, two, three):
                assert await connection.fetchval("select 1") == 1
        # The first of all asked it, and the pool's first; then the one that answers is asked first.
        assert silence.count == 2


async def test_several_servers_in_pghost_are_those_of_a_url(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "_CONNECT_SECONDS", 3600.0)
    monkeypatch.setattr(hosts, "_HEAD_START", 0.1)
    silence = Silence()
    async with silence.listening() as nowhere, asyncio.timeout(30):
        _address(server)
        assert server.own is not None
        monkeypatch.setenv("PGHOST", "127.0.0.1,127.0.0.1")
        monkeypatch.setenv("PGPORT", f"{urlsplit(nowhere).port},{server.own.tcp_port}")
        monkeypatch.setenv("PGTARGETSESSIONATTRS", "read-write")
        for name, value in (
            ("USER", "postgres"),
            ("DATABASE", "postgres"),
            ("PASSWORD", server.own.password),
        ):
            monkeypatch.setenv(f"PG{name}", value)
        async with pool.connected(Settings().dsn) as connection:
            assert await connection.fetchval("select 1") == 1
    assert silence.count == 1


async def test_a_wrong_password_is_said_and_not_that_another_is_away(server: Server) -> None:
    url = f"postgresql://postgres:wrong@127.0.0.1:1,{_address(server)}/postgres"
    with pytest.raises(ConnectError, match="password authentication failed"):
        await pool.connect(url)


async def test_where_none_is_what_was_asked_for_that_is_said(world: World, server: Server) -> None:
    name = await world.conn.fetchval("select current_database()")
    await world.conn.execute(f"alter database {name} set default_transaction_read_only = on")
    assert server.own is not None
    for first in ("", "127.0.0.1:1,"):
        url = f"postgresql://postgres:{server.own.password}@{first}{_address(server)}/{name}"
        said = "cannot be reached" if first else "is not read-write"
        with pytest.raises(ConnectError, match=said):
            await pool.connect(f"{url}?target_session_attrs=read-write")
        with pytest.raises(ConnectError, match=said):
            await Reactor().run(
                Settings(database_url=f"{url}?target_session_attrs=read-write"), handle_signals=False
            )


async def test_a_replica_goes_on_with_the_server_that_took_over_when_the_first_falls_silent(
    world: World, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert server.own is not None
    _address(server)
    app = Reactor()

    @app.on("hello")
    async def hello(event: Event[Any], ctx: Context) -> None:
        await enter(event, ctx)

    before, after = (Proxy(Path(server.own.socket_dir) / f".s.PGSQL.{server.own.tcp_port}") for _ in "ab")
    await before.start()
    await after.start()
    database = urlsplit(world.url).path
    tenant = await world.tenant()
    url = f"postgresql://postgres@127.0.0.1:{before.port},127.0.0.1:{after.port}{database}?sslmode=disable"
    try:
        async with running(app, url, lease_seconds=3):
            await world.emit(tenant, "hello")
            await world.until("select count(*) = 1 from public.ledger")
            before.black_hole = True
            before.forget_open(close_upstream=True)
            await world.emit(tenant, "hello")
            await world.until("select count(*) = 2 from public.ledger", within=30)
            (replica,) = app.replicas
            async with asyncio.timeout(40):
                while not (replica.health.connected and replica.health.listening):
                    await asyncio.sleep(0.05)
    finally:
        await before.stop()
        await after.stop()
