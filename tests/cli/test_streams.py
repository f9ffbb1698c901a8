"""What a shell does to a command's streams: closed, full, nobody at the other end, letters missing."""

import json
import os
import subprocess
import sys

import pytest

COMMANDS = (
    "status",
    "status --json",
    "tenants list",
    "tenants list --json",
    "watches",
    "--help",
    "emit --help",
)


@pytest.fixture
def shell(clean, operator_url, db):
    """Runs a line of bash in which $R is the program."""
    db.tenant("Ärger ☂ \U0001f600")
    settings = {
        **os.environ,
        "REACTOR_DATABASE_URL": operator_url,
        "R": f"{sys.executable} -m reactor",
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
    }

    def run(line: str, **more: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            ["bash", "-c", line],
            env=settings | more,
            capture_output=True,
            timeout=60,
            check=False,
            encoding="utf-8",
        )
        assert "Traceback" not in done.stderr
        return done

    return run


@pytest.mark.parametrize("words", COMMANDS)
def test_a_reader_that_goes_away_is_no_error(shell, words):
    done = shell(f"(trap '' PIPE; sleep 0.3; $R {words}; echo $? >&2) | true")
    assert done.stderr == "0\n"


@pytest.mark.parametrize("words", COMMANDS)
def test_output_that_finds_no_room_is_said_in_one_line(shell, words):
    done = shell(f"$R {words} >/dev/full")
    assert done.returncode == 1
    assert done.stderr == "reactor: the output cannot be written: No space left on device\n"


def test_lines_are_not_folded_for_a_program_whatever_the_terminals_width(shell, db):
    name = "A tenant with a name that is as long as the width of the terminal, and longer"
    db.tenant(name)
    done = shell("$R tenants list | cat", COLUMNS="40")
    head, *rows = done.stdout.splitlines()
    assert head.startswith("id ")
    assert len(rows) == 2
    assert any(name in row for row in rows)


def test_a_row_is_one_line_for_a_program_however_long_it_is(shell, db):
    names = [f"{letter} name of a tenant that is long {'and longer ' * 25}".strip() for letter in "AB"]
    for name in names:
        db.tenant(name)
    done = shell("$R tenants list | cat")
    head, *rows = done.stdout.splitlines()
    assert [name for name in names if sum(name in row for row in rows) == 1] == names
    assert len(rows) == 3
    assert not [row for row in (head, *rows) if row != row.rstrip()]


def test_bash_completes_commands_and_options(shell):
    ask = 'COMP_WORDS=($1) COMP_CWORD=$2; _reactor; echo "${COMPREPLY[@]}"'
    define = f"source <($R completion bash); ask() {{ {ask}; }};"
    assert shell(f"{define} ask 'reactor do' 1").stdout.split() == ["doctor"]
    assert shell(f"{define} ask 'reactor dead re' 2").stdout.split() == ["replay"]
    assert "--since" in shell(f"{define} ask 'reactor dead replay --s' 3").stdout.split()


def test_top_writes_every_look_into_a_pipe_and_ends_with_its_reader(shell):
    done = shell(
        "timeout 30 $R top --every 200ms | grep --max-count 3 'oldest ready  '; echo ${PIPESTATUS[0]}"
    )
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["oldest", "oldest", "oldest", "0"]


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize("words", ["status", "tenants list --json"])
def test_a_stream_that_the_shell_closed_is_silent(shell, words, closed):
    assert shell(f"$R {words} {closed}").returncode == 0


def test_a_question_that_nobody_can_answer_is_not_asked(shell):
    done = shell("$R emit Nobody x - <&-")
    assert done.returncode == 2
    assert done.stderr.startswith("reactor: the payload is no JSON: ")


def test_letters_that_the_output_lacks_are_replaced_and_escaped_in_json(shell):
    for encoding in (
        {"PYTHONIOENCODING": "ascii"},
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    ):
        assert shell("$R status", **encoding).returncode == 0
        assert "?rger ? ?" in shell("$R tenants list", **encoding).stdout
        [row] = json.loads(shell("$R tenants list --json", **encoding).stdout)
        assert row["name"] == "Ärger ☂ \U0001f600"
