"""The proof of the proof: each rule is taken out once, and the ledger must notice."""

import pytest

from tests.failure.breaks import CATCH_UP_LIMIT, breaks, caught_up_within, noticed

# On a busy machine a fleet takes minutes to get through what it was given.
pytestmark = pytest.mark.timeout(600)


@pytest.mark.slow
@pytest.mark.parametrize("rule", list(breaks()))
async def test_the_proof_notices_when_a_rule_is_missing(rule: str) -> None:
    assert await noticed(breaks()[rule]) is not None


@pytest.mark.slow
async def test_an_event_that_nobody_heard_of_waits_for_the_poll_without_the_catch_up_claim() -> None:
    assert await caught_up_within({"PROOF_WITHOUT": "catch-up"}) > CATCH_UP_LIMIT


@pytest.mark.slow
async def test_an_event_that_nobody_heard_of_is_found_when_the_listener_is_back() -> None:
    assert await caught_up_within({}) < CATCH_UP_LIMIT
