"""reactor.rotate(): the outbox gets new files under everybody's feet. Who comes meanwhile only waits."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta

import asyncpg
import pytest

from reactor.db import calls, embedded, pool
from reactor.db.migrate import migrate
from tests.conftest import Server, migrate_database
from tests.model.protocol import Replica, Stage, staged
from tests.patience import patience

FORCED = "select outcome, live from reactor.rotate($1, 0, 5000)"
FILE = "select pg_relation_filenode('reactor.events')"
LEASES = "select pg_relation_filenode('public.agent_tenant_locks')"
NOTES = "select f.* from reactor.in_flight f join public.agent_tenant_locks l on l.run_id = f.run_id"
EVERYTHING = "select * from reactor.events order by id"


async def lead(connection: pool.Connection) -> int:
    term = await calls.lead(connection, "leader", timedelta(hours=1))
    assert term is not None
    return term


async def rotate(stage: Stage) -> str:
    row = await stage.admin.fetchrow(FORCED, await lead(stage.admin))
    assert row is not None
    return str(row["outcome"])


@asynccontextmanager
async def rotating(stage: Stage) -> AsyncIterator[None]:
    """A rotation that has done all it does, and commits at the end of the block."""
    leader = await stage.replica()
    term = await lead(leader.connection)
    await leader.begin()
    assert await leader.connection.fetchval(FORCED, term) == "rotated"
    yield
    await leader.commit()


async def during(stage: Stage, replica: Replica, call: Callable[[], Awaitable[object]]) -> object:
    """What a call returns that had to wait for a rotation."""
    async with rotating(stage):
        waiting = await stage.blocked(replica, call())
    return await waiting


async def _waits(stage: Stage, replica: Replica, for_what: str) -> None:
    """Until its backend waits for this, by the name in pg_stat_activity."""
    state = "select coalesce(wait_event, '') from pg_stat_activity where pid = $1"
    async with patience(20):
        while await stage.admin.fetchval(state, replica.connection.get_server_pid()) != for_what:
            await asyncio.sleep(0.005)


async def warm(replica: Replica, stage: Stage) -> None:
    """Every statement has been made, so it is cached."""
    tenant = await stage.tenant()
    for _ in range(6):
        await replica.connection.execute("select reactor.emit($1, 'warm')", tenant)
        rows = await replica.claim()
        await replica.settle(rows, scoped=False)


async def test_a_rotation_changes_no_row_and_leaves_no_dead_one(stage: Stage) -> None:
    flying, waiting = await stage.tenant(events=3), await stage.tenant()
    replica = await stage.replica()
    rows = await replica.claim()
    for call in (
        "select reactor.emit($1, 'a', '{\"n\": 1}', delay => '1 hour')",
        "select reactor.emit($1, 'b', dedup_key => 'once', priority => -3)",
        "select reactor.emit($1, 'c', jsonb_build_object('large', repeat(md5(random()::text), 5000)))",
    ):
        await stage.admin.execute(call, waiting)
    await stage.admin.execute(
        "insert into reactor.events (tenant_id, event_type, available_at, subject_id, attempts, errors, "
        "interruptions, traceparent, cause_id, depth) "
        "values ($1, 'd', 'infinity', gen_random_uuid(), 3, '[{\"error\": \"x\"}]', 1, '00-ab', 7, 2)",
        waiting,
    )
    before, file = await stage.admin.fetch(EVERYTHING), await stage.admin.fetchval(FILE)
    assert await rotate(stage) == "rotated"
    assert await stage.admin.fetch(EVERYTHING) == before
    assert len(before) == 7
    assert await stage.admin.fetchval(FILE) != file
    assert await stage.admin.fetchval("select rotations = 1 and kept = 7 from reactor.rotation")
    # The numbers go on, the key is still taken, and what was in flight is settled.
    assert await stage.emit(waiting) > before[-1]["id"]
    again = await stage.admin.fetchval("select reactor.emit($1, 'b', dedup_key => 'once')", waiting)
    assert again == next(row["id"] for row in before if row["dedup_key"])
    await replica.begin()
    await replica.handle(rows[0])
    await replica.settle(rows)
    await replica.commit()
    assert {row["tenant_id"] for row in rows} == {flying}
    assert await stage.admin.fetchval("select count(*) from reactor.events where tenant_id = $1", flying) == 0


async def test_the_leases_are_written_again_as_they_were(stage: Stage) -> None:
    await stage.tenant(events=2)
    over = await stage.tenant(events=1)
    replica, other = await stage.replica(), await stage.replica()
    ended = await replica.claim(batch=1)
    await replica.settle([row for row in ended if row["tenant_id"] == over], scoped=False)
    leases = "select * from public.agent_tenant_locks"
    before, file = await stage.admin.fetch(leases), await stage.admin.fetchval(LEASES)
    notes = await stage.admin.fetch(NOTES)
    assert len(before) == len(notes) == 1
    assert await rotate(stage) == "rotated"
    assert await stage.admin.fetch(leases) == before
    assert await stage.admin.fetch(NOTES) == notes
    assert await stage.admin.fetchval(LEASES) != file
    assert await other.claim() == []
    rest = [row for row in ended if row["tenant_id"] != over]
    assert len(await replica.settle(rest, more=True, scoped=False)) == 1


async def test_leases_that_somebody_holds_are_left_for_the_next_time(stage: Stage) -> None:
    """As a transaction of the application's that took a lease and goes on."""
    tenant = await stage.tenant(events=2)
    application, heir = await stage.replica(), await stage.replica()
    await application.begin()
    await application.connection.execute("select public.acquire_tenant_lock($1, 'application')", tenant)
    events, leases = await stage.admin.fetchval(FILE), await stage.admin.fetchval(LEASES)
    assert await rotate(stage) == "rotated"
    assert await stage.admin.fetchval(FILE) != events
    assert await stage.admin.fetchval(LEASES) == leases
    await application.commit()
    assert await heir.claim() == []
    assert await rotate(stage) == "rotated"
    assert await stage.admin.fetchval(LEASES) != leases


async def test_leases_that_could_not_be_written_again_are_left_as_they_are(stage: Stage) -> None:
    """As in an adopted table, with a constraint that its old rows need not fulfil."""
    await stage.tenant(events=1)
    replica = await stage.replica()
    rows = await replica.claim()
    await stage.admin.execute(
        "alter table public.agent_tenant_locks add constraint own check (lock_holder is null) not valid"
    )
    events, leases = await stage.admin.fetchval(FILE), await stage.admin.fetchval(LEASES)
    assert await rotate(stage) == "rotated"
    assert await stage.admin.fetchval(FILE) != events
    assert await stage.admin.fetchval(LEASES) == leases
    await replica.settle(rows, scoped=False)
    assert await stage.admin.fetchval("select count(*) from public.agent_tenant_locks") == 0


@pytest.mark.parametrize(
    "sign",
    [
        "create trigger own after insert on public.agent_tenant_locks execute function public.own()",
        "create publication own for table public.agent_tenant_locks",
    ],
)
async def test_leases_that_the_application_watches_are_left_alone(stage: Stage, sign: str) -> None:
    await stage.admin.execute(
        "create function public.own() returns trigger language plpgsql as 'begin return null; end'"
    )
    await stage.admin.execute(sign)
    leases = await stage.admin.fetchval(LEASES)
    assert await rotate(stage) == "rotated"
    assert await stage.admin.fetchval(LEASES) == leases


@pytest.mark.parametrize("cached", [True, False])
async def test_a_claim_that_waits_for_a_rotation_takes_what_there_is(stage: Stage, cached: bool) -> None:
    replica = await stage.replica()
    if cached:
        await warm(replica, stage)
    await stage.tenant(events=3)
    taken = await during(stage, replica, replica.claim)
    assert isinstance(taken, list)
    assert len(taken) == 3


@pytest.mark.parametrize("cached", [True, False])
@pytest.mark.parametrize("more", [True, False])
async def test_a_settlement_that_waits_for_a_rotation_finds_its_events_and_the_next(
    stage: Stage, cached: bool, more: bool
) -> None:
    claimer, replica = await stage.replica(), await stage.replica()
    if cached:
        await warm(replica, stage)
    await stage.tenant(events=5)
    rows = await claimer.claim(batch=3)
    rest = await during(stage, replica, lambda: replica.settle(rows, more=more, scoped=False))
    assert isinstance(rest, list)
    assert [row["id"] for row in rest] == ([rows[-1]["id"] + 1, rows[-1]["id"] + 2] if more else [])
    assert await stage.admin.fetchval("select count(*) from reactor.events") == 2
    assert (
        await stage.admin.fetchval("select count(*) from reactor.history where event_type = 'test.event'")
        == 3
    )


async def test_a_handlers_transaction_that_began_before_a_rotation_commits_after_it(stage: Stage) -> None:
    await stage.tenant(events=2)
    replica = await stage.replica()
    rows = await replica.claim()
    await replica.begin()
    await replica.handle(rows[0])
    await during(stage, replica, lambda: replica.settle(rows))
    await replica.commit()
    assert await stage.effects() == 1
    assert await stage.admin.fetchval("select count(*) from reactor.events") == 0


async def test_a_retry_that_is_written_while_the_outbox_is_rotated_is_kept(stage: Stage) -> None:
    await stage.tenant(events=1)
    replica = await stage.replica()
    rows = await replica.claim()
    verdict: dict[str, object] = {
        "id": rows[0]["id"], "verdict": "retry", "counts": True, "delay": 60, "error": {"error": "x"}
    }  # fmt: skip
    await during(stage, replica, lambda: replica.settle(rows, scoped=False, verdicts=[verdict]))
    row = await stage.admin.fetchrow("select id, attempts, available_at from reactor.events")
    assert row is not None
    assert (row["id"], row["attempts"]) == (rows[0]["id"], 1)
    assert row["available_at"] is not None


@pytest.mark.parametrize("cached", [True, False])
async def test_an_emission_that_waits_for_a_rotation_is_made(stage: Stage, cached: bool) -> None:
    writer = await stage.replica()
    if cached:
        await warm(writer, stage)
    tenant = await stage.tenant(events=1)
    emit = "select reactor.emit($1, 'late')"
    made = await during(stage, writer, lambda: writer.connection.fetchval(emit, tenant))
    assert await stage.admin.fetchval("select event_type from reactor.events where id = $1", made) == "late"


async def test_a_second_emission_of_a_key_that_waits_for_a_rotation_finds_the_first(stage: Stage) -> None:
    writer = await stage.replica()
    tenant = await stage.tenant()
    emit = "select reactor.emit($1, 'once', dedup_key => 'k')"
    first = await stage.admin.fetchval(emit, tenant)
    assert await during(stage, writer, lambda: writer.connection.fetchval(emit, tenant)) == first
    assert await stage.admin.fetchval("select count(*) from reactor.events") == 1


async def test_a_watched_tables_trigger_that_waits_for_a_rotation_emits(stage: Stage) -> None:
    writer = await stage.replica()
    tenant = await stage.tenant()
    await stage.admin.execute(
        "create table public.things (id int generated always as identity, tenant_id uuid not null); "
        "select reactor.watch('public.things', 'thing.made')"
    )
    insert = "insert into public.things (tenant_id) select $1 from generate_series(1, 3)"
    await during(stage, writer, lambda: writer.connection.execute(insert, tenant))
    assert (
        await stage.admin.fetchval("select count(*) from reactor.events where event_type = 'thing.made'") == 3
    )


async def test_a_sweep_and_an_end_of_a_lease_that_wait_for_a_rotation_find_their_events(stage: Stage) -> None:
    tenant = await stage.tenant(events=2)
    await stage.admin.execute("select reactor.emit($1, 'later', delay => '20 s')", tenant)
    replica = await stage.replica()
    await replica.claim()
    await stage.expire()
    term = await lead(stage.admin)
    swept = await during(stage, replica, lambda: calls.sweep(replica.connection, term, 100))
    assert swept == calls.Swept(clocks=0, events=1, leases=1)
    assert await stage.admin.fetch("select available_at, interruptions from reactor.events order by id") == [
        (None, 1),
        (None, 1),
        (None, 0),
    ]


async def test_somebody_who_asks_for_an_event_during_a_rotation_finds_it(stage: Stage) -> None:
    event = await stage.emit(await stage.tenant())
    person = await stage.replica()
    read = "select reactor.read_event($1) ->> 'state'"
    assert await during(stage, person, lambda: person.connection.fetchval(read, event)) == "waiting"


async def test_a_transaction_with_an_old_snapshot_emits_after_a_rotation(stage: Stage) -> None:
    writer = await stage.replica()
    tenant = await stage.tenant(events=1)
    await writer.connection.execute("begin isolation level repeatable read")
    await writer.connection.fetchval("select count(*) from public.tenants")
    assert await rotate(stage) == "rotated"
    await writer.connection.execute("select reactor.emit($1, 'late')", tenant)
    await writer.commit()
    assert await stage.admin.fetchval("select array_agg(event_type order by id) from reactor.events") == [
        "test.event",
        "late",
    ]


async def test_a_key_that_an_old_snapshot_cannot_see_any_more_is_a_serialization_failure(
    stage: Stage,
) -> None:
    """As with any row that was written after a snapshot; the next try finds it."""
    writer = await stage.replica()
    tenant = await stage.tenant()
    emit = "select reactor.emit($1, 'once', dedup_key => 'k')"
    first = await stage.admin.fetchval(emit, tenant)
    await writer.connection.execute("begin isolation level repeatable read")
    await writer.connection.fetchval("select count(*) from public.tenants")
    assert await rotate(stage) == "rotated"
    with pytest.raises(asyncpg.SerializationError):
        await writer.connection.fetchval(emit, tenant)
    await writer.rollback()
    await writer.connection.execute("begin isolation level repeatable read")
    assert await writer.connection.fetchval(emit, tenant) == first


@pytest.mark.parametrize(
    "call",
    ["select reactor.emit($1, 'open')", "select count(*) from reactor.events where tenant_id = $1"],
    ids=["writer", "reader"],
)
async def test_a_transaction_that_holds_the_outbox_is_left_alone_and_nobody_waits_behind_a_rotation(
    stage: Stage, call: str
) -> None:
    tenant = await stage.tenant(events=2)
    holder, leader, writer = await stage.replica(), await stage.replica(), await stage.replica()
    await holder.connection.execute("begin isolation level repeatable read")
    await holder.connection.fetchval(call, tenant)
    before, file = await stage.admin.fetch(EVERYTHING), await stage.admin.fetchval(FILE)
    term = await lead(leader.connection)
    # It sleeps so long between its two looks at who holds the outbox: it has asked for nothing then.
    looks = asyncio.ensure_future(
        leader.connection.fetchval("select outcome from reactor.rotate($1, 0, 5000, '3 s')", term)
    )
    await _waits(stage, leader, "PgSleep")
    assert not await stage.admin.fetchval(
        "select exists (select from pg_locks where pid = $1 and mode = 'AccessExclusiveLock')",
        leader.connection.get_server_pid(),
    )
    await writer.connection.execute("select reactor.emit($1, 'free')", tenant)
    assert not looks.done()
    assert await looks == "held"
    assert await stage.admin.fetchval(FILE) == file
    await holder.rollback()
    assert (await stage.admin.fetch(EVERYTHING))[: len(before)] == before
    assert await rotate(stage) == "rotated"


async def test_a_rotation_that_comes_too_late_for_the_lock_gives_up_and_those_behind_it_go_on(
    stage: Stage,
) -> None:
    """A writer that opened between the two looks."""
    tenant = await stage.tenant(events=1)
    first, second, leader, behind = [await stage.replica() for _ in range(4)]
    await first.begin()
    await first.connection.execute("select reactor.emit($1, 'first')", tenant)
    term = await lead(leader.connection)
    rotation = asyncio.ensure_future(
        leader.connection.fetchval("select outcome from reactor.rotate($1, 0, 5000, '3 s')", term)
    )
    await _waits(stage, leader, "PgSleep")
    await second.begin()
    await second.connection.execute("select reactor.emit($1, 'second')", tenant)
    await first.commit()
    await _waits(stage, leader, "relation")
    late = await stage.blocked(behind, behind.connection.execute("select reactor.emit($1, 'late')", tenant))
    assert await rotation == "held"
    # The second one is still open: what they waited for was the rotation, and that has ended.
    await late
    await second.commit()
    assert await stage.admin.fetchval("select count(*) from reactor.events") == 4
    assert await stage.admin.fetchval("select rotations from reactor.rotation") == 0


async def test_a_rotation_that_is_rolled_back_was_none(stage: Stage) -> None:
    await stage.tenant(events=4)
    before, file = await stage.admin.fetch(EVERYTHING), await stage.admin.fetchval(FILE)
    leader = await stage.replica()
    term = await lead(leader.connection)
    await leader.begin()
    assert await leader.connection.fetchval(FORCED, term) == "rotated"
    await leader.rollback()
    assert await stage.admin.fetch(EVERYTHING) == before
    assert await stage.admin.fetchval(FILE) == file
    assert await stage.admin.fetchval("select rotations from reactor.rotation") == 0


@pytest.mark.slow
@pytest.mark.parametrize("commits", [True, False])
async def test_a_server_that_crashes_during_a_rotation_or_after_it_has_every_event(commits: bool) -> None:
    with embedded.start() as server:
        await migrate(lambda: pool.connect(server.url()))
        leader = await pool.connect(server.url())
        await leader.execute(
            "insert into public.tenants (name) values ('one'); "
            "select reactor.emit(t.id, 'test.event') from public.tenants t, generate_series(1, 20)"
        )
        before, term = await leader.fetch(EVERYTHING), await lead(leader)
        await leader.execute("begin")
        assert await leader.fetchval(FORCED, term) == "rotated"
        if commits:
            await leader.execute("commit")
        await asyncio.to_thread(server.kill)
        leader.terminate()
        await asyncio.to_thread(server.start)
        async with pool.connected(server.url()) as conn:
            assert len(before) == 20
            assert await conn.fetch(EVERYTHING) == before
            assert await conn.fetchval("select rotations from reactor.rotation") == commits


async def test_a_leader_whose_term_is_over_rotates_nothing(stage: Stage) -> None:
    await stage.tenant(events=1)
    term, file = await lead(stage.admin), await stage.admin.fetchval(FILE)
    await stage.clock.advance(timedelta(hours=2))
    assert await calls.lead(stage.admin, "successor", timedelta(hours=1)) == term + 1
    with pytest.raises(asyncpg.PostgresError) as refused:
        await stage.admin.fetchval(FORCED, term)
    assert refused.value.sqlstate == "RX005"
    assert await stage.admin.fetchval(FILE) == file


async def test_an_outbox_with_too_many_live_events_is_left_alone_and_large_ones_count_for_several(
    stage: Stage,
) -> None:
    tenant, term = await stage.tenant(events=10), await lead(stage.admin)
    most = "select outcome from reactor.rotate($1, 0, $2)"
    assert await stage.admin.fetchval(most, term, 9) == "backlog"
    assert await stage.admin.fetchval(most, term, 10) == "rotated"
    large = "select reactor.emit($1, 'large', jsonb_build_object('x', (select string_agg(md5(g::text), '') "
    await stage.admin.execute(large + "from generate_series(1, 5000) g)))", tenant)
    assert await stage.admin.fetchval(most, term, 11) == "backlog"
    assert await stage.admin.fetchval(most, term, 200) == "rotated"


async def test_a_published_outbox_is_left_alone(stage: Stage) -> None:
    await stage.admin.execute("create publication elsewhere for tables in schema reactor")
    assert await rotate(stage) == "published"
    await stage.admin.execute("alter publication elsewhere drop tables in schema reactor")
    assert await rotate(stage) == "rotated"


async def test_while_a_dump_runs_nothing_is_rotated(stage: Stage, database_url: str) -> None:
    """It may have its snapshot and not yet its locks: it would find nothing in the outbox."""
    await stage.tenant(events=1)
    dump = await pool.connect(database_url, name="pg_dump")
    assert await rotate(stage) == "held"
    assert await stage.admin.fetchval("select count(*) from reactor.events") == 1
    await dump.close()


async def test_dead_rows_that_vacuum_may_remove_are_no_reason(stage: Stage) -> None:
    term = await lead(stage.admin)
    await stage.admin.execute(
        "insert into reactor.events (tenant_id, event_type) "
        "select gen_random_uuid(), 'x' from generate_series(1, 500)"
    )
    await stage.admin.execute("delete from reactor.events")
    await stage.admin.execute("select pg_stat_force_next_flush()")
    assert await stage.admin.fetchval("select pg_stat_get_dead_tuples('reactor.events'::regclass)") == 500
    assert await stage.admin.fetchval("select outcome from reactor.rotate($1, 100, 5000)", term) == "nothing"


async def test_dead_rows_of_delayed_events_count_as_well(stage: Stage) -> None:
    """They are in another index, which the deadline timer reads."""
    term, reader = await lead(stage.admin), await stage.replica()
    await reader.connection.execute("begin isolation level repeatable read")
    await reader.connection.fetchval("select count(*) from public.tenants")
    await stage.admin.execute(
        "insert into reactor.events (tenant_id, event_type, available_at) "
        "select gen_random_uuid(), 'x', now() from generate_series(1, 500)"
    )
    await stage.admin.execute("delete from reactor.events")
    await stage.admin.execute("select pg_stat_force_next_flush()")
    row = await stage.admin.fetchrow("select * from reactor.rotate($1, 500, 5000)", term)
    assert row is not None
    assert (row["outcome"], row["live"], row["dead"]) == ("rotated", 0, 500)


async def test_events_that_are_written_again_are_not_counted_as_emitted_again(stage: Stage) -> None:
    emitted = "select reactor.status() -> 'totals' ->> 'emitted'"
    await stage.tenant(events=7)
    await stage.admin.execute("select pg_stat_force_next_flush()")
    assert await stage.admin.fetchval(emitted) == "7"
    assert await rotate(stage) == "rotated"
    await stage.admin.execute("select pg_stat_force_next_flush()")
    assert await stage.admin.fetchval(emitted) == "7"


async def test_it_works_on_the_oldest_server_too(pg15: Server) -> None:
    name = pg15.create()
    await asyncio.to_thread(migrate_database, pg15.url(name))
    try:
        async with staged(pg15.url(name)) as stage:
            await stage.tenant(events=2)
            before, reader = await stage.admin.fetch(EVERYTHING), await stage.replica()
            await reader.connection.execute("begin isolation level repeatable read")
            await reader.connection.fetchval("select count(*) from public.tenants")
            await stage.admin.execute(
                "insert into reactor.events (tenant_id, event_type) "
                "select gen_random_uuid(), 'x' from generate_series(1, 500)"
            )
            await stage.admin.execute("delete from reactor.events where event_type = 'x'")
            row = await stage.admin.fetchrow("select live, dead from reactor.walk_outbox()")
            row = await stage.admin.fetchrow("select live, dead from reactor.walk_outbox()")
            assert row == (2, 500)
            assert await rotate(stage) == "rotated"
            assert await stage.admin.fetch(EVERYTHING) == before
            replica = await stage.replica()
            taken = await during(stage, replica, replica.claim)
            assert isinstance(taken, list)
            assert len(taken) == 2
    finally:
        pg15.drop(name)


async def test_nobody_but_the_fleet_may_rotate(stage: Stage) -> None:
    granted = (
        "select array(select r from unnest($2::text[]) r where has_function_privilege(r, $1, 'execute'))"
    )
    roles = ["reactor", "reactor_handler", "service_role", "authenticated", "anon"]
    rotate_ = "reactor.rotate(bigint, int, int, interval)"
    assert await stage.admin.fetchval(granted, rotate_, roles) == ["reactor"]
    assert await stage.admin.fetchval(granted, "reactor.walk_outbox()", roles) == []
