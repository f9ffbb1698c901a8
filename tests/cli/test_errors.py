"""What a person reads when something is wrong: one line, a hint, an exit code that scripts can use."""

import os
import subprocess
import sys
from urllib.parse import urlsplit

import pytest

from reactor.cli import entry as cli
from reactor.cli.registry import COMMANDS, Command
from reactor.cli.session import session
from reactor.errors import Discard, Fenced, ReactorError, Retry, from_sqlstate
from tests.operators import as_role, login


async def probe(tenant: str = "") -> None:
    """Reads the outbox, as most commands do."""
    async with session("probe") as connection:
        await connection.fetchval("select count(*) from reactor.events")


async def raises(sqlstate: str, more: str = "") -> None:
    """Has the database raise an error of ours."""
    async with session("probe") as connection:
        await connection.execute(f"do $$ begin raise 'it is so' using errcode = '{sqlstate}'{more}; end $$")


@pytest.fixture(autouse=True)
def commands(clean, monkeypatch):
    """The commands, and two more that only connect."""
    extra = (
        Command("probe", f"{__name__}:probe", "Probes."),
        Command("raises", f"{__name__}:raises", "Raises."),
    )
    monkeypatch.setitem(sys.modules, __name__, sys.modules.get(__name__) or _this_module())
    monkeypatch.setattr(cli, "COMMANDS", (*COMMANDS, *extra))


def _this_module():
    import types

    module = types.ModuleType(__name__)
    module.probe, module.raises = probe, raises
    return module


@pytest.fixture
def tcp(server):
    """The server over TCP, where it asks for a password."""
    if server.own is None:
        pytest.skip("needs a server that we run ourselves")
    return server.own


def refused(capsys, monkeypatch, url: str | None, *argv: str) -> tuple[int, str, str]:
    """Exit code, line and hint of a command that fails; nothing goes to stdout."""
    if url is not None:
        monkeypatch.setenv("REACTOR_DATABASE_URL", url)
    code = cli.run(argv or ("probe",))
    out, err = capsys.readouterr()
    assert out == ""
    line, *hints = err.splitlines()
    assert line.startswith("reactor: ")
    assert len(hints) == 1
    assert "Traceback" not in err
    return code, line, hints[0]


def test_a_wrong_setting_exits_2(capsys, monkeypatch):
    monkeypatch.setenv("REACTOR_CONCURRENCY", "many")
    code, line, hint = refused(capsys, monkeypatch, "postgresql://h/d")
    assert code == 2
    assert line.startswith("reactor: REACTOR_CONCURRENCY is wrong: 'many'")
    assert "whole number" in hint


def test_no_setting_at_all_exits_2(capsys, monkeypatch):
    code, line, _ = refused(capsys, monkeypatch, None)
    assert (code, line) == (2, "reactor: REACTOR_DATABASE_URL is not set")


def test_an_unreachable_server_exits_3(capsys, monkeypatch):
    code, line, hint = refused(capsys, monkeypatch, "postgresql://u:hunter2@127.0.0.1:1/d")
    assert code == 3
    assert line.startswith("reactor: the database server 127.0.0.1:1 cannot be reached: ")
    assert "REACTOR_DATABASE_URL" in hint
    assert "hunter2" not in line + hint


def test_a_host_that_does_not_exist_exits_3(capsys, monkeypatch):
    code, line, _ = refused(capsys, monkeypatch, "postgresql://u@nowhere.invalid/d")
    assert code == 3
    assert "nowhere.invalid cannot be reached" in line


def test_a_wrong_password_exits_3_and_is_not_shown(capsys, monkeypatch, tcp):
    code, line, hint = refused(
        capsys, monkeypatch, f"postgresql://postgres:hunter2@127.0.0.1:{tcp.tcp_port}/postgres"
    )
    assert code == 3
    assert "refuses the login: password authentication failed" in line
    assert "hunter2" not in line + hint


def test_a_missing_database_exits_3(capsys, monkeypatch, server):
    code, line, _ = refused(capsys, monkeypatch, server.url("nowhere"))
    assert code == 3
    assert 'database "nowhere" does not exist' in line


def test_a_database_that_is_not_migrated_exits_3(capsys, monkeypatch, empty_database_url):
    code, line, hint = refused(capsys, monkeypatch, empty_database_url)
    assert (code, line) == (3, "reactor: this database has no schema reactor yet")
    assert hint.strip() == "hint: run `reactor migrate`"


def test_a_role_without_the_privilege_exits_3(capsys, monkeypatch, server, database_url):
    server.admin("drop role if exists stranger", "create role stranger login password 'hunter2'")
    try:
        url = server.url(urlsplit(database_url).path[1:], "stranger", "hunter2")
        code, line, hint = refused(capsys, monkeypatch, url)
    finally:
        server.admin("drop role stranger")
    assert code == 3
    assert "permission denied for schema reactor" in line
    assert "grant reactor to" in hint


def test_a_role_that_may_not_migrate_is_told_what_an_administrator_must_run(capsys, monkeypatch, server):
    name = server.create()
    server.admin("drop role if exists plain", "create role plain login password 'hunter2'")
    try:
        monkeypatch.setenv("REACTOR_DATABASE_URL", server.url(name, "plain", "hunter2"))
        assert cli.run(["migrate"]) == 3
        err = capsys.readouterr().err
        assert err.startswith("reactor: role plain may not prepare this database\n")
        by_hand = [line.strip() for line in err.splitlines()[2:]]
        assert f'grant create on database "{name}" to "plain";' in by_hand
    finally:
        server.drop(name)
        server.admin("drop role plain")


@pytest.mark.parametrize("argv", [["nonsense"], ["migrate", "--nonsense"], ["probe", "one", "two"]])
def test_a_mistake_on_the_command_line_exits_2(capsys, monkeypatch, argv):
    code, _, hint = refused(capsys, monkeypatch, None, *argv)
    assert code == 2
    assert "reactor" in hint


@pytest.mark.parametrize(
    ("argv", "said", "see"),
    [
        (["--nope"], "there is no option '--nope'", "reactor --help"),
        (["kill-switch", "toggle"], "there is no command 'kill-switch toggle'", "reactor kill-switch --help"),
        (["dead", "lost"], "there is no command 'dead lost'", "reactor dead --help"),
        (["dead", "--nope"], "there is no option '--nope'", "reactor dead --help"),
        (["status", "now"], "`reactor status` takes no argument 'now'", "reactor status --help"),
        (["kill-switch", "on"], "--reason requires an argument", "reactor kill-switch on --help"),
    ],
)
def test_a_mistake_is_told_with_the_help_of_the_command_that_it_was_made_in(
    capsys, monkeypatch, argv, said, see
):
    _, line, hint = refused(capsys, monkeypatch, None, *argv)
    assert said in line
    assert hint.strip() == f"hint: see `{see}`"


def test_a_command_that_is_almost_right_is_suggested(capsys, monkeypatch):
    _, line, hint = refused(capsys, monkeypatch, None, "migrat")
    assert line == "reactor: there is no command 'migrat'"
    assert hint.strip() == "hint: did you mean `reactor migrate`?"


@pytest.mark.parametrize("option", ["fooo=bar", "statement_timeout=soon", "max_connections=4"])
def test_an_option_of_the_url_that_the_server_refuses_is_a_wrong_setting(
    capsys, monkeypatch, database_url, option
):
    code, line, hint = refused(capsys, monkeypatch, f"{database_url}&{option}")
    assert code == 2
    assert "refuses an option of the database URL" in line
    assert option.partition("=")[0] in line
    assert "follows the ?" in hint


def test_who_types_help_is_shown_the_way_to_it(capsys, monkeypatch):
    _, line, hint = refused(capsys, monkeypatch, None, "help")
    assert line == "reactor: there is no command 'help'"
    assert hint.strip() == "hint: see `reactor --help`"


def test_an_error_code_of_our_own_is_one_line(capsys, monkeypatch, database_url):
    monkeypatch.setenv("REACTOR_DATABASE_URL", database_url)
    assert cli.run(["raises", "RX003"]) == 2
    assert capsys.readouterr().err == "reactor: it is so\n"
    assert cli.run(["raises", "P0001"]) == 1
    assert capsys.readouterr().err == "reactor: the database says: it is so\n"


@pytest.mark.parametrize(
    ("sqlstate", "first"), [("RX003", "it is so"), ("P0001", "the database says: it is so")]
)
def test_detail_and_hint_of_the_server_have_lines_of_their_own_once(
    capsys, monkeypatch, database_url, sqlstate, first
):
    monkeypatch.setenv("REACTOR_DATABASE_URL", database_url)
    more = ", detail = e'row 1\\nrow 2', hint = e'do this\\nthen that'"
    assert cli.run(["raises", sqlstate, more]) in (1, 2)
    assert capsys.readouterr().err.splitlines() == [
        f"reactor: {first}",
        "  detail: row 1",
        "  row 2",
        "  hint: do this",
        "  then that",
    ]


def test_a_privilege_that_the_server_names_is_the_hint(capsys, monkeypatch, database_url):
    monkeypatch.setenv("REACTOR_DATABASE_URL", database_url)
    assert cli.run(["raises", "42501", ", hint = 'ask the owner'"]) == 3
    assert capsys.readouterr().err.splitlines()[1:] == ["  hint: ask the owner"]


def test_our_codes_become_our_errors():
    assert isinstance(from_sqlstate("RX001", "lost"), Fenced)
    assert from_sqlstate("40001", "other") is None
    assert from_sqlstate(None, "other") is None


def test_decisions_of_a_handler_are_no_errors_of_ours():
    assert not isinstance(Retry(reason="later"), ReactorError)
    assert str(Discard("old")) == "old"


def test_help_names_every_command_without_importing_one(capsys):
    program = (
        "import sys; from reactor.cli.entry import run; run(['--help']);"
        "print(sorted(m for m in sys.modules if m.startswith('reactor.cli.')))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert (
        done.stdout.splitlines()[-1] == "['reactor.cli.entry', 'reactor.cli.registry', 'reactor.cli.streams']"
    )
    for command in COMMANDS:
        assert command.name in done.stdout


@pytest.mark.parametrize("name", [command.name for command in COMMANDS])
def test_every_command_has_help_with_an_example(capsys, name):
    assert cli.run([name, "--help"]) == 0
    shown = capsys.readouterr().out
    assert "xample" in shown


@pytest.mark.parametrize("of", ["role", "database"])
def test_a_limit_of_connections_is_named_as_whose_it_is(of, server, database_url):
    name = f"limited_{os.getpid()}"
    login(server, name)
    place = urlsplit(database_url).path[1:]
    limited = name if of == "role" else place
    server.admin(f'alter {of} "{limited}" connection limit 0')
    try:
        done = subprocess.run(
            [sys.executable, "-m", "reactor", "status"],
            env=os.environ | {"REACTOR_DATABASE_URL": as_role(database_url, name)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 3
        assert f'hint: alter {of} "{limited}" connection limit …' in done.stderr
    finally:
        server.admin(f"drop role {name}", f'alter database "{place}" connection limit -1')
