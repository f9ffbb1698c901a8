"""What an app registers."""

from collections.abc import Sequence
from datetime import timedelta
from functools import wraps
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reactor import Context, Event, Reactor
from reactor.errors import BadArgument
from reactor.handlers import parse_duration


@pytest.mark.parametrize(
    ("text", "duration"),
    [
        ("1h", timedelta(hours=1)),
        ("1h30m", timedelta(minutes=90)),
        ("500ms", timedelta(milliseconds=500)),
        (" 1.5 S ", timedelta(seconds=1.5)),
        ("1d 2h", timedelta(hours=26)),
        (timedelta(seconds=3), timedelta(seconds=3)),
    ],
)
def test_durations_are_read_as_people_write_them(text: str | timedelta, duration: timedelta) -> None:
    assert parse_duration(text) == duration


@pytest.mark.parametrize("text", ["", "soon", "1", "1 week", "-1s", "0s", "1h and 2m", timedelta(0)])
def test_what_is_no_duration_is_refused(text: str | timedelta) -> None:
    with pytest.raises(BadArgument):
        parse_duration(text)


@given(st.integers(1, 10**6), st.sampled_from(["ms", "s", "m", "h", "d"]))
def test_a_number_and_a_unit_are_always_a_duration(number: int, unit: str) -> None:
    units = {"ms": "milliseconds", "s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
    assert parse_duration(f"{number}{unit}") == timedelta(**{units[unit]: number})


def test_handlers_of_a_type_are_in_order_of_priority_then_of_registration() -> None:
    app = Reactor()

    def register(name: str, priority: int) -> None:
        async def handler(event: Event[Any], ctx: Context) -> None: ...

        app.on("x", name=name, priority=priority)(handler)

    for name, priority in (("c", 1), ("a", 0), ("d", 1), ("b", 0)):
        register(name, priority)
    assert [s.name for s in app.handlers.by_type["x"]] == ["a", "b", "c", "d"]


def test_the_gated_types_are_known() -> None:
    app = Reactor()

    @app.on("free")
    async def free(event: Event[Any], ctx: Context) -> None: ...

    @app.on("gated", gated=True, batch=5)
    async def gated(events: Sequence[Event[Any]], ctx: Context) -> None: ...

    assert app.handlers.gated_types == ["gated"]
    both = Reactor()
    both.include(app)
    assert both.handlers.gated_types == ["gated"]


def test_an_app_included_twice_is_refused() -> None:
    app, part = Reactor(), Reactor()

    @part.on("x")
    async def handler(event: Event[Any], ctx: Context) -> None: ...

    app.include(part)
    with pytest.raises(BadArgument, match="twice"):
        app.include(part)


def test_a_decorated_handler_need_not_look_async() -> None:
    import functools

    app = Reactor()

    async def handler(event: Event[Any], ctx: Context) -> None: ...

    @functools.wraps(handler)
    def wrapped(*arguments: Any) -> Any:
        return handler(*arguments)

    app.on("x")(wrapped)
    app.on("y")(functools.partial(handler))
    assert set(app.handlers.by_type) == {"x", "y"}


def test_a_wrapper_is_asked_what_it_takes_itself_and_not_what_it_wraps() -> None:
    app = Reactor()

    def with_bank(function: Any) -> Any:
        @wraps(function)
        async def wrapper(*arguments: Any) -> None:
            await function(*arguments, "bank")

        return wrapper

    @app.on("x")
    @with_bank
    async def handler(event: Event[Any], ctx: Context, bank: str) -> None: ...

    @app.every("1h")
    async def job(ctx: Any, at_most: int = 5) -> None: ...

    assert [s.name.rpartition(".")[2] for s in app.handlers.by_type["x"]] == ["handler"]
