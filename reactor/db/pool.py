"""Connections: how they are opened, what they decode, and how a refusal is said in one line.

The only startup parameter we send is application_name: poolers refuse most others.
"""

import asyncio
import json
import re
import ssl
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import parse_qs, unquote, urlsplit
from uuid import UUID

import asyncpg
import orjson
from pydantic import SecretStr

from reactor.errors import ConnectError, MissingPrivilege, ReactorError, SettingError, redact

if TYPE_CHECKING:
    Connection = asyncpg.Connection[asyncpg.Record]
    Pool = asyncpg.Pool[asyncpg.Record]
else:  # asyncpg's classes take no parameters when the program runs
    Connection = asyncpg.Connection
    Pool = asyncpg.Pool

Pooler = Literal["auto", "none", "transaction"]

_CONNECT_SECONDS = 10.0
# What is nested deeper stays text: Postgres takes thousands of levels, orjson reads 1024 and writes 254.
_LEVELS = 200
_JSON_TOKEN = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|(?P<open>[\[{])|(?P<close>[\]}])|(?P<comma>,)', re.DOTALL)
# What passes by itself when a server, or a proxy before it, is only starting.
_BUSY = (
    asyncpg.CannotConnectNowError,
    asyncpg.TooManyConnectionsError,
    asyncpg.ConnectionDoesNotExistError,
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
    url = _plain(dsn)
    until = time.monotonic() + patience.total_seconds()
    wait = 0.1
    while True:
        try:
            connection: Connection = await asyncpg.connect(url, **_options(name, pooler))
            await init(connection)
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
    prepare: Callable[[Connection], Coroutine[Any, Any, None]] | None = None,
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
    opened = [first] if first is not None else []

    async def connect_one(*args: Any, **options: Any) -> Connection:
        if opened:
            return opened.pop()
        another: Connection = await asyncpg.connect(*args, **options)
        return another

    return await asyncpg.create_pool(
        _plain(dsn),
        **_options(name, pooler),
        min_size=ready,
        max_size=size,
        max_inactive_connection_lifetime=300,
        connect=connect_one,
        init=prepare or init,
        reset=_leave_as_it_is if keep_session else None,
    )


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


def to_json(value: object, *, indented: bool = False) -> str:
    """JSON text; Decimal becomes a string, since a float would change the amount."""
    form = orjson.OPT_NON_STR_KEYS | (orjson.OPT_INDENT_2 if indented else 0)
    return orjson.dumps(value, default=_simple, option=form).decode()


def read_json(text: str) -> Any:
    """What a json or jsonb holds. What no reader of ours can hold stays text within it (see read_exactly).

    The driver calls it: an error here would make a whole row unreadable for one odd value in it.
    """
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return read_exactly(text)


def read_exactly(text: str, *, outer: int = 3) -> Any:
    """JSON text of the server, of which :func:`to_json` makes the same again.

    A number that a float or a bigint would change, and what is nested deeper than can be read or written,
    is an ``orjson.Fragment``: its text. ``outer``: so many levels of a deep document are taken apart.
    """
    if _depth(text) <= _LEVELS:
        return json.loads(text, parse_float=_fraction, parse_int=_whole)
    if not outer:
        return orjson.Fragment(text.strip())
    text = text.strip()
    if text.startswith("["):
        return [read_exactly(member, outer=outer - 1) for member in _members(text)]
    found: dict[str, Any] = {}
    for member in _members(text):
        key, end = json.JSONDecoder().raw_decode(member.lstrip())
        found[key] = read_exactly(member.lstrip()[end:].lstrip().removeprefix(":"), outer=outer - 1)
    return found


def _fraction(written: str) -> float | orjson.Fragment:
    number = float(written)
    return number if Decimal(repr(number)) == Decimal(written) else orjson.Fragment(written)


def _whole(written: str) -> int | orjson.Fragment:
    # All of a bigint's, and nothing that orjson would refuse.
    return int(written) if len(written) < 20 and abs(int(written)) < 2**63 else orjson.Fragment(written)


def _depth(text: str) -> int:
    depth = deepest = 0
    for token in _JSON_TOKEN.finditer(text):
        depth += {"open": 1, "close": -1}.get(token.lastgroup or "", 0)
        deepest = max(deepest, depth)
    return deepest


def _members(text: str) -> Iterator[str]:
    """The texts of the members of one array or object, with their keys."""
    depth, start = 0, 1
    for token in _JSON_TOKEN.finditer(text):
        depth += {"open": 1, "close": -1}.get(token.lastgroup or "", 0)
        if token.lastgroup == "comma" and depth == 1:
            yield text[start : token.start()]
            start = token.end()
    yield text[start:-1]


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
        case asyncpg.InsufficientPrivilegeError():
            return missing_privilege(error)
        case asyncpg.TooManyConnectionsError():
            return ConnectError(
                f"{where} has no connection left: {_first_line(error)}",
                hint="raise max_connections, or lower REACTOR_CONCURRENCY",
            )
        case asyncpg.CannotConnectNowError():
            return ConnectError(f"{where} is not ready: {_first_line(error)}", hint="try again in a moment")
        case asyncpg.ClientConfigurationError() | ValueError():
            return SettingError(
                f"the database URL is wrong: {redact(_first_line(error))}",
                hint="write it as postgresql://user:password@host:5432/database",
            )
        case ssl.SSLError():
            return ConnectError(f"{where}: TLS failed: {_first_line(error)}", hint="see sslmode in the URL")
        case asyncio.TimeoutError():
            return ConnectError(
                f"{where} does not answer within {_CONNECT_SECONDS:.0f} s",
                hint="check the host and the firewall",
            )
        case ConnectionError() | OSError():
            return ConnectError(
                f"{where} cannot be reached: {_first_line(error)}",
                hint="is the server running, and are host and port in REACTOR_DATABASE_URL right?",
            )
        case asyncpg.PostgresConnectionError() | asyncpg.ProtocolViolationError():
            return ConnectError(f"{where} ended the connection: {_first_line(error)}")
        case _:
            return None


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
            return f"the database servers {unquote(several)}"
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


def _plain(dsn: str | SecretStr) -> str:
    return dsn.get_secret_value() if isinstance(dsn, SecretStr) else dsn


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return redact(lines[0]) if lines else type(error).__name__


def _simple(value: object) -> str:
    # The driver's UUID is a class of its own, which orjson does not know.
    if isinstance(value, Decimal | SecretStr | UUID):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no form in JSON")
