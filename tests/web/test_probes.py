"""/livez, /readyz, /startupz and /metrics of a running replica."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import anyio
import httpx2
import pytest
from pydantic import SecretStr
from starlette.applications import Starlette
from structlog.testing import capture_logs

from reactor import Context, Event, Reactor, Settings
from reactor.db import pool
from reactor.errors import SettingError
from reactor.telemetry import names
from reactor.web.access import Access
from reactor.web.health import routes
from reactor.web.server import bind, serve
from tests.conftest import Server
from tests.patience import patience


@asynccontextmanager
async def served(app: Reactor, *urls: str) -> AsyncIterator[httpx2.AsyncClient]:
    settings = Settings(databases=",".join(urls), http_port=0)
    async with anyio.create_task_group() as group:

        async def start(*, task_status: anyio.abc.TaskStatus[None]) -> None:
            await app.run(settings, handle_signals=False, serve_http=True, task_status=task_status)

        async def address() -> str:
            async with patience(20):
                while True:
                    for line in said:
                        if line["event"] == names.HTTP_LISTENING:
                            return line["address"]
                    await asyncio.sleep(0.01)

        with capture_logs() as said:
            await group.start(start)
            async with httpx2.AsyncClient(base_url=await address()) as client:
                yield client
            app.drain()


async def until(client: httpx2.AsyncClient, path: str, status: int) -> str:
    async with patience(20):
        while (answer := await client.get(path)).status_code != status:
            await asyncio.sleep(0.02)
    return answer.text


async def test_a_replica_says_that_it_lives_has_started_and_is_ready(database_url: str) -> None:
    app = Reactor()
    async with served(app, database_url) as client:
        assert await until(client, "/livez", 200) == "live\n"
        assert await until(client, "/startupz", 200) == "ok\n"
        assert await until(client, "/readyz", 200) == "ok\n"
        metrics = (await client.get("/metrics")).text
        assert f'reactor_listener_up{{database="{pool.name_database(database_url)}"}} 1.0' in metrics


async def test_a_replica_that_drains_lives_and_is_not_ready(database_url: str, conn: pool.Connection) -> None:
    app, inside, go = Reactor(), asyncio.Event(), asyncio.Event()

    @app.on("work")
    async def work(event: Event[Any], ctx: Context) -> None:
        inside.set()
        await go.wait()

    tenant = await conn.fetchval("insert into public.tenants (name) values ('Acme') returning id")
    async with served(app, database_url) as client:
        await until(client, "/readyz", 200)
        await conn.execute("select reactor.emit($1, 'work')", tenant)
        await inside.wait()
        app.drain()
        assert "draining" in await until(client, "/readyz", 503)
        assert (await client.get("/livez")).status_code == 200
        go.set()


async def test_a_replica_without_its_listener_is_not_ready_and_soon_is_again(
    server: Server, database_url: str, conn: pool.Connection
) -> None:
    app = Reactor()
    name = await conn.fetchval("select current_database()")
    async with served(app, database_url) as client:
        await until(client, "/readyz", 200)
        await asyncio.to_thread(server.admin, f"alter database {name} allow_connections false")
        try:
            await conn.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity "
                "where application_name like '%listener' and datname = current_database()"
            )
            assert "notifications do not arrive" in await until(client, "/readyz", 503)
            assert (await client.get("/livez")).status_code == 200
        finally:
            await asyncio.to_thread(server.admin, f"alter database {name} allow_connections true")
        await until(client, "/readyz", 200)


async def ask(
    path: str,
    *,
    client: tuple[str, int],
    token: str | None,
    given: str | bytes = "",
    trusted: bool = False,
    starved: bool = False,
    silence: timedelta | None = None,
    **away: bool,
) -> httpx2.Response:
    """``away``: the databases by their names, and whether one does not answer."""
    replicas = [
        SimpleNamespace(
            database=name,
            started=True,
            connected=not is_away,
            listening=True,
            draining=False,
            starved=starved,
            silence=silence,
        )
        for name, is_away in (away or {"only": False}).items()
    ]
    access = Access(SecretStr(token) if token else None, trusts_loopback=trusted)
    app = Starlette(routes=routes(lambda: replicas, listens=True, access=access))
    transport = httpx2.ASGITransport(app=app, client=client)
    async with httpx2.AsyncClient(transport=transport, base_url="http://x") as asked:
        return await asked.get(path, headers={"Authorization": given} if given else {})


@pytest.mark.parametrize(
    ("client", "token", "given", "status"),
    [
        ("127.0.0.1", None, "", 200),
        ("::ffff:127.0.0.1", None, "", 200),  # of a socket that takes both kinds
        ("10.1.2.3", None, "", 403),
        ("10.1.2.3", "a-long-token", "", 401),
        ("10.1.2.3", "a-long-token", "Bearer another", 401),
        ("10.1.2.3", "a-long-token", "Bearer a-long-token", 200),
        ("10.1.2.3", "a-long-token", "Bearer ü".encode(), 401),
        ("10.1.2.3", "ein-schlüssel", "Bearer ein-schlüssel".encode(), 200),
        ("10.1.2.3", "ein-schlüssel", "Bearer ein-schluessel", 401),
        ("10.1.2.3", None, b"Bearer \xff", 403),
        ("127.0.0.1", "a-long-token", "", 401),
        ("127.0.0.1", "a-long-token", "bearer a-long-token", 200),
    ],
)
async def test_metrics_are_for_the_token_or_where_none_is_set_for_this_machine(
    client: str, token: str | None, given: str | bytes, status: int
) -> None:
    answer = await ask("/metrics", client=(client, 1), token=token, given=given)
    assert answer.status_code == status
    assert (await ask("/readyz", client=(client, 1), token=token)).status_code == 200


async def test_metrics_need_no_token_of_this_machine_where_loopback_is_trusted() -> None:
    for client, status in (("127.0.0.1", 200), ("::1", 200), ("10.1.2.3", 401)):
        answer = await ask("/metrics", client=(client, 1), token="a-long-token", trusted=True)
        assert answer.status_code == status, client


async def test_who_asks_is_not_told_by_a_header_whatever_the_environment_trusts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FORWARDED_ALLOW_IPS", "*")  # as it is set for other servers, in containers
    listening = bind(Settings(http_host="0.0.0.0", http_port=0))
    assert listening is not None
    listening.listen()  # whoever comes before the server is ready waits
    url = f"http://127.0.0.1:{listening.getsockname()[1]}/metrics"
    # Any address that is not among those of loopback that count as this one stands for another machine.
    elsewhere = httpx2.AsyncHTTPTransport(local_address="127.0.0.2")
    async with anyio.create_task_group() as group, httpx2.AsyncClient(transport=elsewhere) as client:
        group.start_soon(serve, listening, routes(list, listens=True, access=Access(None)))
        assert (await client.get(url)).status_code == 403
        assert (await client.get(url, headers={"X-Forwarded-For": "127.0.0.1"})).status_code == 403
        # A proxy on this machine says for whom it asks.
        async with httpx2.AsyncClient() as near:
            assert (await near.get(url)).status_code == 200
            assert (await near.get(url, headers={"X-Forwarded-For": "10.1.2.3"})).status_code == 403
        group.cancel_scope.cancel()


async def test_a_replica_that_should_have_handled_a_canary_and_has_not_is_not_ready() -> None:
    answer = await ask("/readyz", client=("10.1.2.3", 1), token=None, silence=timedelta(seconds=200))
    assert answer.status_code == 503
    assert answer.text == "no canary event came through for 200 s, though slots are free\n"
    assert (await ask("/livez", client=("10.1.2.3", 1), token=None)).status_code == 200


async def test_a_replica_whose_handlers_get_no_connection_is_not_ready() -> None:
    answer = await ask("/readyz", client=("10.1.2.3", 1), token=None, starved=True)
    assert (answer.status_code, answer.text) == (503, "handlers get no connection to the database\n")


async def test_which_of_several_databases_is_away_is_said_without_its_password(
    server: Server, template: str, database_url: str
) -> None:
    name = server.create(template)
    url = server.url(name, "postgres", "not-for-everybody")
    try:
        async with served(Reactor(), database_url, url) as client:
            await until(client, "/readyz", 200)
            await asyncio.to_thread(
                server.admin,
                f"alter database {name} allow_connections false",
                f"select pg_terminate_backend(pid) from pg_stat_activity where datname = '{name}'",
            )
            said = await until(client, "/readyz", 503)
            while "does not answer" not in said:
                said = (await client.get("/readyz")).text
            for reason in said.rstrip("\n").split("; "):
                assert reason.startswith(f"database 2 ({pool.name_database(url)}): "), said
                assert name in reason
            assert "not-for-everybody" not in said
            assert "postgres" not in said
            assert (await client.get("/startupz")).status_code == 200
            await asyncio.to_thread(server.admin, f"alter database {name} allow_connections true")
            await until(client, "/readyz", 200)
    finally:
        server.drop(name)


@pytest.mark.parametrize(
    ("client", "given", "said"),
    [
        ("127.0.0.1", "", "database 2: the database does not answer\n"),
        ("127.0.0.1", "Bearer a-long-token", "database 2 (there): the database does not answer\n"),
        ("10.1.2.3", "", "database 2: the database does not answer\n"),
        ("10.1.2.3", "Bearer a-long-token", "database 2 (there): the database does not answer\n"),
    ],
)
async def test_where_a_database_is_is_told_to_whom_the_metrics_are(
    client: str, given: str, said: str
) -> None:
    answer = await ask(
        "/readyz", client=(client, 1), token="a-long-token", given=given, here=False, there=True
    )
    assert (answer.status_code, answer.text) == (503, said)


async def test_a_single_database_needs_no_name() -> None:
    answer = await ask("/readyz", client=("127.0.0.1", 1), token=None, only=True)
    assert answer.text == "the database does not answer\n"


def test_a_port_that_was_set_and_is_taken_is_an_error_that_names_it() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(SettingError, match=f"127.0.0.1:{port} cannot be listened on"):
            bind(Settings(http_port=port))


def test_the_default_port_that_is_taken_is_said_with_the_way_to_another() -> None:
    with socket.socket() as taken:
        # Connections of a server that was there before do not keep it from being taken.
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with suppress(OSError):  # somebody else's, which does as well
            taken.bind(("127.0.0.1", 8080))
            taken.listen()
        with capture_logs() as said:
            assert bind(Settings()) is None
    (line,) = said
    assert line["event"] == names.HTTP_UNAVAILABLE
    assert "REACTOR_HTTP_PORT" in line["hint"]


async def test_a_server_that_follows_another_one_in_the_same_process_answers() -> None:
    for _ in range(3):
        listening = bind(Settings(http_port=0))
        assert listening is not None
        listening.listen()
        url = f"http://127.0.0.1:{listening.getsockname()[1]}/livez"
        async with asyncio.timeout(20), anyio.create_task_group() as group, httpx2.AsyncClient() as client:
            group.start_soon(serve, listening, routes(list, listens=True, access=Access(None)))
            assert (await client.get(url)).status_code == 200
            group.cancel_scope.cancel()
