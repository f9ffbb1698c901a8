"""docs/cli.md names every command and every option, and none that does not exist."""

import re
from pathlib import Path

import pytest

from reactor.cli import entry
from reactor.cli.registry import COMMANDS

PAGE = (Path(__file__).parents[2] / "docs" / "cli.md").read_text()
#: Explained once, or by `reactor demo --help` and `reactor migrate --help`.
EVERYWHERE = {"--json", "--help", "--version"}


@pytest.fixture
def help_of(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")

    def run(*words: str) -> str:
        capsys.readouterr()
        assert entry.run([*words, "--help"]) == 0
        return capsys.readouterr().out

    return run


def subcommands(text: str) -> list[str]:
    listed = text.partition("Commands ─")[2].partition("╰")[0]
    return re.findall(r"^│ ([a-z][a-z-]*)  ", listed, flags=re.MULTILINE)


@pytest.mark.parametrize("name", [command.name for command in COMMANDS])
def test_every_command_and_option_is_on_the_page_and_every_command_has_an_example(name, help_of):
    text = help_of(name)
    assert f"`reactor {name}" in PAGE
    for sub in subcommands(text):
        assert re.search(rf"`(reactor {name} )?{sub}\b", PAGE), f"{name} {sub}"
        text_of_sub = help_of(name, sub)
        assert "Example: " in text_of_sub, f"{name} {sub}"
        text += text_of_sub
    assert "Example: " in text
    if name != "demo":
        for option in set(re.findall(r"--[a-z][a-z-]+", text)) - EVERYWHERE:
            assert option in PAGE, f"{name} {option}"


def test_help_shows_a_default_as_it_would_be_typed(help_of):
    for command in COMMANDS:
        text = help_of(command.name)
        text += "".join(help_of(command.name, sub) for sub in subcommands(text))
        shown = re.findall(r"\[default:\s+([^\]]*)\]", text)
        assert not {word for word in shown if re.match(r"None|False|True|0:|\(", word)}, command.name
    assert "[default: insert]" in help_of("watch")


def test_no_option_on_the_page_is_made_up(help_of):
    known = {"--app"} | EVERYWHERE
    for command in COMMANDS:
        text = help_of(command.name)
        known |= set(re.findall(r"--[a-z][a-z-]+", text))
        for sub in subcommands(text):
            known |= set(re.findall(r"--[a-z][a-z-]+", help_of(command.name, sub)))
    assert set(re.findall(r"--[a-z][a-z-]+", PAGE)) <= known
