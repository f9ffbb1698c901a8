"""The proof in short: fixed seeds, every kind of fault, and a ledger that must be clean."""

from io import StringIO

import pytest
from rich.console import Console

from tests.failure.proof import Plan, Result, prove
from tests.failure.report import print_result

# On a busy machine a fleet takes minutes to get through what it was given.
pytestmark = pytest.mark.timeout(600)


def told(result: Result) -> str:
    """What a person would be shown, for the message of a failing test."""
    console = Console(file=StringIO(), width=160)
    print_result(console, result)
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
async def test_nothing_is_lost_doubled_or_out_of_order_under_faults(seed: int) -> None:
    result = await prove(Plan(seed=seed, seconds=45, tenants=40, rate=80, every=0.7, lease=2.0))
    assert result.is_clean, told(result)
    assert result.ledger.events > 1_000
    assert len(result.faults) >= 25


@pytest.mark.slow
async def test_an_event_that_kills_its_process_is_dead_in_the_end_and_the_others_are_handled() -> None:
    plan = Plan(
        seed=3,
        seconds=6,
        replicas=2,
        tenants=10,
        writers=1,
        rate=30,
        every=5,
        lease=1.0,
        max_attempts=3,
        kinds=("poison event",),
    )
    result = await prove(plan)
    assert result.is_clean, told(result)
    assert result.ledger.poisoned > 0


@pytest.mark.slow
async def test_nothing_is_lost_while_the_outbox_is_rewritten_all_the_time() -> None:
    plan = Plan(
        seed=4,
        faults=20,
        replicas=2,
        tenants=20,
        writers=2,
        rate=100,
        every=0.7,
        lease=2.0,
        # No reader: one that holds the outbox might keep every rotation away.
        kinds=("outbox rewritten", "server crash"),
    )
    result = await prove(plan)
    assert result.is_clean, told(result)
    assert result.ledger.rotations >= 5, told(result)
    assert result.ledger.kept > 0, told(result)
