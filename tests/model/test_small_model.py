"""The exhaustive search: nothing forbidden is reachable, the end always is, and each rule is needed."""

import pytest

from tests.model.small_model import Rules, search


def test_no_order_of_steps_breaks_an_invariant_and_none_leads_into_a_dead_end() -> None:
    found = search(Rules())
    assert found.bad is None, (found.forbidden, found.bad)
    assert found.live
    assert found.states > 1000


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        (Rules(fence=False), "stale"),
        (Rules(lease_checked_at_takeover=False), "overlapping runs"),
        (Rules(takeover_waits_for_fenced=False), "stale"),
        (Rules(note_in_flight=False), "an event was cut short and nobody knows"),
    ],
)
def test_without_a_rule_the_search_finds_the_harm(rules: Rules, expected: str) -> None:
    found = search(rules)
    assert found.bad is not None
    assert expected in found.forbidden, (found.forbidden, found.bad)
