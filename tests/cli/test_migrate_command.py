"""``reactor migrate``, as scripts use it."""

import json

import pytest

from reactor.cli import entry as cli
from reactor.db import sqlfiles


@pytest.fixture(autouse=True)
def setting(monkeypatch, empty_database_url):
    monkeypatch.setenv("REACTOR_DATABASE_URL", empty_database_url)


def run(capsys, *argv: str) -> tuple[int, str, str]:
    code = cli.run(["migrate", *argv])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_check_exits_1_until_all_is_applied(capsys):
    code, out, _ = run(capsys, "--check")
    assert code == 1
    assert "schema/0001_foundation" in out
    code, out, err = run(capsys)
    assert code == 0
    assert out == f"{len(sqlfiles.load())} files applied. The database is up to date.\n"
    assert err.splitlines()[0].startswith(f"[1/{len(sqlfiles.load())}] schema/0001_foundation (")
    code, out, _ = run(capsys, "--check")
    assert (code, out) == (0, "The database is up to date.\n")
    assert run(capsys) == (0, "The database is up to date.\n", "")


def test_the_plan_names_what_would_run_and_runs_nothing(capsys):
    code, out, _ = run(capsys, "--plan", "--json")
    assert code == 0
    plan = json.loads(out)
    assert [item["file"] for item in plan["pending"]] == [file.name for file in sqlfiles.load()]
    assert {item["reason"] for item in plan["pending"]} == {"new"}
    assert run(capsys, "--check")[0] == 1


def test_json_tells_what_was_applied(capsys):
    code, out, err = run(capsys, "--json")
    assert (code, err) == (0, "")
    assert [item["name"] for item in json.loads(out)["applied"]] == [file.name for file in sqlfiles.load()]
    assert json.loads(run(capsys, "--check", "--json")[1]) == {"pending": [], "up_to_date": True}
