"""The round of claims through the tenants: from wherever it begins, each is found once, at the ends too."""

from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from reactor.db import calls
from reactor.db.pool import Connection

#: in the order of their ids; that of the first is a usual one for an application's own tenant
TENANTS = [UUID(int=0), UUID(int=1), UUID(int=1 << 100), UUID(int=(1 << 128) - 2), UUID(int=(1 << 128) - 1)]
LEAST, MOST = -(1 << 31), (1 << 31) - 1


@pytest.fixture
async def waiting(rolled_back: Connection) -> Connection:
    """Each tenant has two events, of the least and of the highest priority that there is."""
    await rolled_back.executemany(
        "insert into public.tenants (id, name) values ($1, 't')", [(tenant,) for tenant in TENANTS]
    )
    await rolled_back.execute(
        "select reactor.emit(t, 'x', priority => p) from unnest($1::uuid[]) t, unnest($2::int[]) p",
        TENANTS,
        [LEAST, MOST],
    )
    return rolled_back


async def claim(connection: Connection, tenants: int, after: UUID | None) -> list[UUID]:
    """The tenants of one claim, in their order."""
    claimed = await calls.claim(
        connection,
        replica="r",
        tenants=tenants,
        batch=1,
        lease=timedelta(hours=1),
        after=after,
        gated=[],
        peers=None,
    )
    return [row["tenant_id"] for row in claimed.rows]


@pytest.mark.parametrize("after", [None, uuid4(), *TENANTS])
async def test_one_claim_finds_all_tenants_from_wherever_it_begins(
    waiting: Connection, after: UUID | None
) -> None:
    assert await claim(waiting, 10, after) == TENANTS
    assert await claim(waiting, 10, after) == []


@pytest.mark.parametrize("after", [None, uuid4(), *TENANTS])
async def test_claims_of_one_tenant_go_round(waiting: Connection, after: UUID | None) -> None:
    found = []
    for _ in range(2 * len(TENANTS)):
        [after] = await claim(waiting, 1, after)
        found.append(after)
        # It is given back, so its turn comes again.
        await waiting.execute("delete from public.agent_tenant_locks")
    turn = TENANTS.index(found[0])
    assert found == (TENANTS[turn:] + TENANTS[:turn]) * 2


async def test_a_tenant_that_is_held_is_stepped_over_also_at_the_ends(waiting: Connection) -> None:
    for place, tenant in enumerate(TENANTS):
        async with waiting.transaction():
            assert await waiting.fetchval("select public.acquire_tenant_lock($1, 'somebody')", tenant)
            assert await claim(waiting, 10, tenant) == TENANTS[:place] + TENANTS[place + 1 :]
            await waiting.execute("delete from public.agent_tenant_locks")
