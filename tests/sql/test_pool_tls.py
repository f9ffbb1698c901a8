"""What is said when TLS with the database, or the URL that asks for it, is wrong."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from reactor.db import pool
from reactor.db.urls import for_driver
from reactor.errors import ConnectError, SettingError
from tests.automation.tls import server_context
from tests.conftest import Server

CERTIFICATE = Path(__file__).parents[1] / "unit" / "certificates" / "certificate.pem"


@asynccontextmanager
async def speaking_tls() -> AsyncIterator[int]:
    """A server whose certificate has another address, as far as the handshake; gives its port."""
    context = server_context()

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(8)
        writer.write(b"S")
        try:
            await writer.start_tls(context)
        except (OSError, EOFError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(greet, "127.0.0.2", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def test_a_certificate_that_is_not_to_be_trusted_is_the_surroundings_fault_and_no_setting() -> None:
    async with speaking_tls() as port:
        url = f"postgresql://u:p@127.0.0.2:{port}/d?sslmode=verify-full&sslrootcert={CERTIFICATE}"
        with pytest.raises(ConnectError, match=r"TLS failed.*not valid for '127.0.0.2'") as refused:
            await pool.connect(url)
        assert "sslrootcert" in (refused.value.hint or "")


async def test_a_server_without_tls_is_said_to_have_none(server: Server) -> None:
    if server.own is None:
        pytest.skip("needs a server that has no TLS")
    url = f"postgresql://postgres:{server.own.password}@127.0.0.1:{server.own.tcp_port}/postgres"
    with pytest.raises(ConnectError, match=r"has no TLS, which sslmode"):
        await pool.connect(f"{url}?sslmode=require")


@pytest.mark.parametrize(("name", "mode"), [("sslrootcert", "verify-full"), ("sslcert", "require")])
async def test_a_file_that_cannot_be_read_is_named(name: str, mode: str, tmp_path: Path) -> None:
    missing = tmp_path / "nowhere.crt"
    with pytest.raises(SettingError, match=f"{name}.*nowhere.crt"):
        await pool.connect(f"postgresql://u:p@127.0.0.1:1/d?sslmode={mode}&{name}={missing}")


async def test_who_signed_the_certificate_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(SettingError) as refused:
        await pool.connect("postgresql://u:p@127.0.0.1:1/d?sslmode=verify-full")
    assert "sslrootcert=" in (refused.value.hint or "")


async def test_what_only_libpq_knows_in_a_url_is_not_asked_of_the_server(database_url: str) -> None:
    parts = urlsplit(database_url)
    ours = "connect_timeout=5&keepalives=1&gssencmode=disable&channel_binding=prefer&options=-c%20geqo%3Doff"
    url = parts._replace(query=f"{parts.query}&{ours}").geturl()
    connection = await pool.connect(url)
    assert await connection.fetchval("show geqo") == "off"
    await connection.close()
    async with await pool.create_pool(url, size=1) as clients:
        assert await clients.fetchval("select 1") == 1


def test_a_url_without_such_words_stays_as_it_is() -> None:
    for url in ("postgresql://u:p%2F@h/d?host=%2Frun&sslmode=require", "postgresql://", "postgresql://[x/d"):
        assert for_driver(url) == url


def test_a_binding_to_the_channel_that_is_required_is_refused_and_not_passed_over() -> None:
    with pytest.raises(SettingError, match="channel_binding=require"):
        for_driver("postgresql://u:p@h/d?sslmode=require&channel_binding=require")
