"""A deploy while the database, or the way to it, is away or silent: who is stopped ends by itself."""

import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.conftest import Server
from tests.failure.proxy import Proxy
from tests.processes import Running, replica


@dataclass
class Cut:
    """A `reactor run`, and the way to its database."""

    running: Running
    proxy: Proxy


@pytest.fixture
async def cut(server: Server, operator_url: str, tmp_path: Path) -> AsyncIterator[Cut]:
    if server.own is None:
        pytest.skip("the proxy stands before the socket of a server of our own")
    proxy = Proxy(Path(server.own.socket_dir) / f".s.PGSQL.{server.own.tcp_port}")
    await proxy.start()
    user = urlsplit(operator_url).netloc.rpartition("@")[0]
    url = urlsplit(operator_url)._replace(netloc=f"{user}@127.0.0.1:{proxy.port}", query="").geturl()
    settings = {"REACTOR_DRAIN_SECONDS": "1", "REACTOR_LOG_FORMAT": "json", "REACTOR_LEASE_SECONDS": "3"}
    try:
        async with replica(tmp_path, url, **settings) as running:
            await running.says("replica_started")
            await running.says("listener_connected")
            yield Cut(running, proxy)
    finally:
        await proxy.stop()


async def test_a_replica_whose_database_is_silent_ends_with_its_drain(cut: Cut) -> None:
    cut.proxy.black_hole = True
    cut.proxy.hold_open()
    # By then its connections are given up, and others are on their way to nowhere.
    await cut.running.says("heartbeat_failed", times=3)
    assert await cut.running.end(signal.SIGTERM) == 0, cut.running.lines
    events = cut.running.events
    assert "replica_stopped" in events
    assert "process_ended_hard" not in events


async def test_an_outage_is_told_in_lines_of_the_reactors_own(cut: Cut) -> None:
    cut.proxy.refuse = True
    cut.proxy.reset_open()
    await cut.running.says("heartbeat_failed", times=5)
    assert await cut.running.end(signal.SIGTERM) == 0, cut.running.lines
    # A library's have the name of its logger, and may have a page of frames.
    assert [line for line in cut.running.told if "logger" in line or "exception" in line] == []
