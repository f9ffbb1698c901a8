"""Three replicas, one of which is killed with -9 at random moments: nothing is lost, nothing doubled."""

import pytest

from tests.failure.proof import Plan, prove
from tests.failure.test_short_proof import told


@pytest.mark.slow
@pytest.mark.timeout(600)  # on a busy machine its fleet takes minutes to get through
async def test_ten_kills_at_random_moments_lose_and_double_nothing() -> None:
    """A hundred: make proof PROOF_ARGS="--only kill --faults 100"."""
    plan = Plan(
        seed=4,
        seconds=5,
        faults=10,
        kinds=("kill -9",),
        rows=("fast", "slow", "lazy", "intent", "call", "mail"),
        # Long enough that a kill meets handlers at work.
        environment=(("PROOF_SLEEP", "0.5"),),
        tenants=40,
        rate=80,
        every=1,
        lease=1.0,
    )
    result = await prove(plan)
    assert result.is_clean, told(result)
    assert len(result.faults) >= 10
    assert result.ledger.interrupted > 0, "no kill met a run"
    waited = sum(recovery.waited_for_lease for recovery in result.recoveries)
    assert waited > len(result.recoveries) / 2, "most kills met no lease that had to run out"
    assert result.ledger.arrived >= result.ledger.outside > 0
