"""A claim of the only tenant that has events takes a way of its own; it takes what a search would take.

Each case is claimed twice from the same state: alone, and beside a tenant whose lease is held, so that
there are two to look through.
"""

import asyncio
import random
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from reactor.db import calls
from reactor.db.pool import Connection, connected
from tests.model.protocol import Stage, staged

#: in order before and behind every random one
FIRST, LAST = UUID(int=1), UUID(int=(1 << 128) - 2)
LEASE = timedelta(minutes=5)

_EVENT = """
insert into reactor.events (tenant_id, event_type, priority, interruptions, available_at, payload)
select $1, $2, $3, $4, reactor.now() + $5::text::interval, case when $6 then (
    select jsonb_build_object('text', string_agg(md5(random()::text), '')) from generate_series(1, 50000))
    else '{}' end
returning id
"""
#: what is known of a tenant, but for the ids and times that each claim makes anew
_STATE = (
    "select id, interruptions, attempts, available_at from reactor.events where tenant_id = $1 order by id",
    "select id, reason from reactor.dead_events where tenant_id = $1 order by id",
    "select ids from reactor.in_flight where tenant_id = $1",
    """
    select l.lock_holder, l.id = l.run_id, l.expires_at > reactor.now() + interval '4 minutes',
        r.status, r.phase, r.trigger
    from public.agent_tenant_locks l join public.agent_autonomous_runs r on r.id = l.run_id
    where l.tenant_id = $1
    """,
    "select status from public.agent_autonomous_runs where tenant_id = $1 order by 1",
)


async def hold(connection: Connection, tenant: UUID, expires: str, events: list[int]) -> None:
    """Another replica's lease, with these events in flight."""
    run = uuid4()
    await connection.execute(
        "insert into public.agent_autonomous_runs (id, tenant_id, status) values ($1, $2, 'running')",
        run,
        tenant,
    )
    await connection.execute(
        "insert into public.agent_tenant_locks (tenant_id, run_id, expires_at, lock_holder) "
        "values ($1, $2, reactor.now() + $3::text::interval, 'other')",
        tenant,
        run,
        expires,
    )
    await connection.execute("insert into reactor.in_flight values ($1, $2, $3)", tenant, run, events)


async def make(connection: Connection, rng: random.Random) -> UUID:
    """One tenant in some state, with events of all kinds."""
    tenant = UUID(int=rng.getrandbits(128))
    if rng.random() < 0.95:
        await connection.execute(
            "insert into public.tenants (id, name, is_active, agent_enabled) values ($1, 't', $2, $3)",
            tenant,
            rng.random() < 0.9,
            rng.random() < 0.8,
        )
        await connection.execute(
            "insert into public.system_config (key, value) values ('agent_config', $1) "
            "on conflict (key) do update set value = excluded.value",
            {"global_enabled": rng.random() < 0.8},
        )
    large = rng.random() < 0.15
    ids = [
        await connection.fetchval(
            _EVENT,
            tenant,
            rng.choice(["x", "x", "gated"]),
            rng.choice([-1, 0, 0, 1]),
            rng.choice([0] * 12 + [1, 2]),
            rng.choice([None] * 5 + ["1 hour"]),
            large,
        )
        for _ in range(rng.randint(1, 6))
    ]
    if rng.random() < 0.3 and await connection.fetchval("select exists (select from public.tenants)"):
        await hold(connection, tenant, rng.choice(["1 minute", "-1 second"]), ids[: rng.randint(0, 3)])
    return tenant


async def claimed(connection: Connection, tenant: UUID, **how: Any) -> list[Any]:
    claim = await calls.claim(connection, replica="r", tenants=8, lease=LEASE, after=None, **how)
    rows = [{name: row[name] for name in row.keys() if name != "run_id"} for row in claim.rows]  # noqa: SIM118
    state = [list(map(tuple, await connection.fetch(query, tenant))) for query in _STATE]
    return [rows, claim.passed_over, claim.place, state]


@pytest.mark.parametrize("seed", range(100))
async def test_the_only_tenant_is_claimed_as_a_search_would_claim_it(
    rolled_back: Connection, seed: int
) -> None:
    rng = random.Random(seed)
    tenant = await make(rolled_back, rng)
    how = {
        "batch": rng.choice([1, 2, 200, 200]),
        "gated": rng.choice([[], ["gated"], ["gated", "x"]]),
        "peers": rng.choice([*[None] * 4, ["q", "r"]]),
        "free": rng.choice([*[{}] * 4, {"x": 0}, {"x": 1}]),
    }
    await rolled_back.execute("savepoint before")
    alone = await claimed(rolled_back, tenant, **how)
    await rolled_back.execute("rollback to before")
    other = rng.choice([FIRST, LAST])
    await rolled_back.execute("insert into public.tenants (id, name) values ($1, 'held')", other)
    await rolled_back.execute("select reactor.emit($1, 'x')", other)
    await hold(rolled_back, other, "1 hour", [])
    assert await claimed(rolled_back, tenant, **how) == alone


async def test_those_cases_are_claimed_in_every_way(rolled_back: Connection) -> None:
    """They would prove little if nothing, or everything, could be taken."""
    taken = 0
    for seed in range(100):
        await rolled_back.execute("savepoint before")
        tenant = await make(rolled_back, random.Random(seed))
        rows, *_ = await claimed(rolled_back, tenant, batch=200, gated=[], peers=None)
        taken += bool(rows)
        await rolled_back.execute("rollback to before")
    assert 50 < taken < 95


async def test_the_payloads_of_the_only_tenant_are_bounded(rolled_back: Connection) -> None:
    tenant = await rolled_back.fetchval(
        "insert into public.tenants (id, name) values (gen_random_uuid(), 't') returning id"
    )
    ids = [await rolled_back.fetchval(_EVENT, tenant, "x", 0, 0, None, True) for _ in range(5)]
    rows, _, _, state = await claimed(rolled_back, tenant, batch=200, gated=[], peers=None)
    # Of 1.6 MB each: the third begins within the four, and the fourth behind them.
    assert [row["id"] for row in rows] == ids[:3]
    assert state[2] == [(ids[:3],)]


async def test_a_claim_of_the_only_tenant_waits_for_no_transaction_of_the_application(
    conn: Connection, database_url: str
) -> None:
    tenant = await conn.fetchval(
        "insert into public.tenants (id, name) values (gen_random_uuid(), 't') returning id"
    )
    await conn.execute("select reactor.emit($1, 'x')", tenant)
    async with connected(database_url) as application, application.transaction():
        await application.execute("select from public.tenants where id = $1 for update", tenant)
        claim = await calls.claim(
            conn, replica="r", tenants=8, batch=10, lease=LEASE, after=None, gated=[], peers=None
        )
        assert (claim.rows, claim.passed_over) == ([], True)
    claim = await calls.claim(
        conn, replica="r", tenants=8, batch=10, lease=LEASE, after=None, gated=[], peers=None
    )
    assert [row["tenant_id"] for row in claim.rows] == [tenant]


@pytest.fixture
async def stage(database_url: str) -> AsyncIterator[Stage]:
    async with staged(database_url) as made:
        yield made


async def stand_still(stage: Stage, when: str) -> None:
    """Whoever does this waits until ``go_on``."""
    await stage.admin.execute(
        f"""
        create function public.stand() returns trigger language plpgsql as $$ begin
            perform pg_advisory_xact_lock_shared(42);
            return null;
        end $$;
        create trigger stand {when} for each statement execute function public.stand();
        select pg_advisory_lock(42)
        """
    )


async def go_on(stage: Stage) -> None:
    await stage.admin.execute("select pg_advisory_unlock(42)")


async def test_a_claim_that_finds_its_tenant_too_heavy_and_one_beside_it_meet_no_deadlock(
    stage: Stage,
) -> None:
    await stage.admin.execute(
        "insert into public.tenants (id, name) values ($1, 'a'), ($2, 'z')", FIRST, LAST
    )
    heavy = [await stage.admin.fetchval(_EVENT, LAST, "x", 0, 0, None, True) for _ in range(5)]
    one, two = await stage.replica(), await stage.replica()
    # It has the lease, and what it leased is not noted yet.
    await stand_still(stage, "before insert on reactor.in_flight")
    alone = await stage.blocked(one, one.claim())
    light = await stage.emit(FIRST)
    both = await stage.blocked(two, two.claim())
    await go_on(stage)
    assert [row["id"] for row in await asyncio.wait_for(alone, 20)] == heavy[:3]
    assert [row["id"] for row in await asyncio.wait_for(both, 20)] == [light]


async def test_what_was_interrupted_between_the_look_and_the_lease_is_tried_alone(stage: Stage) -> None:
    await stage.tenant(events=3)
    replica = await stage.replica()
    await stand_still(stage, "before insert on public.agent_tenant_locks")
    claim = await stage.blocked(replica, replica.claim())
    # As by another replica that had them meanwhile, and was cut off.
    await stage.admin.execute("update reactor.events set interruptions = 1")
    await go_on(stage)
    assert len(await asyncio.wait_for(claim, 20)) == 1
