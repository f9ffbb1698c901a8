"""What became of an event, from what its handler raised."""

from datetime import timedelta

import orjson
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from reactor.engine.outcome import (
    Outcome,
    allowed_attempts,
    decide_failure,
    decide_unfit,
    describe,
)
from reactor.errors import BadArgument, Discard, Retry, storable
from reactor.events import MAX_DEPTH
from reactor.handlers import Subscription
from reactor.testing import make_event


class Model(BaseModel):
    n: int


async def nothing(_event: object, _ctx: object) -> None: ...


def subscription(max_attempts: int | None = None, name: str = "h") -> Subscription:
    return Subscription("x", nothing, name, max_attempts=max_attempts)


def misfit() -> ValidationError:
    try:
        Model.model_validate({"n": "many"})
    except ValidationError as error:
        return error
    raise AssertionError


errors = st.one_of(
    st.builds(RuntimeError, st.text()),
    st.builds(Discard, st.text()),
    st.builds(
        Retry,
        st.none() | st.timedeltas(timedelta(0), timedelta.max),
        st.text(),
        counts=st.booleans(),
    ),
    st.builds(misfit),
    st.just(SystemExit(1)),
)


@given(
    error=errors,
    attempts=st.integers(0, 60),
    own=st.lists(st.none() | st.integers(1, 50), min_size=1, max_size=3),
    default=st.integers(1, 50),
)
def test_every_failure_has_one_outcome_and_no_event_is_tried_beyond_its_attempts(
    error: BaseException, attempts: int, own: list[int | None], default: int
) -> None:
    subscriptions = tuple(subscription(limit, f"h{n}") for n, limit in enumerate(own))
    event = make_event("x", attempts=attempts)
    outcome = decide_failure(event, error, subscriptions, max_attempts=default, handler="h")
    assert outcome.id == event.id
    limit = allowed_attempts(subscriptions, default)
    assert limit <= min([*(one for one in own if one is not None), 10_000])
    match error:
        case Discard():
            assert outcome.verdict == "discard"
            assert outcome.reason is not None
        case ValidationError():
            assert (outcome.verdict, outcome.counts) == ("dead", False)
        case Retry() if not error.counts:
            assert (outcome.verdict, outcome.counts, outcome.delay) == ("retry", False, error.after)
        case _:
            assert outcome.counts
            assert outcome.verdict == ("retry" if attempts + 1 < limit else "dead")
            assert outcome.error is not None
            if isinstance(error, Retry) and outcome.verdict == "retry":
                assert outcome.delay == error.after
    assert outcome.is_failure == (
        outcome.verdict == "dead" or (outcome.verdict == "retry" and outcome.counts)
    )


@given(error=errors, attempts=st.integers(0, 20))
def test_every_outcome_can_be_written_down(error: BaseException, attempts: int) -> None:
    """As jsonb, on a clock that has an end."""
    event = make_event("x", attempts=attempts)
    outcome = decide_failure(event, error, (subscription(),), max_attempts=10, handler="h")
    text = orjson.dumps(outcome.as_json()).decode()
    assert "\\u0000" not in text
    delay = orjson.loads(text)["delay"]
    assert delay is None or 0 <= delay <= 3650 * 86400


@given(st.text(st.characters(), max_size=5000))
def test_any_text_can_be_stored(text: str) -> None:
    stored = storable(text)
    assert "\0" not in stored
    stored.encode()
    assert len(stored) <= 2000
    assert storable(stored) == stored


def test_half_of_a_surrogate_pair_can_be_stored() -> None:
    assert storable("a\ud800b") == "a?b"


@given(
    attempts=st.integers(0, 30),
    interruptions=st.integers(0, 30),
    depth=st.integers(0, 30),
    known=st.booleans(),
)
def test_an_event_is_shown_to_its_handler_or_dead_with_a_reason(
    attempts: int, interruptions: int, depth: int, known: bool
) -> None:
    event = make_event("x", attempts=attempts, interruptions=interruptions, depth=depth)
    subscriptions = (subscription(10),) if known else ()
    outcome = decide_unfit(event, subscriptions, max_attempts=99, max_interruptions=20)
    may = known and depth <= MAX_DEPTH and attempts < 10 and interruptions < 20
    assert (outcome is None) == may
    if outcome is not None:
        assert outcome.verdict == "dead"
        assert not outcome.counts
        assert outcome.reason


def test_an_alert_that_nobody_delivers_is_no_failure() -> None:
    event = make_event("alert.created")
    outcome = decide_unfit(event, (), max_attempts=1, max_interruptions=1)
    assert isinstance(outcome, Outcome)
    assert outcome.verdict == "discard"


def test_a_misfit_says_where_and_what() -> None:
    outcome = decide_failure(make_event("x"), misfit(), (subscription(),), max_attempts=5, handler="h")
    assert outcome.reason.startswith("the payload does not fit Model: n: Input should be a valid integer")
    assert describe(misfit(), "h")["kind"] == "ValidationError"


def test_an_argument_that_cannot_be_right_is_dead_at_once() -> None:
    """The same event would be as wrong at its tenth try."""
    outcome = decide_failure(
        make_event("x"), BadArgument("no subject"), (subscription(),), max_attempts=10, handler="h"
    )
    assert (outcome.verdict, outcome.reason, outcome.counts) == ("dead", "no subject", False)
    assert outcome.error == {"kind": "BadArgument", "error": "no subject", "handler": "h"}


def test_a_single_failure_is_told_as_people_say_it() -> None:
    error = ValueError("no money")
    dead = decide_failure(make_event("x"), error, (subscription(1),), max_attempts=10, handler="h")
    assert dead.reason == "failed once, last: ValueError: no money"
    dead = decide_failure(
        make_event("x", attempts=1), error, (subscription(2),), max_attempts=10, handler="h"
    )
    assert dead.reason == "failed 2 times, last: ValueError: no money"
