"""Times as people say them."""

from datetime import UTC, datetime, timedelta

import pytest

from reactor.telemetry.words import ago, lasting, many, moment, shorten

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("duration", "said"),
    [
        (None, "-"),
        (0, "0 ms"),
        (0.0304, "30 ms"),
        (1.25, "1.2 s"),
        (7, "7 s"),
        (59.9, "59 s"),
        (60, "1 min"),
        (200, "3 min 20 s"),
        (3600, "1 h"),
        (3601, "1 h"),
        (7500, "2 h 5 min"),
        (timedelta(days=4, hours=3, minutes=59), "4 d 3 h"),
        (-90, "-1 min 30 s"),
    ],
)
def test_a_length_of_time_has_its_two_largest_units(duration, said):
    assert lasting(duration) == said


@pytest.mark.parametrize(
    ("at", "said"),
    [
        (None, "-"),
        (NOW, "now"),
        (NOW - timedelta(seconds=3), "3 s ago"),
        (NOW + timedelta(minutes=5), "in 5 min"),
        ("2026-03-01T10:00:00+00:00", "2 h ago"),
        ("2026-03-01T13:00:00+01:00", "now"),
    ],
)
def test_an_instant_is_told_from_the_servers_now(at, said):
    assert ago(at, NOW) == said


def test_the_servers_infinities_are_instants_too():
    assert moment("-infinity") < NOW < moment("infinity")


def test_counts_and_long_texts():
    assert (many(1, "event"), many(1200, "event")) == ("1 event", "1,200 events")
    assert shorten("one\ntwo") == "one"
    assert shorten("x" * 100, 10) == "x" * 9 + "…"
