"""A deploy while the database, or the way to it, is silent: who is stopped ends by itself."""

import json
import os
import signal
import sys
from pathlib import Path

import anyio
import pytest

from reactor.db import pool
from tests.cli.conftest import as_role, login
from tests.conftest import Server
from tests.failure.proxy import Proxy


async def test_a_replica_whose_database_is_silent_ends_with_its_drain(
    server: Server, database_url: str, conn: pool.Connection, tmp_path: Path
) -> None:
    if server.own is None:
        pytest.skip("the proxy stands before the socket of a server of our own")
    proxy = Proxy(Path(server.own.socket_dir) / f".s.PGSQL.{server.own.tcp_port}")
    await proxy.start()
    name = await conn.fetchval("select current_database()")
    login(server, "silent_replica", "in role reactor")
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("REACTOR_", "PG"))}
    process = await anyio.open_process(
        [sys.executable, "-m", "reactor", "run"],
        cwd=tmp_path,
        env={
            **kept,
            "REACTOR_DATABASE_URL": as_role(f"postgresql://127.0.0.1:{proxy.port}/{name}", "silent_replica"),
            "REACTOR_HTTP_PORT": "0",
            "REACTOR_DRAIN_SECONDS": "1",
            "REACTOR_LOG_FORMAT": "json",
        },
    )
    assert process.stderr is not None
    lines: list[str] = []
    try:
        with anyio.fail_after(60):
            said = b""
            while b'"replica_started"' not in said or b'"listener_connected"' not in said:
                said += await process.stderr.receive()
            proxy.black_hole = True
            proxy.hold_open()
            process.send_signal(signal.SIGTERM)
            async for chunk in process.stderr:
                said += chunk
            code = await process.wait()
            lines = said.decode().splitlines()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        await proxy.stop()
        server.admin("drop role silent_replica")
    events = [json.loads(line)["event"] for line in lines if line.startswith("{")]
    assert code == 0, lines
    assert "replica_stopped" in events
    assert "process_ended_hard" not in events
