"""``reactor health``: 0 is healthy, 1 is not, and nothing else is ever said."""

import http.server
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest


@contextmanager
def answering(status: int) -> Iterator[tuple[int, list[str]]]:
    """An HTTP server with one answer; its port and the paths it was asked for."""
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_port, asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.mark.parametrize(
    ("probe", "path"), [("ready", "/readyz"), ("live", "/livez"), ("startup", "/startupz")]
)
@pytest.mark.parametrize(("status", "code"), [(200, 0), (503, 1), (404, 1)])
def test_it_asks_the_replica_over_http(cli, probe, path, status, code):
    with answering(status) as (port, asked):
        env = {"REACTOR_HTTP_PORT": str(port), "REACTOR_HTTP_HOST": "0.0.0.0"}
        said = cli("health", "--probe", probe, env=env)
    assert said.code == code
    assert said.out.startswith(f"{'healthy' if code == 0 else 'unhealthy'}: {path} says {status}")
    assert asked == [path]


def test_a_port_that_was_set_and_is_silent_is_unhealthy(cli):
    port = closed_port()
    said = cli("health", env={"REACTOR_HTTP_PORT": str(port)})
    assert (said.code, said.out) == (1, f"unhealthy: nobody answers on 127.0.0.1:{port}\n")


@pytest.mark.parametrize(("seen", "code"), [("0", 0), ("1 h", 1)])
def test_without_http_the_database_knows_whether_the_replica_lives(cli, db, seen, code):
    db.enlist("mine", seen=seen)
    db.enlist("others")
    said = cli("health", "--via", "database", env={"REACTOR_REPLICA": "mine"})
    assert said.code == code
    assert (
        said.out
        == f"{'healthy: replica mine lives' if code == 0 else 'unhealthy: replica mine has fallen silent'}\n"
    )


def test_a_replica_that_found_its_name_taken_is_known_by_the_name_that_it_was_to_have(cli, db):
    db.enlist("mine", seen="1 h")
    db.enlist("mine-2-abc")
    asked = {"env": {"REACTOR_REPLICA": "mine"}}
    assert cli("health", "--via", "database", **asked).code == 1
    db.run("update reactor.replicas set info = info || '{\"name\": \"mine\"}' where replica = 'mine-2-abc'")
    assert cli("health", "--via", "database", **asked).code == 0


def test_a_replica_is_known_by_its_host_when_it_has_no_name(cli, db):
    db.enlist("elsewhere-1-abc")
    said = cli("health", "--via", "database")
    assert (said.code, said.out) == (1, f"unhealthy: there is no replica of {socket.gethostname()}\n")
    db.enlist(f"{socket.gethostname()}-1-abc")
    assert cli("health", "--via", "database", "--json").json == {
        "healthy": True,
        "asked": "database",
        "said": f"a replica of {socket.gethostname()} lives",
    }


@pytest.mark.parametrize(
    "trouble",
    [
        {"url": "postgresql://u:hunter2@127.0.0.1:1/d"},
        {"env": {"REACTOR_CONCURRENCY": "many"}},
    ],
)
def test_whatever_is_wrong_it_exits_1(cli, trouble):
    said = cli("health", "--via", "database", **trouble)
    assert said.code == 1
    assert said.out.startswith("unhealthy: ")
    assert "hunter2" not in said.out


@pytest.mark.parametrize("words", [["--probe", "pulse"], ["--via", "ftp"], ["--quietly"], ["now"]])
def test_a_check_that_is_written_wrongly_exits_1_as_well(cli, words):
    said = cli("health", *words)
    assert (said.code, said.out) == (1, "")
    assert said.err.startswith("reactor: ")


def test_a_database_that_accepts_and_says_nothing_is_unhealthy(cli, monkeypatch):
    monkeypatch.setattr("reactor.cli.health._SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        url = f"postgresql://127.0.0.1:{port}/x?sslmode=disable"
        said = cli("health", "--via", "database", "--json", url=url)
    assert said.code == 1
    assert said.json == {"healthy": False, "asked": "database", "said": "the database does not answer"}
