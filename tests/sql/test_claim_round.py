"""The round of claims through the tenants: from wherever it begins, each is found once, at the ends too."""

import random
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


async def claim(
    connection: Connection, tenants: int, after: UUID | None, peers: list[str] | None = None
) -> list[UUID]:
    """The tenants of one claim, in their order."""
    claimed = await calls.claim(
        connection,
        replica="r",
        tenants=tenants,
        batch=1,
        lease=timedelta(hours=1),
        after=after,
        gated=[],
        peers=peers,
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


@pytest.mark.parametrize("seed", range(40))
async def test_claims_beside_many_held_tenants_find_the_open_ones_in_their_order(
    rolled_back: Connection, seed: int
) -> None:
    """Held ones are first stepped over; where there are many, what lies between their leases is asked for."""
    chance = random.Random(seed)
    ids = sorted({*TENANTS, *(UUID(int=chance.getrandbits(128)) for _ in range(60))})
    held = {tenant for tenant in ids if chance.random() < chance.choice((0.5, 0.9, 1))}
    # Some leases are of tenants without events, some ran out, and some tenants that are held are not waiting.
    idle = {tenant for tenant in ids if chance.random() < 0.2}
    over = {tenant for tenant in held if chance.random() < 0.1}
    free = [tenant for tenant in ids if tenant not in idle and (tenant not in held or tenant in over)]
    after = chance.choice((None, *ids, UUID(int=chance.getrandbits(128))))
    peers = chance.choice((None, None, ["r", "s"]))
    tenants = chance.choice((1, 3, 100))
    await rolled_back.executemany(
        "insert into public.tenants (id, name) values ($1, 't')", [(tenant,) for tenant in ids]
    )
    await rolled_back.execute(
        "select reactor.emit(t, 'x', priority => p) from unnest($1::uuid[]) t, unnest($2::int[]) p",
        [tenant for tenant in ids if tenant not in idle],
        [LEAST, MOST],
    )
    await rolled_back.execute(
        "insert into public.agent_tenant_locks (tenant_id, lock_holder, expires_at) "
        "select h, 'somebody', now() + case when h = any ($2) then interval '-1 h' else interval '1 h' end "
        "from unnest($1::uuid[]) h",
        list(held),
        list(over),
    )
    if peers is not None:
        free = await rolled_back.fetchval(
            "select array(select t from unnest($1::uuid[]) with ordinality as f (t, n) where 'r' = ("
            "  select p from unnest($2::text[]) p order by hashtextextended(t::text || p, 0) desc limit 1"
            ") order by n)",
            free,
            peers,
        )
    turn = sum(tenant <= after for tenant in free) if after is not None else 0
    expected = sorted((free[turn:] + free[:turn])[:tenants])
    assert await claim(rolled_back, tenants, after, peers) == expected
