"""A real PgBouncer in front of the tests' server, where there is one (Debian: apt-get install pgbouncer)."""

import asyncio
import os
import pwd
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

from tests.conftest import Server
from tests.patience import patience

#: Debian puts it where only root's path looks.
PROGRAM = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin:/usr/local/sbin")


@asynccontextmanager
async def pgbouncer(server: Server, mode: str, *, size: int = 8) -> AsyncIterator[int]:
    """It listens on a port of this machine and pools ``size`` connections a database; gives its port."""
    assert PROGRAM is not None
    with tempfile.TemporaryDirectory(prefix="pgbouncer-") as directory:
        account = pwd.getpwnam("nobody") if os.getuid() == 0 else None
        config = Path(directory, "pgbouncer.ini")
        if account is not None:
            os.chown(directory, account.pw_uid, account.pw_gid)
        where = urlsplit(server.admin_url)
        host, port, password = where.hostname or "127.0.0.1", where.port, where.password
        if server.own is not None:
            host, port, password = "127.0.0.1", server.own.tcp_port, server.own.password
        for attempt in range(5):
            listening = _free_port()
            config.write_text(
                f"[databases]\n* = host={host} port={port} user=postgres password={password}\n"
                "[pgbouncer]\n"
                f"listen_addr = 127.0.0.1\nlisten_port = {listening}\nunix_socket_dir =\n"
                f"auth_type = any\npool_mode = {mode}\ndefault_pool_size = {size}\nmax_client_conn = 200\n"
                # asyncpg sends none but this one; others would have to be named here.
                "ignore_startup_parameters = extra_float_digits\n" + ("user = nobody\n" if account else "")
            )
            config.chmod(0o644)
            process = await asyncio.create_subprocess_exec(
                PROGRAM, "-q", str(config), stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
            )
            try:
                if await _answers(process, listening):
                    yield listening
                    return
            finally:
                if process.returncode is None:
                    process.kill()
                _, said = await process.communicate()
            assert attempt < 4, f"PgBouncer ended: {said.decode()}"


async def _answers(process: asyncio.subprocess.Process, port: int) -> bool:
    """Whether it listens; False when it ended, because somebody else had taken the port."""
    async with patience(20):
        while process.returncode is None:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.02)
            else:
                writer.close()
                # Else it may be the somebody that answers.
                with suppress(TimeoutError):
                    await asyncio.wait_for(process.wait(), 0.05)
                return process.returncode is None
    return False


def _free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
