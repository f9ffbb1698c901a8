"""A deploy while the database, or the way to it, is away or silent: who is stopped ends by itself."""

import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio.abc import Process

from reactor.db import pool
from tests.cli.conftest import as_role, login
from tests.conftest import Server
from tests.failure.proxy import Proxy


@dataclass
class Replica:
    """A `reactor run` behind a proxy, and what it has logged."""

    process: Process
    proxy: Proxy
    said: bytes = b""

    @property
    def lines(self) -> list[dict[str, Any]]:
        complete = self.said.decode().rpartition("\n")[0]
        return [json.loads(line) for line in complete.splitlines()]

    async def says(self, event: str, times: int = 1) -> None:
        assert self.process.stderr is not None
        with anyio.fail_after(60):
            while [line["event"] for line in self.lines].count(event) < times:
                self.said += await self.process.stderr.receive()

    async def ends(self) -> int:
        assert self.process.stderr is not None
        self.process.send_signal(signal.SIGTERM)
        with anyio.fail_after(60):
            async for chunk in self.process.stderr:
                self.said += chunk
            return await self.process.wait()


@pytest.fixture
async def replica(
    server: Server,
    database_url: str,
    conn: pool.Connection,
    tmp_path: Path,
) -> AsyncIterator[Replica]:
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
            "REACTOR_LEASE_SECONDS": "3",
        },
    )
    started = Replica(process, proxy)
    try:
        await started.says("replica_started")
        await started.says("listener_connected")
        yield started
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        await process.aclose()
        await proxy.stop()
        server.admin("drop role silent_replica")


async def test_a_replica_whose_database_is_silent_ends_with_its_drain(replica: Replica) -> None:
    replica.proxy.black_hole = True
    replica.proxy.hold_open()
    # By then its connections are given up, and others are on their way to nowhere.
    await replica.says("heartbeat_failed", times=3)
    assert await replica.ends() == 0, replica.lines
    events = [line["event"] for line in replica.lines]
    assert "replica_stopped" in events
    assert "process_ended_hard" not in events


async def test_an_outage_is_told_in_lines_of_the_reactors_own(replica: Replica) -> None:
    replica.proxy.refuse = True
    replica.proxy.reset_open()
    await replica.says("heartbeat_failed", times=5)
    assert await replica.ends() == 0, replica.lines
    # A library's have the name of its logger, and may have a page of frames.
    assert [line for line in replica.lines if "logger" in line or "exception" in line] == []
