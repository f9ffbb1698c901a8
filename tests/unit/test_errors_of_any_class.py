"""What is said of an error does not depend on what its class makes of being asked."""

import copy
import pickle
from datetime import timedelta
from time import process_time
from typing import Any

import orjson
import pytest

from reactor.context import RunCounters
from reactor.engine.outcome import Outcome, decide_failure, describe
from reactor.engine.refusals import hint_for
from reactor.errors import Discard, ReactorError, Retry, downward, text_of
from reactor.frames import where_raised
from reactor.handlers import Subscription
from reactor.testing import make_event


class Unreadable(Exception):
    def __str__(self) -> str:
        raise SystemExit("not even with Exception")


class Untraceable(Exception):
    @property
    def __traceback__(self) -> Any:
        raise RuntimeError


class OfItself(ExceptionGroup[Exception]):
    @property
    def exceptions(self) -> Any:
        return (self,)


class Unmade(ReactorError):
    def __init__(self) -> None: ...


def nested(depth: int) -> Exception:
    error: Exception = ValueError("at the bottom")
    for _ in range(depth):
        error = ExceptionGroup("group", [error])
    return error


def raised(error: BaseException) -> BaseException:
    try:
        raise error
    except BaseException:
        return error


async def nothing(_event: object, _ctx: object) -> None: ...


@pytest.mark.parametrize(
    "error",
    [
        Unreadable(),
        Untraceable("a"),
        OfItself("g", [ValueError()]),
        Unmade(),
        nested(5000),
        ValueError("\udc00\0"),
        BaseExceptionGroup("g", [GeneratorExit()]),
    ],
    ids=lambda error: type(error).__name__,
)
def test_every_error_can_be_told_and_written_down(error: BaseException) -> None:
    error = raised(error)
    told = describe(error, "h\0\udc00")
    assert where_raised(error)
    hint_for(error)
    outcome = decide_failure(
        make_event("x"), error, (Subscription("x", nothing, "h"),), max_attempts=1, handler="h"
    )
    assert outcome.verdict == "dead"
    assert "\\u0000" not in orjson.dumps([told, outcome.as_json()]).decode()


def test_a_group_is_looked_into_as_deep_as_a_person_would() -> None:
    assert [text_of(error) for error in downward(nested(2))][-1] == "at the bottom"
    assert len(list(downward(nested(5000)))) < 100


@pytest.mark.parametrize("wrong", [5, 5.0, "5s", timedelta])
def test_a_retry_after_anything_but_a_timedelta_is_refused_where_it_is_raised(wrong: Any) -> None:
    with pytest.raises(TypeError, match="takes a timedelta or None"):
        Retry(wrong)


@pytest.mark.parametrize("wrong", [None, 5, ValueError("x")])
def test_a_discard_without_a_text_is_refused_where_it_is_raised(wrong: Any) -> None:
    with pytest.raises(TypeError, match="takes the reason as text"):
        Discard(wrong)


def test_a_retry_comes_out_of_a_process_pool_as_it_went_in() -> None:
    retry = Retry(timedelta(seconds=5), "busy", counts=False)
    for same in (pickle.loads(pickle.dumps(retry)), copy.copy(retry)):
        assert (str(same), same.after, same.reason, same.counts) == ("busy", retry.after, "busy", False)


@pytest.mark.parametrize(
    ("asked", "given"),
    [
        (timedelta.min, 0),
        (timedelta(seconds=-1), 0),
        (timedelta.max, 3650 * 86400),
        (timedelta(seconds=2), 2),
    ],
)
def test_a_delay_is_one_that_the_server_can_add_to_a_date(asked: timedelta, given: float) -> None:
    assert Outcome(1, "retry", "", delay=asked).as_json()["delay"] == given


def test_a_delay_that_was_set_afterwards_is_the_usual_one_when_it_is_none() -> None:
    retry = Retry(counts=False)
    retry.after = 5  # type: ignore[assignment]
    outcome = decide_failure(
        make_event("x"), retry, (Subscription("x", nothing, "h"),), max_attempts=9, handler="h"
    )
    assert (outcome.verdict, outcome.delay) == ("retry", None)


def test_counters_are_whole_numbers_that_a_column_holds() -> None:
    for number in (0, True, 2**31 - 1, -5):
        RunCounters(executed=number, phase="act").check()
    for wrong in (2**31, -(2**64), 0.5, "1", None, object()):
        with pytest.raises((TypeError, ValueError), match=r"ctx\.run\.executed"):
            RunCounters(executed=wrong).check()  # type: ignore[arg-type]
    for wrong in ("bogus", "completed", "\0", 5):
        with pytest.raises(ValueError, match=r"ctx\.run\.phase"):
            RunCounters(phase=wrong).check()  # type: ignore[arg-type]


def test_the_sum_of_counters_stays_what_a_column_holds() -> None:
    counters = RunCounters(executed=2**31 - 1)
    counters.add(RunCounters(executed=2**31 - 1, planned=1))
    assert (counters.executed, counters.planned) == (2**31 - 1, 1)


def test_a_long_text_of_an_error_is_read_in_a_moment() -> None:
    """A document that a handler quotes, and an address in it: for its passwords it was searched for hours."""
    began = process_time()
    told = text_of(ValueError("see http://u:secret@host " + "x" * 200_000 + " http://u:secret@host"))
    assert process_time() - began < 2
    assert told.startswith("see http://u:***@host xxx")
