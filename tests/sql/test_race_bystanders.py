"""Whoever reads, locks or falls silent beside the engine holds up one tenant at most, and loses nothing."""

import asyncio
from datetime import timedelta
from uuid import UUID

import asyncpg
import pytest

from reactor.db import calls, pool
from reactor.engine.scope import Scope
from tests.model.protocol import Stage, staged
from tests.sql.test_sweep_bystanders import REFUSE


@pytest.fixture
async def stage(database_url: str):
    async with staged(database_url) as made:
        yield made


async def _lead(stage: Stage, name: str = "leader") -> int:
    term = await calls.lead(stage.admin, name, timedelta(hours=1))
    assert term is not None
    return term


@pytest.mark.parametrize(
    "held",
    [
        "select public.acquire_tenant_lock($1, 'a job in a long transaction')",
        "select id from public.tenants where id = $1 for update",
        "delete from public.tenants where id = $1 returning id",
    ],
)
async def test_a_transaction_that_holds_a_tenant_stops_no_claim_of_the_others(
    stage: Stage, held: str
) -> None:
    stuck, free = await stage.tenant(events=1), await stage.tenant(events=1)
    outsider, replica = await stage.replica(), await stage.replica()
    await outsider.begin()
    await outsider.connection.fetchval(held, stuck)
    rows = await asyncio.wait_for(replica.claim(), 5)
    assert [row["tenant_id"] for row in rows] == [free]
    await outsider.rollback()
    assert [row["tenant_id"] for row in await replica.claim()] == [stuck]


async def test_more_locked_tenants_than_a_claim_takes_keep_it_from_nobody_else(stage: Stage) -> None:
    tenants = sorted([await stage.tenant(events=1) for _ in range(6)])
    outsider, replica = await stage.replica(), await stage.replica()
    await outsider.begin()
    await outsider.connection.execute(
        "select from public.tenants where id = any ($1) for update", tenants[:4]
    )
    rows = await asyncio.wait_for(replica.claim(tenants=2), 5)
    assert [row["tenant_id"] for row in rows] == tenants[4:]
    await outsider.rollback()


async def test_an_application_that_locks_tenants_in_any_order_meets_no_deadlock(stage: Stage) -> None:
    low, high = sorted([await stage.tenant(events=1), await stage.tenant(events=1)])
    outsider, replica = await stage.replica(), await stage.replica()
    await outsider.begin()
    for tenant in (high, low):
        await outsider.connection.execute("select from public.tenants where id = $1 for update", tenant)
        assert await asyncio.wait_for(replica.claim(tenants=2), 5) == [] or tenant == high
    await outsider.commit()


async def test_a_replica_that_goes_to_sleep_sees_a_lease_that_is_being_taken(stage: Stage) -> None:
    tenant = await stage.tenant(events=1)
    outsider, replica = await stage.replica(), await stage.replica()
    await outsider.begin()
    await outsider.connection.fetchval("select public.acquire_tenant_lock($1, 'x')", tenant)
    assert len(await calls.open_writers(replica.connection)) == 1
    await outsider.rollback()
    assert await calls.open_writers(replica.connection) == set()


async def test_a_reader_of_the_history_keeps_a_partition_and_stops_no_settlement(stage: Stage) -> None:
    await stage.tenant(events=1)
    reader, replica, keeper = [await stage.replica() for _ in range(3)]
    rows = await replica.claim()
    term = await _lead(stage)
    keep = "select dropped from reactor.keep_history($1)"
    await keeper.connection.execute(keep, term)
    await stage.admin.execute(
        "create table reactor.history_20200101 partition of reactor.history"
        " for values from ('2020-01-01') to ('2020-01-02');"
        "alter table reactor.history_20200101 owner to reactor_owner"
    )
    await reader.begin()
    await reader.connection.fetch("select from reactor.history limit 1")
    keeping = await stage.blocked(keeper, keeper.connection.fetchval(keep, term))
    await asyncio.wait_for(replica.settle(rows, scoped=False), 5)
    assert await keeping == 0
    await reader.commit()
    assert await keeper.connection.fetchval(keep, term) == 1


async def test_a_reader_of_the_history_costs_the_leader_nothing_but_a_later_partition(stage: Stage) -> None:
    reader, keeper = await stage.replica(), await stage.replica()
    term = await _lead(stage)
    keep = "select made from reactor.keep_history($1, p_ahead => 9)"
    await reader.begin()
    await reader.connection.fetch("select from reactor.history limit 1")
    assert await asyncio.wait_for(keeper.connection.fetchval(keep, term), 5) == 0
    await reader.commit()
    assert await keeper.connection.fetchval(keep, term) > 0


async def test_a_reader_of_the_runs_stops_no_claim_for_a_new_partition(stage: Stage) -> None:
    await stage.tenant(events=1)
    reader, replica, keeper = [await stage.replica() for _ in range(3)]
    term = await _lead(stage)
    await reader.begin()
    await reader.connection.fetch("select from public.agent_autonomous_runs limit 1")
    making = await stage.blocked(
        keeper, keeper.connection.fetchval("select reactor.ensure_partitions($1, 12)", term)
    )
    assert len(await asyncio.wait_for(replica.claim(), 5)) == 1
    with pytest.raises(asyncpg.LockNotAvailableError):
        await making


async def test_a_run_that_ends_while_others_are_cut_off_keeps_its_session(stage: Stage) -> None:
    """Between the look at the sessions and the look at the leases a run may settle and release."""
    run = UUID(int=7)
    settling, cutter = await stage.replica(), await stage.replica()
    await stage.admin.execute(
        "create or replace function reactor.leaseless(p_runs uuid[]) returns uuid[] language plpgsql as"
        " $$ begin perform pg_advisory_xact_lock(1); return p_runs; end $$"
    )
    await settling.connection.execute(f"begin; set local application_name = 'reactor run {run}'")
    await stage.admin.execute("select pg_advisory_lock(1)")
    cutting = await stage.blocked(cutter, calls.cut_off(cutter.connection))
    await settling.commit()
    await stage.admin.execute("select pg_advisory_unlock(1)")
    assert await cutting == 0
    assert await settling.connection.fetchval("select 1") == 1


async def test_a_restarted_process_of_the_same_name_leads_in_a_new_term_and_redoes_the_job(
    stage: Stage,
) -> None:
    async def start(term: int) -> object:
        return await calls.start_job(
            stage.admin, term, "job", timedelta(minutes=1), catch_up=False, replica="pod-0"
        )

    term = await _lead(stage, "pod-0")
    await start(term)
    await stage.clock.advance(timedelta(minutes=2))
    due = await start(term)
    assert due is not None
    await calls.enlist(stage.admin, "pod-0", patience=timedelta(seconds=45), version="1", info={"types": []})
    again = await _lead(stage, "pod-0")
    assert again > term
    assert await start(again) == due


async def test_a_job_that_falls_silent_before_its_commit_loses_the_leadership_soon(stage: Stage) -> None:
    term = await _lead(stage)
    replica = await stage.replica()
    await replica.begin()
    await calls.finish_job(replica.connection, term, "job", None)
    assert await replica.connection.fetchval("show idle_in_transaction_session_timeout") == "5s"


async def test_a_handler_ends_no_lease_of_another_tenant_and_hears_of_none(stage: Stage) -> None:
    tenant, other = await stage.tenant(events=1), await stage.tenant()
    replica = await stage.replica()
    await replica.claim()
    await stage.expire()
    handler = await stage.replica()
    for tenants in (None, [tenant], [other, tenant]):
        await handler.begin()
        await handler.connection.execute(
            "select set_config('role', 'reactor_handler', true), set_config('reactor.tenant_id', $1, true)",
            str(other),
        )
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await handler.connection.fetch("select * from reactor.rescue($1)", tenants)
        await handler.rollback()
    assert list(await stage.holders()) == [tenant]


async def test_unparking_passes_over_an_event_that_is_being_settled(stage: Stage) -> None:
    tenant = await stage.tenant(events=2)
    await stage.admin.execute(
        "update public.tenants set is_active = true, agent_enabled = true where id = $1", tenant
    )
    await stage.admin.execute(
        "update public.system_config set value = '{\"global_enabled\": true}' where key = 'agent_config'"
    )
    replica, leader = await stage.replica(), await stage.replica()
    rows = await replica.claim(batch=1)
    await stage.admin.execute("update reactor.events set available_at = 'infinity'")
    await replica.begin()
    await replica.settle(rows, scoped=False)
    assert await asyncio.wait_for(calls.unpark(leader.connection, 100), 5) == 1
    await replica.commit()


async def test_the_last_of_a_fleet_to_go_wakes_the_sleepers(stage: Stage) -> None:
    """Events of a tenant that it held were rung for in vain."""
    patience = timedelta(minutes=1)
    sleeper = await stage.replica()
    slot = await calls.enlist(
        sleeper.connection, "sleeper", patience=patience, version="1", info={"types": []}
    )
    await calls.enlist(stage.admin, "leaving", patience=patience, version="1", info={"types": []})
    heard = asyncio.Event()
    await sleeper.connection.add_listener("reactor", lambda *_: heard.set())
    await calls.arm(sleeper.connection, slot, armed=True)
    await calls.retire(stage.admin, "leaving")
    await asyncio.wait_for(heard.wait(), 5)


async def test_what_a_session_keeps_does_not_reach_the_next_tenants_handler(database_url: str) -> None:
    async with await pool.create_pool(database_url, size=1, keep_session=True) as own:
        first, second = Scope(own, UUID(int=1), UUID(int=11)), Scope(own, UUID(int=2), UUID(int=12))
        connection = await first.use()
        await connection.execute("create temp table notes as select 'of the first' as what")
        await connection.execute("select pg_advisory_lock(7)")
        await first.commit()
        connection = await second.use()
        assert await connection.fetchval("select to_regclass('pg_temp.notes')") is None
        assert await connection.fetchval("select count(*) from pg_locks where locktype = 'advisory'") == 0
        await second.rollback()


async def test_a_claim_sets_a_bounded_number_of_events_aside(stage: Stage) -> None:
    tenants = [await stage.tenant() for _ in range(3)]
    await stage.admin.execute(
        "insert into reactor.events (tenant_id, event_type) select t, 'gated'"
        " from unnest($1::uuid[]) t, generate_series(1, 3000)",
        tenants,
    )
    ready = await stage.emit(tenants[1])
    parked = 0
    for claim in range(2):
        rows = await stage.admin.fetch(
            "select * from reactor.claim('r', 1, 10, '30 seconds', null, '{gated}')"
        )
        # Without a run: there is more to set aside.
        assert [row["id"] for row in rows] == [None, *([ready] if claim == 0 else [])]
        before, parked = (
            parked,
            await stage.admin.fetchval("select count(*) from reactor.events where available_at = 'infinity'"),
        )
        assert parked - before <= 5000
    assert parked > 5000


async def test_a_lease_that_is_broken_while_its_run_settles_meets_no_deadlock(stage: Stage) -> None:
    tenant = await stage.tenant(events=3)
    replica, person = await stage.replica(), await stage.replica()
    rows = await replica.claim()
    # A settlement stands still between its acknowledgement and its fence.
    await stage.admin.execute(
        """
        create function public.stand() returns trigger language plpgsql as $$ begin
            perform pg_advisory_xact_lock_shared(42);
            return null;
        end $$;
        create trigger stand after delete on reactor.events for each statement execute function public.stand()
        """
    )
    await stage.admin.execute("select pg_advisory_lock(42)")
    settling = await stage.blocked(replica, replica.settle(rows, scoped=False))
    broken = await asyncio.wait_for(
        person.connection.fetchrow("select * from reactor.break_lock($1, 'a person', true)", tenant), 5
    )
    await stage.admin.execute("select pg_advisory_unlock(42)")
    with pytest.raises(asyncpg.PostgresError) as refused:
        await asyncio.wait_for(settling, 5)
    assert (refused.value.sqlstate, broken["broken"]) == ("RX001", True)
    assert await stage.holders() == {}
    assert await stage.admin.fetchval("select count(*) from reactor.events") == 3


async def test_clocks_that_somebody_holds_keep_no_sweep_that_met_one_it_cannot_judge(stage: Stage) -> None:
    bad, held, waits = [await stage.tenant() for _ in range(3)]
    for tenant, clocks in ((bad, 1), (held, 150)):
        await stage.admin.execute(
            """
            with made as (
                insert into clients (tenant_id, company_name)
                select $1, 'c' || n from generate_series(1, $2::int) n returning id)
            insert into engagement_clocks (tenant_id, client_id, next_touch_due, evaluated_at)
            select $1, id, now() - interval '1 minute', now() - interval '1 hour' from made
            """,
            tenant,
            clocks,
        )
    await stage.admin.execute(REFUSE.format(tenant=bad, operation="update", table="engagement_clocks"))
    await stage.admin.execute("select reactor.emit($1, 'x', delay => '1 second')", waits)
    await stage.clock.advance(timedelta(seconds=2))
    outsider, leader = await stage.replica(), await stage.replica()
    term = await calls.lead(leader.connection, "leader", timedelta(hours=1))
    assert term is not None
    await outsider.begin()
    await outsider.connection.execute("select from engagement_clocks where tenant_id = $1 for update", held)
    swept = await asyncio.wait_for(calls.sweep(leader.connection, term, 1000), 5)
    assert swept.events == 1
    await outsider.rollback()


async def test_a_replay_meets_an_event_with_the_same_key_that_is_just_being_emitted(stage: Stage) -> None:
    tenant = await stage.tenant()
    writer, person = await stage.replica(), await stage.replica()
    for key in ("same", "other"):
        await stage.admin.execute("select reactor.emit($1, 'x', dedup_key => $2)", tenant, key)
    await stage.admin.execute(
        """
        with gone as (delete from reactor.events returning *)
        insert into reactor.dead_events (
            id, event_id, tenant_id, event_type, payload, priority, attempts, interruptions, created_at,
            reason, dedup_key)
        select id, event_id, tenant_id, event_type, payload, priority, attempts, interruptions, created_at,
            'x', dedup_key
        from gone
        """
    )
    await writer.begin()
    await writer.connection.execute("select reactor.emit($1, 'x', dedup_key => 'same')", tenant)
    replayed = await stage.blocked(
        person, person.connection.fetch("select * from reactor.replay(p_type => 'x')")
    )
    await writer.commit()
    assert len(await asyncio.wait_for(replayed, 5)) == 2
    keys = await stage.admin.fetch("select dedup_key from reactor.events order by id")
    # The younger one has it.
    assert [row["dedup_key"] for row in keys] == [None, "other", "same"]


async def test_a_lease_that_runs_out_while_its_run_settles_is_waited_for_by_nobody(stage: Stage) -> None:
    tenant = await stage.tenant(events=3)
    replica, other = await stage.replica(), await stage.replica()
    rows = await replica.claim()
    free = await stage.tenant(events=1)
    # A settlement stands still between its acknowledgement and its fence.
    await stage.admin.execute(
        """
        create function public.stand() returns trigger language plpgsql as $$ begin
            perform pg_advisory_xact_lock_shared(42);
            return null;
        end $$;
        create trigger stand after delete on reactor.events for each statement execute function public.stand()
        """
    )
    await stage.admin.execute("select pg_advisory_lock(42)")
    await replica.begin()
    await replica.handle(rows[0])
    settling = await stage.blocked(replica, replica.settle(rows))
    await stage.clock.advance(timedelta(hours=1))
    claimed = await asyncio.wait_for(other.claim(), 5)
    await stage.admin.execute("select pg_advisory_unlock(42)")
    with pytest.raises(asyncpg.PostgresError) as refused:
        await asyncio.wait_for(settling, 5)
    assert refused.value.sqlstate == "RX001"
    assert {row["tenant_id"] for row in claimed} == {tenant, free}
    # Its events are not to blame: the replica lives, and the handlers had ended.
    assert await stage.admin.fetchval("select count(*) from reactor.events where interruptions = 0") == 4


async def test_a_leader_that_signs_off_while_its_term_is_held_keeps_nobody_from_going_to_sleep(
    stage: Stage,
) -> None:
    leader, job, sleeper = [await stage.replica() for _ in range(3)]
    for one in (leader, sleeper):
        await calls.enlist(
            one.connection, one.name, patience=timedelta(hours=1), version="", info={"types": []}
        )
    term = await _lead(stage, leader.name)
    await job.begin()
    await job.connection.execute("select reactor.require_leader($1)", term)
    signs_off = await stage.blocked(leader, calls.retire(leader.connection, leader.name))
    await asyncio.wait_for(calls.arm(sleeper.connection, 2, armed=True), 5)
    await job.commit()
    await asyncio.wait_for(signs_off, 5)
    assert await stage.admin.fetchval("select last_value from reactor.doorbell") == 1 | 1 << 2


async def test_a_run_that_cannot_be_settled_is_nobodys_for_longer_each_time(stage: Stage) -> None:
    tenant = await stage.tenant(events=1)
    replica = await stage.replica()
    pauses = []
    for turn in range(12):
        [row] = await replica.claim()
        assert await calls.suspend(replica.connection, [tenant], [row["run_id"]], reason="x") == 1
        assert await stage.admin.fetchval("select interruptions from reactor.events") == turn + 1
        pause = await stage.admin.fetchval(
            "select expires_at - locked_at from agent_tenant_locks where run_id is null"
        )
        pauses.append(pause)
        if pause is not None:
            assert await replica.claim() == []
            assert await calls.next_deadline(stage.admin, timedelta(hours=1), []) <= pause
            await stage.clock.advance(pause)
    assert pauses[0] is None, "once is no reason to wait"
    assert pauses[1:4] == [timedelta(seconds=0.1 * 2**n) for n in (1, 2, 3)]
    assert pauses[-1] == timedelta(seconds=30)
    # Of a run that was settled all the same nothing is left.
    [row] = await replica.claim()
    await replica.settle([row], scoped=False)
    assert await calls.suspend(replica.connection, [tenant], [row["run_id"]], reason="x") == 0
    assert await stage.holders() == {}
