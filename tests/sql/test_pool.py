"""Connections: what they decode, what they wait for, what they hide."""

import asyncio
import contextlib
import socket
from datetime import timedelta
from decimal import Decimal
from urllib.parse import urlsplit
from uuid import UUID

import asyncpg
import pytest

from reactor.db import pool
from reactor.errors import ConnectError, SettingError


async def test_json_comes_and_goes_as_python_objects(conn):
    value = {"a": [1, 2.5, None, True], "b": {"c": 'ü \\u0041 "quoted"'}}
    assert await conn.fetchval("select $1::jsonb", value) == value
    assert await conn.fetchval("select $1::json", value) == value
    assert await conn.fetchval("select $1::jsonb", None) is None


async def test_money_in_json_keeps_every_digit(conn):
    amount = Decimal("12345678901234567890.10")
    assert await conn.fetchval("select $1::jsonb ->> 'amount'", {"amount": amount}) == str(amount)


async def test_other_types_in_json_are_written_or_refused(conn):
    key = UUID("018f0000-0000-7000-8000-000000000001")
    assert await conn.fetchval("select $1::jsonb ->> 'id'", {"id": key}) == str(key)
    with pytest.raises(asyncpg.DataError):
        await conn.fetchval("select $1::jsonb", {"id": object()})


async def test_the_server_sees_who_connects(conn):
    assert (
        await conn.fetchval("select application_name from pg_stat_activity where pid = pg_backend_pid()")
        == "test"
    )


async def test_a_pool_opens_connections_as_they_are_needed(database_url):
    async with await pool.create_pool(database_url, size=3, name="reactor/one") as opened:
        assert opened.get_size() == 1
        async with opened.acquire() as first, opened.acquire() as second:
            assert await first.fetchval("select '{}'::jsonb") == {}
            assert await second.fetchval("show application_name") == "reactor/one"
        assert opened.get_max_size() == 3


async def test_a_direct_connection_is_not_taken_for_a_pooled_one(conn):
    assert await pool.is_pooled(conn) is False


async def test_a_pooler_is_noticed_by_the_process_id_that_it_invents(database_url, server):
    """A relay that does what poolers do: it answers with a cancel key of its own."""
    if server.own is None or server.own.tcp_port is None:
        pytest.skip("needs a server that we run ourselves, with TCP")
    async with relay(server.own.tcp_port) as port:
        name = database_url.split("?")[0].rsplit("/", 1)[-1]
        url = f"postgresql://postgres:{server.own.password}@127.0.0.1:{port}/{name}"
        async with pool.connected(url, pooler="transaction") as connection:
            assert await pool.is_pooled(connection) is True
        async with await pool.create_pool(url, size=1) as opened, opened.acquire() as connection:
            assert await prepared(connection) == 0
    async with await pool.create_pool(database_url, size=1) as opened, opened.acquire() as connection:
        assert await prepared(connection) > 0


async def prepared(connection) -> int:
    """How many statements the session keeps for later; they would meet another session behind a pooler."""
    await connection.fetchval("select 1")
    return await connection.fetchval("select count(*) from pg_prepared_statements where not from_sql")


@contextlib.asynccontextmanager
async def relay(upstream: int, port: int = 0, *, invent: bool = True):
    async def copy(reader, writer, change) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                writer.write(change(data))
                await writer.drain()
        writer.close()

    def other_key(data: bytes) -> bytes:
        # BackendKeyData: 'K', length 12 (protocol 3.0), process id, secret
        at = data.find(b"K\x00\x00\x00\x0c")
        return data if at < 0 or not invent else data[: at + 5] + b"\x00\x00\x00\x01" + data[at + 9 :]

    async def serve(reader, writer) -> None:
        upstream_reader, upstream_writer = await asyncio.open_connection("127.0.0.1", upstream)
        await asyncio.gather(
            copy(reader, upstream_writer, lambda data: data), copy(upstream_reader, writer, other_key)
        )

    listening = await asyncio.start_server(serve, "127.0.0.1", port)
    async with listening:
        yield listening.sockets[0].getsockname()[1]


async def test_a_server_that_comes_late_is_waited_for(server, monkeypatch):
    if server.own is None or server.own.tcp_port is None:
        pytest.skip("needs a server that we run ourselves, with TCP")
    refused = asyncio.Event()
    real = asyncpg.connect

    async def noted(*arguments, **options):
        try:
            return await real(*arguments, **options)
        except OSError:
            refused.set()
            raise

    monkeypatch.setattr(asyncpg, "connect", noted)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"postgresql://postgres:{server.own.password}@127.0.0.1:{port}/postgres"
    with pytest.raises(ConnectError):
        await pool.connect(url, patience=timedelta(0))
    refused.clear()
    waiting = asyncio.create_task(pool.connect(url, patience=timedelta(seconds=20)))
    async with asyncio.timeout(20):
        await refused.wait()
        async with relay(server.own.tcp_port, port, invent=False):
            connection = await waiting
            assert await connection.fetchval("select 1") == 1
            await connection.close()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgresql://u:secret@h:1/d", "postgresql://u:***@h:1/d"),
        ("postgresql://u:se:cr@et@h/d", "postgresql://u:***@h/d"),
        ("postgres://h/d?user=u&password=secret&x=1", "postgres://h/d?user=u&password=***&x=1"),
        ("host=h password='se cret' user=u", "host=h password=*** user=u"),
        ("two postgresql://a:x@h and smtp://b:y@h", "two postgresql://a:***@h and smtp://b:***@h"),
        ("resend://KEY@host", "resend://***@host"),
        ("postgresql://u@h/d", "postgresql://u@h/d"),
    ],
)
def test_secrets_are_cut_out_of_any_text(text, shown):
    assert pool.redact(text) == shown


@pytest.mark.parametrize(
    ("url", "where"),
    [
        ("postgresql://u:p@db.example:5433/x", "the database server db.example:5433"),
        ("postgresql://u@/x?host=%2Ftmp&port=5", "the database server /tmp:5"),
        ("postgresql://", "the database server"),
        ("postgresql://u:p@h:notaport/x", "the database server"),
        ("postgresql://u:p,@a:5432,b:5433/x", "the database server a:5432,b:5433"),
        ("postgresql://u:p@a:5432,b:notaport/x", "the database server"),
    ],
)
def test_a_url_is_described_by_its_host(url, where):
    assert pool.describe(url) == where


@pytest.mark.parametrize(
    ("url", "where"),
    [
        ("postgresql://u:p@h:1/caf%C3%A9", "the database server h:1, database café"),
        ("postgresql:///?host=h&dbname=crm", "the database server h, database crm"),
        ("postgresql://u:p@h:1", "the database server h:1"),
        ("postgresql://u:p@h:notaport/x", "the database server, database x"),
    ],
)
def test_several_databases_of_a_server_are_told_apart(url, where):
    assert pool.describe_database(url) == where


async def test_a_url_that_cannot_be_read_is_a_wrong_setting():
    with pytest.raises(SettingError) as caught:
        await pool.connect("postgresql://u:hunter2@h:notaport/x")
    assert "hunter2" not in f"{caught.value} {caught.value.hint}"


async def test_the_driver_writes_no_tracebacks_of_its_own_in_an_outage(database_url, server, caplog):
    name = urlsplit(database_url).path.removeprefix("/")
    own = await pool.create_pool(database_url, size=2)
    server.admin(
        f"alter database {name} with allow_connections false",
        f"select pg_terminate_backend(pid, 5000) from pg_stat_activity where datname = '{name}'",
    )
    for _ in range(5):
        with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError)):
            async with own.acquire() as connection:
                await connection.execute("select 1")
    own.terminate()
    assert [record for record in caplog.records if record.name.startswith("asyncpg")] == []
