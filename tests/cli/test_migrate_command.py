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
    assert plan["up_to_date"] is False
    (only,) = plan["databases"]
    assert [item["file"] for item in only["pending"]] == [file.name for file in sqlfiles.load()]
    assert {item["reason"] for item in only["pending"]} == {"new"}
    assert run(capsys, "--check")[0] == 1


def test_json_tells_what_was_applied(capsys):
    code, out, err = run(capsys, "--json")
    assert (code, err) == (0, "")
    (only,) = json.loads(out)["databases"]
    assert [item["name"] for item in only["applied"]] == [file.name for file in sqlfiles.load()]
    again = json.loads(run(capsys, "--check", "--json")[1])
    assert again["up_to_date"] is True
    assert again["databases"][0]["pending"] == []


def test_a_fleet_of_several_databases_is_migrated_as_one(capsys, monkeypatch, server, empty_database_url):
    second = server.create()
    try:
        monkeypatch.setenv("REACTOR_DATABASES", f"{empty_database_url},{server.url(second)}")
        assert run(capsys)[1].count("files applied.") == 2
        code, out, _ = run(capsys, "--check", "--json")
        assert code == 0
        assert len(json.loads(out)["databases"]) == 2
    finally:
        server.drop(second)
