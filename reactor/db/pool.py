"""Connections: how they are opened, what they decode, and how a refusal is said in one line.

The only startup parameter we send is application_name: poolers refuse most others.
"""

import asyncio
import re
import ssl
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import parse_qs, unquote, urlsplit

import asyncpg
from pydantic import SecretStr

from reactor.db.hosts import Hosts
from reactor.db.json_text import read_json, to_json
from reactor.db.urls import for_driver, unreadable_file
from reactor.errors import ConnectError, MissingPrivilege, ReactorError, SettingError, redact

if TYPE_CHECKING:
    Connection = asyncpg.Connection[asyncpg.Record]
    Pool = asyncpg.Pool[asyncpg.Record]
else:  # asyncpg's classes take no parameters when the program runs
    Connection = asyncpg.Connection
    Pool = asyncpg.Pool

Pooler = Literal["auto", "none", "transaction"]
Prepare = Callable[[Connection], Coroutine[Any, Any, None]]

_CONNECT_SECONDS = 10.0
# What passes by itself when a server, or a proxy before it, is only starting.
_BUSY = (
    asyncpg.CannotConnectNowError,
    asyncpg.TooManyConnectionsError,
    asyncpg.ConnectionDoesNotExistError,
    asyncpg.TargetServerAttributeNotMatched,
    OSError,
    asyncio.TimeoutError,
)


async def connect(
    dsn: str | SecretStr,
    *,
    name: str = "reactor",
    patience: timedelta = timedelta(seconds=2),
    pooler: Pooler = "none",
) -> Connection:
    """One connection with our codecs. Tries for ``patience`` when the server is not there yet.

    With ``pooler`` other than "none" no prepared statement outlives its call.
    """
    url = for_driver(_plain(dsn))
    hosts = Hosts(url)
    until = time.monotonic() + patience.total_seconds()
    wait = 0.1
    while True:
        try:
            connection: Connection = await hosts.connect(url, **_options(name, pooler))
            await _soon(init, connection)
        except Exception as error:
            refused = explain(error, url)
            if refused is None:
                raise
            if not isinstance(error, _BUSY) or time.monotonic() + wait > until:
                raise refused from None
            await asyncio.sleep(wait)
            wait = min(wait * 2, 1.0)
        else:
            return connection


@asynccontextmanager
async def connected(
    dsn: str | SecretStr,
    *,
    name: str = "reactor",
    patience: timedelta = timedelta(seconds=2),
    pooler: Pooler = "none",
) -> AsyncIterator[Connection]:
    """:func:`connect` for a ``with`` block: the connection is closed at its end."""
    connection = await connect(dsn, name=name, patience=patience, pooler=pooler)
    try:
        yield connection
    finally:
        await connection.close(timeout=5)


async def create_pool(
    dsn: str | SecretStr,
    *,
    size: int,
    name: str = "reactor",
    pooler: Pooler = "auto",
    patience: timedelta = timedelta(seconds=2),
    keep_session: bool = False,
    ready: int = 1,
    first: Connection | None = None,
    prepare: Prepare | None = None,
) -> Pool:
    """A pool of at most ``size`` connections, opened as needed, the first ``ready`` of them at once.

    ``keep_session`` saves the round trip that cleans a connection when it is given back; whoever takes it
    cleans it then.

    ``prepare`` gives each connection other codecs than :func:`init` does.

    ``pooler`` and ``first`` are what :func:`connect_first` gave; the connection is the pool's from here on.
    With ``pooler="auto"`` that is called first.
    """
    if pooler == "auto":
        first, pooler = await connect_first(dsn, name=name, patience=patience)
    url = for_driver(_plain(dsn))
    opened, hosts = [first] if first is not None else [], Hosts(url)

    async def connect_one(*given: Any, **options: Any) -> Connection:
        return opened.pop() if opened else await hosts.connect(*given, **options)

    pool = await asyncpg.create_pool(
        url,
        **_options(name, pooler),
        # With a number of connections to keep, the driver opens them anew by itself, and logs each failure of
        # that with a traceback: in an outage this is said already, by everybody who needs one.
        min_size=0,
        max_size=size,
        max_inactive_connection_lifetime=300,
        connect=connect_one,
        init=partial(_soon, prepare or init),
        reset=_leave_as_it_is if keep_session else None,
    )
    try:
        connections = [await pool.acquire() for _ in range(ready)]
        for connection in connections:
            await pool.release(connection)
    except BaseException:
        pool.terminate()
        raise
    return pool


async def connect_first(
    dsn: str | SecretStr,
    *,
    name: str = "reactor",
    pooler: Pooler = "auto",
    patience: timedelta = timedelta(seconds=2),
) -> tuple[Connection, Pooler]:
    """The first of many connections, and what ``"auto"`` means for whatever answers on it.

    Behind a pooler statements are prepared anew at each call, because the next one may meet another session.
    """
    tried: Pooler = "none" if pooler == "auto" else pooler
    connection = await connect(dsn, name=name, patience=patience, pooler=tried)
    if pooler != "auto":
        return connection, pooler
    try:
        async with asyncio.timeout(_CONNECT_SECONDS):
            if not await is_pooled(connection):
                return connection, "none"
    except BaseException:
        connection.terminate()
        raise
    await connection.close(timeout=5)
    return await connect(dsn, name=name, patience=patience, pooler="transaction"), "transaction"


async def _leave_as_it_is(_connection: Connection) -> None:
    """What a pool runs instead of RESET ALL."""


def _options(name: str, pooler: Pooler) -> dict[str, Any]:
    return {
        "timeout": _CONNECT_SECONDS,
        "statement_cache_size": 100 if pooler == "none" else 0,
        "server_settings": {"application_name": name[:63]},
    }


async def is_pooled(connection: Connection) -> bool:
    """Whether a pooler answered: it invents the process id of the cancel key, so the two differ.

    Asked in one simple query: a prepared statement might meet two sessions.
    """
    answer = await connection.execute(
        f"select from pg_catalog.pg_backend_pid() b where b <> {connection.get_server_pid():d}"
    )
    return answer == "SELECT 1"


async def init(connection: Connection) -> None:
    """json and jsonb as Python objects. Called for every new connection."""
    for kind in ("json", "jsonb"):
        await connection.set_type_codec(
            kind, schema="pg_catalog", encoder=to_json, decoder=read_json, format="text"
        )


async def _soon(prepare: Prepare, connection: Connection) -> None:
    """``prepare``, where the server may have fallen silent when it had let us in."""
    try:
        async with asyncio.timeout(_CONNECT_SECONDS):
            await prepare(connection)
    except BaseException:
        connection.terminate()
        raise


def explain(error: BaseException, dsn: str | SecretStr) -> ReactorError | None:
    """One clear line for a connection that failed; ``None`` when ``error`` is about something else."""
    where = describe(dsn)
    match error:
        case asyncpg.InvalidPasswordError() | asyncpg.InvalidAuthorizationSpecificationError():
            return ConnectError(
                f"{where} refuses the login: {_first_line(error)}",
                hint="check the user and the password in REACTOR_DATABASE_URL, and pg_hba.conf of the server",
            )
        case asyncpg.InvalidCatalogNameError():
            return ConnectError(f"{where}: {_first_line(error)}", hint="create it: createdb NAME")
        case (
            asyncpg.UndefinedObjectError()
            | asyncpg.InvalidParameterValueError()
            | asyncpg.CantChangeRuntimeParamError()
        ) if any(f'"{option}"' in str(error) for option in parse_qs(urlsplit(_plain(dsn)).query)):
            return SettingError(
                f"{where} refuses an option of the database URL: {redact(_first_line(error))}",
                hint="what follows the ? are options of libpq, or settings that the server gives the session",
            )
        case asyncpg.InsufficientPrivilegeError():
            return missing_privilege(error)
        case asyncpg.TooManyConnectionsError():
            return ConnectError(
                f"{where} has no connection left: {_first_line(error)}",
                hint=_more_connections(str(error)),
            )
        case asyncpg.TargetServerAttributeNotMatched():
            wanted = parse_qs(urlsplit(_plain(dsn)).query).get("target_session_attrs", ["read-write"])[-1]
            return ConnectError(
                f"{where} answers, and is not {wanted}, as target_session_attrs of the URL wants it",
                hint="is it a standby, or read-only for the moment?",
            )
        case asyncpg.CannotConnectNowError():
            return ConnectError(f"{where} is not ready: {_first_line(error)}", hint="try again in a moment")
        case ssl.SSLError():  # before ValueError, which one that is about a certificate is as well
            return ConnectError(
                f"{where}: TLS failed: {_first_line(error)}",
                hint="sslrootcert in the URL names who signed the server's certificate, which has the host's "
                "name as the URL has it; see sslmode"
                if isinstance(error, ssl.SSLCertVerificationError)
                else "see sslmode, sslrootcert, sslcert and sslkey in the URL",
            )
        case asyncpg.ClientConfigurationError() | ValueError():
            return SettingError(
                f"the database URL is wrong: {redact(_first_line(error))}",
                hint="add sslrootcert=/path/of/who/signed/it.crt"
                if "root certificate" in str(error)
                else "write it as postgresql://user:password@host:5432/database",
            )
        case asyncio.TimeoutError():
            return ConnectError(
                f"{where} does not answer within {_CONNECT_SECONDS:.0f} s",
                hint="check the host and the firewall",
            )
        case ConnectionError() if "rejected SSL" in str(error):
            return ConnectError(
                f"{where} has no TLS, which sslmode in the URL asks for",
                hint="set ssl = on at the server; sslmode=prefer does without, where the network is trusted",
            )
        case ConnectionError() | OSError():
            return unreadable_file(_plain(dsn)) or ConnectError(
                f"{where} cannot be reached: {_first_line(error)}",
                hint="is the server running, and are host and port in REACTOR_DATABASE_URL right?",
            )
        case asyncpg.PostgresConnectionError() | asyncpg.ProtocolViolationError():
            return ConnectError(
                f"{where} ended the connection: {_first_line(error)}",
                hint="the pooler needs pool_mode = transaction, or session"
                if "statement pooling" in str(error)
                else None,
            )
        case _:
            return None


def _more_connections(refusal: str) -> str:
    """Whose limit it is, the server tells in its own language; in another one all three are named."""
    found = re.search(r'for (role|database) (".+")', refusal)
    if found is not None:
        return f"alter {found[1]} {found[2]} connection limit …, or lower REACTOR_CONCURRENCY"
    return "raise max_connections, or the limit of the role or the database, or lower REACTOR_CONCURRENCY"


def missing_privilege(error: BaseException) -> MissingPrivilege:
    """One line for SQLSTATE 42501."""
    return MissingPrivilege(
        f"the database role may not do this: {redact(_first_line(error))}",
        hint="run `reactor doctor`; a replica's role must be a member of role reactor (grant reactor to …)",
    )


def describe(dsn: str | SecretStr) -> str:
    """Host and port of a URL, for messages; never the user's password."""
    try:
        parts = urlsplit(_plain(dsn))
        query = parse_qs(parts.query)
        several = parts.netloc.rpartition("@")[2]
        if "," in several:
            for each in several.split(","):
                _ = urlsplit(f"//{each}").port  # a wrong one may be a piece of the password
            return f"the database server {unquote(several)}"
        host = unquote(parts.hostname or "") or query.get("host", [""])[0]
        port = parts.port or query.get("port", [""])[0]
    except ValueError:
        return "the database server"
    where = f"{host}:{port}" if host and port else host
    return f"the database server {where}" if where else "the database server"


def describe_database(dsn: str | SecretStr) -> str:
    """:func:`describe`, and which of the server's databases it is, where the URL says so."""
    try:
        parts = urlsplit(_plain(dsn))
        name = parse_qs(parts.query).get("dbname", [""])[0] or unquote(parts.path.removeprefix("/"))
    except ValueError:
        name = ""
    return f"{describe(dsn)}, database {name}" if name else describe(dsn)


def name_database(dsn: str | SecretStr) -> str:
    """:func:`describe_database` as a name: what logs, metrics, probes and the dashboard call it."""
    return describe_database(dsn).removeprefix("the database server").lstrip(", ") or "the database"


def _plain(dsn: str | SecretStr) -> str:
    return dsn.get_secret_value() if isinstance(dsn, SecretStr) else dsn


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return redact(lines[0]) if lines else type(error).__name__
