"""Two connections, each held open at every step of the protocol; who wins is decided, not timed."""

import asyncio
from datetime import timedelta

import asyncpg
import pytest

from tests.model.protocol import Replica, Stage

LOST = "RX001"


async def test_the_second_claim_waits_for_the_first_and_gets_nothing(stage: Stage) -> None:
    await stage.tenant(events=1)
    a, b = await stage.replica(), await stage.replica()
    await a.begin()
    assert len(await a.claim()) == 1
    second = await stage.blocked(b, b.claim())
    await a.commit()
    assert await second == []


async def test_the_second_claim_takes_what_the_first_rolled_back(stage: Stage) -> None:
    await stage.tenant(events=1)
    a, b = await stage.replica(), await stage.replica()
    await a.begin()
    await a.claim()
    second = await stage.blocked(b, b.claim())
    await a.rollback()
    assert len(await second) == 1


@pytest.mark.parametrize("commits", [True, False])
async def test_a_claim_during_a_settlement_leaves_it_alone_and_the_next_one_sees_how_it_ended(
    stage: Stage, commits: bool
) -> None:
    await stage.tenant(events=2)
    a, b = await stage.replica(), await stage.replica()
    rows = await a.claim(batch=1)
    await a.begin()
    await a.handle(rows[0])
    await a.settle(rows)
    await stage.expire()
    assert await b.claim(batch=1) == []
    await (a.commit() if commits else a.rollback())
    taken = await b.claim(batch=1)
    assert [row["id"] for row in taken] == [rows[0]["id"] + commits]
    assert await stage.status(rows[0]["run_id"]) == ("completed" if commits else "timeout")
    assert await stage.effects() == commits


async def test_a_claim_that_looked_before_a_settlement_committed_does_not_see_what_it_settled(
    stage: Stage,
) -> None:
    """The claim waits for the tenant's row in between, so its snapshot is older than the settlement."""
    await stage.tenant(events=2)
    a, b, outsider = await stage.replica(), await stage.replica(), await stage.replica()
    rows = await a.claim(batch=1)
    await a.begin()
    await a.handle(rows[0])
    await a.settle(rows)
    # An outsider's insert of the same lease is what both of the others run into.
    waiting = await stage.blocked(
        outsider,
        outsider.connection.execute(
            "insert into public.agent_tenant_locks (tenant_id, run_id, expires_at, lock_holder) "
            "values ($1, null, clock_timestamp() - interval '1 s', 'gone')",
            rows[0]["tenant_id"],
        ),
    )
    await a.commit()
    await waiting
    assert [row["id"] for row in await b.claim(batch=2)] == [rows[0]["id"] + 1]


@pytest.mark.parametrize("more", [False, True])
@pytest.mark.parametrize("taken_over", [False, True])
async def test_a_run_whose_lease_ran_out_commits_nothing(stage: Stage, more: bool, taken_over: bool) -> None:
    await stage.tenant(events=3)
    a, b = await stage.replica(), await stage.replica()
    rows = await a.claim(batch=1)
    await a.begin()
    await a.handle(rows[0])
    await stage.expire()
    if taken_over:
        assert [row["id"] for row in await b.claim(batch=1)] == [rows[0]["id"]]
    with pytest.raises(asyncpg.PostgresError) as lost:
        await a.settle(rows, more=more)
    assert lost.value.sqlstate == LOST
    await a.rollback()
    assert await stage.effects() == 0
    assert await stage.admin.fetchval("select count(*) from reactor.events") == 3


async def test_a_settlement_during_a_takeover_waits_and_commits_nothing(stage: Stage) -> None:
    await stage.tenant(events=1)
    a, b = await stage.replica(), await stage.replica()
    rows = await a.claim()
    await a.begin()
    await a.handle(rows[0])
    await stage.expire()
    await b.begin()
    taken = await b.claim()
    # The takeover marks what was in flight, so the event's row is its own until it commits.
    settlement = await stage.blocked(a, a.settle(rows))
    await b.commit()
    with pytest.raises(asyncpg.PostgresError) as lost:
        await settlement
    assert lost.value.sqlstate == LOST
    await a.rollback()
    await b.begin()
    await b.handle(taken[0])
    await b.settle(taken)
    await b.commit()
    assert await stage.admin.fetchval("select replica from public.effects") == b.name


async def test_a_group_without_scope_is_fenced_too_and_names_who_lost(stage: Stage) -> None:
    await stage.tenant(events=1)
    a, b = await stage.replica(), await stage.replica()
    rows = await a.claim()
    await stage.expire()
    await b.claim()
    with pytest.raises(asyncpg.PostgresError) as lost:
        await a.settle(rows, scoped=False)
    assert lost.value.sqlstate == LOST
    assert str(rows[0]["run_id"]) in (lost.value.detail or "")


@pytest.mark.parametrize("taken_over", [False, True])
async def test_a_checkpoint_after_the_lease_commits_nothing(stage: Stage, taken_over: bool) -> None:
    await stage.tenant(events=1)
    a, b = await stage.replica(), await stage.replica()
    rows = await a.claim()
    await a.begin()
    await a.handle(rows[0])
    await stage.expire()
    if taken_over:
        await b.claim()
    with pytest.raises(asyncpg.PostgresError) as lost:
        await a.checkpoint(rows[0])
    assert lost.value.sqlstate == LOST


async def test_a_takeover_waits_for_a_checkpoint_that_came_first(stage: Stage) -> None:
    await stage.tenant(events=1)
    a, b = await stage.replica(), await stage.replica()
    rows = await a.claim()
    await a.begin()
    await a.handle(rows[0])
    await a.checkpoint(rows[0])
    await stage.expire()
    # The checkpoint holds the lease's row: the takeover leaves it alone, and the sweep too.
    assert await b.claim() == []
    await a.commit()
    assert [row["id"] for row in await b.claim()] == [rows[0]["id"]]


async def test_nobody_takes_a_lease_that_has_not_run_out(stage: Stage) -> None:
    tenant = await stage.tenant(events=1)
    a, b = await stage.replica(), await stage.replica()
    rows = await a.claim()
    assert await b.claim() == []
    assert await b.connection.fetch("select * from reactor.rescue()") == []
    assert await b.connection.fetchval("select public.acquire_tenant_lock($1, 'b')", tenant) is None
    assert await stage.holders() == {tenant: rows[0]["run_id"]}
    assert await a.settle(rows, scoped=False) == []


async def test_a_heartbeat_under_way_keeps_the_lease_from_the_sweep(stage: Stage) -> None:
    tenant = await stage.tenant(events=1)
    a, b = await stage.replica(), await stage.replica()
    rows = await a.claim()
    await a.begin()
    assert await a.beat(rows[0]) == set()
    assert await b.connection.fetch("select * from reactor.rescue()") == []
    await a.commit()
    assert await stage.holders() == {tenant: rows[0]["run_id"]}


async def test_a_heartbeat_that_comes_too_late_hears_that_the_lease_is_lost(stage: Stage) -> None:
    await stage.tenant(events=1)
    a, b = await stage.replica(), await stage.replica()
    rows = await a.claim()
    await stage.expire()
    await b.begin()
    await b.claim()
    assert await a.beat(rows[0]) == {rows[0]["run_id"]}
    await b.commit()
    assert await a.beat(rows[0]) == {rows[0]["run_id"]}


async def test_abandoning_a_lost_lease_leaves_the_new_holder_alone(stage: Stage) -> None:
    tenant = await stage.tenant(events=1)
    a, b = await stage.replica(), await stage.replica()
    rows = await a.claim()
    await stage.expire()
    taken = await b.claim()
    assert await a.abandon(rows[0]) == 0
    assert await stage.holders() == {tenant: taken[0]["run_id"]}
    assert await stage.admin.fetchval("select interruptions from reactor.events") == 1


async def test_of_many_outsiders_one_gets_the_lock(stage: Stage) -> None:
    tenant = await stage.tenant()
    replicas = [await stage.replica() for _ in range(8)]

    async def acquire(replica: Replica) -> object:
        return await replica.connection.fetchval(
            "select public.acquire_tenant_lock($1, $2)", tenant, replica.name
        )

    runs = [run for run in await asyncio.gather(*map(acquire, replicas)) if run is not None]
    assert list((await stage.holders()).values()) == runs


async def test_an_outsider_waits_for_a_claim_under_way_and_is_refused(stage: Stage) -> None:
    tenant = await stage.tenant(events=1)
    a, b = await stage.replica(), await stage.replica()
    await a.begin()
    rows = await a.claim()
    outside = await stage.blocked(
        b, b.connection.fetchval("select public.acquire_tenant_lock($1, 'outsider')", tenant)
    )
    await a.commit()
    assert await outside is None
    assert await stage.holders() == {tenant: rows[0]["run_id"]}


async def test_an_outsider_that_lost_its_lease_releases_nothing(stage: Stage) -> None:
    tenant = await stage.tenant(events=1)
    a, b = await stage.replica(), await stage.replica()
    run = await a.connection.fetchval("select public.acquire_tenant_lock($1, 'outsider', 1)", tenant)
    await stage.clock.advance(timedelta(minutes=2))
    taken = await b.claim()
    assert await a.connection.fetchval("select public.release_tenant_lock($1, $2)", tenant, run) is False
    assert await stage.holders() == {tenant: taken[0]["run_id"]}


async def test_a_replica_that_goes_to_sleep_sees_every_writer_that_may_not_ring(stage: Stage) -> None:
    tenant = await stage.tenant()
    writer, sleeper = await stage.replica(), await stage.replica()
    await writer.begin()
    await writer.connection.execute("select reactor.emit($1, 'test.event')", tenant)
    # It looked at the bell before the bell was armed: nobody will be notified.
    await sleeper.connection.execute("select reactor.arm(3, true)")
    assert await sleeper.claim() == []
    assert await sleeper.connection.fetchval("select cardinality(reactor.open_writers())") == 1
    await writer.commit()
    assert await sleeper.connection.fetchval("select cardinality(reactor.open_writers())") == 0
    assert len(await sleeper.claim()) == 1


async def test_an_event_that_was_in_flight_alone_twice_when_its_replica_died_has_failed(stage: Stage) -> None:
    await stage.tenant(events=3)
    a = await stage.replica()
    assert len(await a.claim()) == 3
    tries = []
    for _ in range(3):
        await stage.expire()
        # All three are suspects now, and tried one at a time.
        tries += [(row["id"], row["interruptions"], row["attempts"]) for row in await a.claim()]
    first = tries[0][0]
    assert tries == [(first, 1, 0), (first, 2, 0), (first, 2, 1)]


async def test_a_replica_tries_one_tenant_at_a_time_that_may_kill_it(stage: Stage) -> None:
    """Three events die together twice. One did it; the others must not be blamed with it."""
    for _ in range(3):
        await stage.tenant(events=1)
    calm = await stage.tenant()
    a, b = await stage.replica(), await stage.replica()
    for _ in range(2):
        assert len(await a.claim()) == 3
        await stage.expire()
    await stage.emit(calm)
    taken = await a.claim()
    assert sorted(row["interruptions"] for row in taken) == [0, 2]
    assert await a.claim() == []
    assert [row["interruptions"] for row in await b.claim()] == [2]
    marked = next(row for row in taken if row["interruptions"] == 2)
    await a.settle([marked], scoped=False)
    assert [row["interruptions"] for row in await a.claim()] == [2]
