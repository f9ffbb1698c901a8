"""``reactor run`` of an app whose lifespan is wrong: one line with the place, and nothing is started."""

import sys
from contextlib import asynccontextmanager

import pytest

from reactor import Reactor, ReactorError
from reactor.settings import load

BEGIN = """
from contextlib import asynccontextmanager, contextmanager
from reactor import Reactor
"""


def run(cli, tmp_path, monkeypatch, name: str, source: str):
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / f"{name}.py").write_text(f"{BEGIN}{source}\n")
    return cli("run", "--app", f"{name}:app", env={"REACTOR_LOG_LEVEL": "error"})


@pytest.mark.parametrize(
    ("name", "source", "said", "line"),
    [
        (
            "raises",
            (
                "@asynccontextmanager\nasync def bank(settings):\n    key = {}['BANK_KEY']\n    yield key\n"
                "app = Reactor(lifespan=bank)"
            ),
            "lifespan raises.bank cannot be entered: KeyError: 'BANK_KEY'",
            6,
        ),
        (
            "silent",
            (
                "@asynccontextmanager\nasync def bank(settings):\n    raise ValueError\n    yield\n"
                "app = Reactor(lifespan=bank)"
            ),
            "lifespan silent.bank cannot be entered: ValueError",
            6,
        ),
        (
            "included",
            "part = Reactor(lifespan=lambda settings: 1 / 0)\napp = Reactor()\napp.include(part)",
            "lifespan included.<lambda> cannot be entered: ZeroDivisionError: division by zero",
            4,
        ),
        (
            "sync",
            "@contextmanager\ndef bank(settings):\n    yield\napp = Reactor(lifespan=bank)",
            "lifespan sync.bank gives a _GeneratorContextManager and no async context manager",
            4,
        ),
        (
            "undecorated",
            "async def bank(settings):\n    yield\napp = Reactor(lifespan=bank)",
            "lifespan undecorated.bank is no async context manager",
            6,
        ),
        (
            "called",
            "@asynccontextmanager\nasync def bank(settings):\n    yield\napp = Reactor(lifespan=bank(1))",
            "a lifespan is a function of the settings, not <",
            7,
        ),
    ],
)
def test_a_lifespan_that_is_wrong_is_one_line_with_its_place(
    cli, tmp_path, monkeypatch, name, source, said, line
):
    told = run(cli, tmp_path, monkeypatch, name, source)
    first, *hints = told.err.splitlines()
    assert (told.code, told.out, len(hints) <= 1) == (2, "", True)
    assert said in first
    assert first.endswith(f"({tmp_path}/{name}.py, line {line})")


async def test_a_lifespan_that_fails_at_its_end_is_named_and_a_failure_of_the_block_is_not_its_own(clean):
    @asynccontextmanager
    async def bank(settings):
        yield
        raise ValueError("still open")

    app = Reactor(lifespan=bank)
    with pytest.raises(
        ReactorError, match=r"bank failed at its end: ValueError: still open \(.*line"
    ) as error:
        async with app.resources(load()):
            pass
    assert error.value.exit_code == 1
    with pytest.raises(KeyError):
        async with app.resources(load()):
            raise KeyError("ours")
