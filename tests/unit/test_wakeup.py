"""When to look for work: decisions without a clock or a connection."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reactor.engine.wakeup import Notify, Pace, Rest, poll_seconds

MODES: list[Notify] = ["armed", "always", "off"]

steps = st.lists(
    st.tuples(st.sampled_from(["found", "queue", "woken", "rest"]), st.floats(0, 2, allow_nan=False)),
    max_size=200,
)


def carry_out(pace: Pace, step: Rest) -> None:
    """What the claimer does about the bell."""
    if step is Rest.ARM:
        pace.armed = True
    elif step is Rest.DISARM:
        pace.armed = False


def queue(pace: Pace, now: float) -> None:
    """A look found work, and whoever is asked has writers that wait."""
    pace.found(now, tenants=1, room=8, took=0.001)
    if pace.is_to_ask(now):
        pace.answered(now, they_wait=True)
    if pace.busy:
        pace.armed = False


@given(mode=st.sampled_from(MODES), steps=steps)
def test_whoever_sleeps_without_a_limit_has_its_bell_armed_unless_there_is_none(
    mode: Notify, steps: list[tuple[str, float]]
) -> None:
    """A pause of zero means: sleep until the bell or the poll. Without the bell that would be the poll."""
    pace = Pace(mode)
    now = 0.0
    for kind, gap in steps:
        now += gap
        match kind:
            case "found":
                pace.found(now, tenants=1, room=8, took=0.001)
            case "queue":
                queue(pace, now)
            case "woken":
                pace.woken()
            case _:
                step, pause = pace.rest(now)
                assert pause >= 0
                carry_out(pace, step)
                if pause == 0 and mode != "off":
                    assert pace.armed
                if step is Rest.DISARM:
                    assert pause > 0
                if mode == "off":
                    assert not pace.armed
                if mode == "always":
                    assert not pace.busy


@given(mode=st.sampled_from(MODES), steps=steps)
def test_no_pause_is_longer_than_a_fifth_of_a_second(mode: Notify, steps: list[tuple[str, float]]) -> None:
    pace = Pace(mode)
    now = 0.0
    for kind, gap in steps:
        now += gap
        if kind == "found":
            pace.found(now, tenants=1, room=8, took=0.001)
        elif kind == "queue":
            queue(pace, now)
        elif kind == "woken":
            pace.woken()
        else:
            step, pause = pace.rest(now)
            assert pause <= 0.2
            carry_out(pace, step)


@given(steps=steps)
def test_it_falls_asleep_in_the_end_whatever_came_before(steps: list[tuple[str, float]]) -> None:
    pace = Pace("armed")
    now = 0.0
    for kind, gap in steps:
        now += gap
        if kind == "found":
            pace.found(now, tenants=1, room=8, took=0.001)
        elif kind == "queue":
            queue(pace, now)
        elif kind == "woken":
            pace.woken()
        else:
            carry_out(pace, pace.rest(now)[0])
    rests = 0
    while True:
        step, pause = pace.rest(now)
        carry_out(pace, step)
        if pause == 0 and pace.armed:
            break
        now += max(pause, 0.001)
        rests += 1
        assert rests < 100
    assert not pace.busy


def test_a_stream_of_work_makes_it_busy_and_silence_ends_that() -> None:
    pace = Pace("armed")
    pace.armed = True
    now = 10.0
    for _ in range(20):
        now += 0.001
        pace.found(now, tenants=1, room=8, took=0.001)
    assert pace.rest(now) == (Rest.DISARM, pytest.approx(0.0015))
    pace.armed = False
    assert pace.rest(now + 0.001)[0] is Rest.LOOK
    assert pace.rest(now + 1) == (Rest.ARM, 0.0)


def test_work_now_and_then_never_makes_it_busy() -> None:
    pace = Pace("armed")
    for n in range(100):
        pace.found(n * 0.05, tenants=1, room=8, took=0.001)
        carry_out(pace, pace.rest(n * 0.05 + 0.002)[0])
    assert not pace.busy


@given(looks=st.lists(st.booleans(), max_size=300))
def test_it_is_busy_only_after_more_looks_that_found_work_than_looks_in_vain(looks: list[bool]) -> None:
    pace, ahead = Pace("armed"), 0
    for n, found in enumerate(looks):
        if found:
            ahead += 1
            pace.found(n * 0.001, tenants=1, room=8, took=0.001)
        else:
            ahead = max(0, ahead - 1)
            carry_out(pace, pace.rest(n * 0.001)[0])
        if pace.busy:
            assert ahead >= 12
            return
    assert ahead < 12


def test_one_that_is_woken_in_vain_dozes_and_one_success_ends_that() -> None:
    pace = Pace("armed")
    pace.armed = True
    for _ in range(5):
        pace.woken()
    step, pause = pace.rest(1.0)
    assert step is Rest.DISARM
    assert 0 < pause <= 0.2
    pace.found(2.0, tenants=1, room=8, took=0.001)
    pace.armed = False
    assert pace.rest(10.0) == (Rest.ARM, 0.0)


@given(armed=st.booleans(), busy=st.booleans(), tenants=st.integers(1, 8))
def test_it_may_sleep_after_a_look_only_when_that_took_all_and_what_comes_now_rings(
    armed: bool, busy: bool, tenants: int
) -> None:
    pace = Pace("armed")
    pace.armed, pace.busy = armed, busy
    pace.found(1.0, tenants=tenants, room=8, took=0.001)
    assert pace.hears_all == (armed and not busy and tenants < 8)


@given(slow=st.floats(0.05, 3600), mode=st.sampled_from(MODES), healthy=st.booleans())
def test_the_poll_is_slow_only_while_notifications_arrive(slow: float, mode: Notify, healthy: bool) -> None:
    seconds = poll_seconds(slow, mode=mode, listener_healthy=lambda: healthy)
    if mode == "off" or not healthy:
        assert seconds == min(slow, 1.0)
    else:
        assert seconds == slow


@given(tenants=st.integers(1, 2_000), room=st.integers(1, 1_000), took=st.floats(0, 1), busy=st.booleans())
def test_a_claim_that_took_all_there_was_is_followed_by_a_pause(
    tenants: int, room: int, took: float, busy: bool
) -> None:
    """A backlog is never kept waiting; a stream is, for a moment: it comes in batches."""
    tenants = min(tenants, room)
    pace = Pace("armed")
    pace.busy = busy
    pause = pace.found(1.0, tenants=tenants, room=room, took=took)
    if tenants == room:
        assert pause == 0.0
    else:
        assert 0.0 < pause <= min(0.05, tenants * (0.001 if busy else 0.000_25))


@pytest.mark.parametrize(("took", "least", "most"), [(0.000_1, 15, 20), (0.01, 4, 5)])
def test_work_that_comes_closely_makes_it_ask_now_and_then_whether_writers_wait(
    took: float, least: int, most: int
) -> None:
    pace, asked = Pace("armed"), []
    pace.armed = True
    for n in range(100):
        now = 1 + n * 0.01
        pace.found(now, tenants=1, room=8, took=0.001)
        if pace.is_to_ask(now):
            asked.append(now)
            pace.answered(now + took, they_wait=False)
        carry_out(pace, pace.rest(now + 0.002)[0])
    assert least <= len(asked) <= most
    assert not pace.busy


@pytest.mark.parametrize(
    ("mode", "gap", "armed"), [("armed", 0.06, True), ("armed", 0.01, False), ("always", 0.01, True)]
)
def test_it_does_not_ask_where_writers_are_few_or_it_could_do_nothing(
    mode: Notify, gap: float, armed: bool
) -> None:
    pace = Pace(mode)
    pace.armed = armed
    for n in range(50):
        pace.found(1 + n * gap, tenants=1, room=8, took=0.001)
        assert not pace.is_to_ask(1 + n * gap)
        pace.rest(1 + n * gap + gap / 2)


def test_writers_that_wait_make_it_busy_at_once() -> None:
    pace, now = Pace("armed"), 1.0
    pace.armed = True
    pace.found(now, tenants=1, room=8, took=0.001)
    pace.found(now + 0.02, tenants=1, room=8, took=0.001)
    assert pace.hears_all
    assert pace.is_to_ask(now + 0.02)
    pace.answered(now + 0.02, they_wait=True)
    assert not pace.hears_all
    assert pace.rest(now + 0.021)[0] is Rest.DISARM


def test_a_stream_is_seen_however_long_the_looks_take() -> None:
    """On a crowded machine, where writers would wait longest for each other's notifications."""
    pace, now = Pace("armed"), 1.0
    for _ in range(20):
        now += 0.05 + pace.found(now, tenants=50, room=100, took=0.05)
    assert pace.busy


def test_the_quieter_it_gets_the_less_often_it_looks() -> None:
    pace, now = Pace("armed"), 1.0
    for _ in range(20):
        pace.found(now, tenants=1, room=8, took=0.001)
    pauses = []
    while (step := pace.rest(now))[0] is not Rest.ARM:
        pauses.append(step[1])
        now += step[1]
    assert pauses == sorted(pauses)
    assert 1.1 <= now < 1.2
    assert len(pauses) < 30


def test_tenants_that_somebody_holds_are_looked_at_again_soon_then_once_a_second() -> None:
    pace = Pace("armed")
    assert pace.again == math.inf
    waits = []
    for _ in range(10):
        pace.passed_over(True)
        waits.append(pace.again)
    assert waits[0] <= 0.05
    assert waits == sorted(waits)
    assert waits[-1] == waits[-2] == 1.0
    pace.passed_over(False)
    assert pace.again == math.inf
