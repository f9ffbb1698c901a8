"""Where a handler failed, as its author wants to read it: file, line and function of their own code."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable
from types import CodeType

import pytest
from pydantic import BaseModel

from reactor import events, frames
from reactor.engine import caller
from reactor.frames import where_raised, where_running, where_suspended

HERE = __file__


def error_of(function: Callable[..., None], *arguments: object) -> Exception:
    try:
        function(*arguments)
    except Exception as error:
        return error
    raise AssertionError


def names(where: list[str]) -> list[str]:
    return [place.rsplit(" ", 1)[1].rpartition(".")[2] for place in where]


def outer(text: str) -> None:
    inner(text)


def inner(text: str) -> None:
    json.loads(text)


def deep(left: int) -> None:
    if left == 0:
        raise RuntimeError("at the bottom")
    deep(left - 1)


def test_the_users_frames_are_named_and_the_standard_librarys_are_not() -> None:
    where = where_raised(error_of(outer, "{"))
    assert names(where) == ["error_of", "outer", "inner"]
    line = inner.__code__.co_firstlineno + 1
    assert where[-1] == f"{HERE}:{line} inner"


def test_only_the_innermost_are_kept() -> None:
    assert names(where_raised(error_of(deep, 500))) == ["deep"] * 3


def test_of_a_group_the_first_members_frames_are_told() -> None:
    group = ExceptionGroup("two", [error_of(outer, "{"), ValueError()])
    assert names(where_raised(group))[-1] == "inner"


def test_an_error_that_was_never_raised_came_from_nowhere() -> None:
    assert where_raised(ValueError("made by hand")) == []


@pytest.mark.parametrize(
    ("files", "kept"),
    [
        (["site-packages/shop/a.py", "site-packages/driver/b.py"], ["site-packages/shop/a.py"]),
        (["site-packages/shop/a.py", "app/b.py", "site-packages/driver/c.py"], ["app/b.py"]),
        (["site-packages/shop/a.py", "driver.pyx", "<string>"], ["site-packages/shop/a.py"]),
    ],
)
def test_an_app_that_is_installed_as_a_package_has_its_own_frames(files: list[str], kept: list[str]) -> None:
    """As in an image, where everything is in site-packages."""
    root = "/srv/"
    places = [(code_of(root + file if "/" in file else file), 7) for file in files]
    assert frames._told(places) == [f"{root}{file}:7 f" for file in kept]


def test_the_engines_own_frames_are_never_told_and_the_librarys_only_where_nobody_elses_are() -> None:
    engine = caller.__file__
    builtin = engine.replace("/engine/caller.py", "/automation/orders.py")
    assert frames._told([(code_of(engine), 1)]) == []
    assert frames._told([(code_of(engine), 1), (code_of(builtin), 2)]) == [f"{builtin}:2 f"]
    assert frames._told([(code_of(builtin), 2), (code_of("/srv/app.py"), 3)]) == ["/srv/app.py:3 f"]


class Reading(BaseModel):
    kwh: int


def test_a_payload_that_does_not_fit_failed_nowhere_in_anybodys_code() -> None:
    """No handler was called, so there is no line of its author's to look at."""
    error = error_of(events.fit, Reading, '{"kwh": "x"}')
    places = [place for place in frames._raised(error) if place[0].co_filename != HERE]
    assert places
    assert frames._told(places) == []


def test_a_line_is_bounded_and_can_be_written_down() -> None:
    (line,) = frames._told([(code_of("/srv/" + "d/" * 400 + "\udcff.py"), 12)])
    assert len(line) <= 200
    assert line.endswith("?.py:12 f")


def code_of(file: str) -> CodeType:
    return compile("def f(): pass", file, "exec").co_consts[0]


async def test_a_waiting_task_is_followed_through_all_that_it_awaits() -> None:
    gate = asyncio.Event()

    async def handler() -> None:
        async for _ in numbers():
            pass

    async def numbers() -> AsyncIterator[int]:
        yield await helper()

    async def helper() -> int:
        await gate.wait()
        return 1

    async def plain() -> None:
        await helper()

    task = asyncio.create_task(plain())
    looped = asyncio.create_task(handler())
    await asyncio.sleep(0)
    assert names(where_suspended(task)) == ["plain", "helper"]
    assert names(where_suspended(looped))[0] == "handler"
    gate.set()
    await asyncio.gather(task, looped)


def test_a_running_thread_is_told_by_its_innermost_frames() -> None:
    def busy() -> list[str]:
        return where_running(sys._getframe())

    assert names(busy())[-1] == "busy"
