"""The lease of a tenant, as the application's own jobs take it."""

import asyncio
from uuid import uuid4

import asyncpg
import pytest

from reactor.db import pool
from tests.patience import patience
from tests.sql import people

_EXPIRE = (
    "update agent_tenant_locks set expires_at = clock_timestamp() - interval '1 second', locked_at ="
    " now() - interval '1 hour'"
)


@pytest.fixture
async def tenant(rolled_back: pool.Connection) -> people.Tenant:
    return await people.tenant(rolled_back)


async def _at_once(url: str, calls: int, query: str, *args: object) -> list[object]:
    """The results of as many sessions that all call when the last one is ready."""
    ready = asyncio.Barrier(calls)

    async def call() -> object:
        async with pool.connected(url, name="test") as conn:
            await conn.fetchval("select 1")
            await ready.wait()
            return await conn.fetchval(query, *args)

    return await asyncio.gather(*(call() for _ in range(calls)))


async def test_of_forty_concurrent_callers_one_gets_the_lock(
    database_url: str, conn: pool.Connection
) -> None:
    t = await people.tenant(conn)
    results = await _at_once(database_url, 40, "select acquire_tenant_lock($1, 'a job')", t.id)
    won = [run for run in results if run is not None]
    assert len(won) == 1
    assert await conn.fetchval("select run_id from agent_tenant_locks") == won[0]
    assert [row["id"] for row in await conn.fetch("select id from agent_autonomous_runs")] == won, (
        "a loser left a run"
    )


async def test_of_forty_concurrent_callers_one_takes_over_an_expired_lock(
    database_url: str, conn: pool.Connection
) -> None:
    t = await people.tenant(conn)
    first = await conn.fetchval("select acquire_tenant_lock($1, 'dead')", t.id)
    await conn.execute(_EXPIRE)
    results = await _at_once(database_url, 40, "select acquire_tenant_lock($1, 'a job')", t.id)
    won = [run for run in results if run is not None]
    assert len(won) == 1
    assert won[0] != first
    runs = await conn.fetch("select id, status from agent_autonomous_runs order by started_at")
    assert [tuple(row) for row in runs] == [(first, "timeout"), (won[0], "running")]


async def test_acquiring_creates_the_run_and_the_lock_that_names_it(
    rolled_back: pool.Connection, tenant: people.Tenant
) -> None:
    run = await rolled_back.fetchval("select acquire_tenant_lock($1, 'hourly job', 5)", tenant.id)
    lock = await rolled_back.fetchrow("select *, expires_at - locked_at as lasts from agent_tenant_locks")
    assert (lock["tenant_id"], lock["run_id"], lock["lock_holder"]) == (tenant.id, run, "hourly job")
    assert 299 < lock["lasts"].total_seconds() < 301
    row = await rolled_back.fetchrow("select * from agent_autonomous_runs where id = $1", run)
    assert (row["tenant_id"], row["status"], row["phase"], row["trigger"]) == (
        tenant.id,
        "running",
        "plan",
        "scheduled",
    )
    assert row["completed_at"] is None
    assert await rolled_back.fetchval("select acquire_tenant_lock($1, 'another')", tenant.id) is None


async def test_a_lock_of_one_tenant_is_in_nobody_elses_way(
    rolled_back: pool.Connection, tenant: people.Tenant
) -> None:
    other = await people.tenant(rolled_back, "Other")
    await rolled_back.fetchval("select acquire_tenant_lock($1, 'me')", tenant.id)
    assert await rolled_back.fetchval("select acquire_tenant_lock($1, 'me')", other.id) is not None


async def test_an_expired_lock_is_taken_over_and_its_run_is_a_timeout(
    rolled_back: pool.Connection, tenant: people.Tenant
) -> None:
    first = await rolled_back.fetchval("select acquire_tenant_lock($1, 'dead')", tenant.id)
    await rolled_back.execute("update agent_autonomous_runs set started_at = now() - interval '90 seconds'")
    await rolled_back.execute(_EXPIRE)
    second = await rolled_back.fetchval("select acquire_tenant_lock($1, 'next')", tenant.id)
    assert second not in (None, first)
    old = await rolled_back.fetchrow("select * from agent_autonomous_runs where id = $1", first)
    assert (old["status"], old["phase"]) == ("timeout", "failed")
    assert old["completed_at"] is not None
    assert 90_000 <= old["duration_ms"] < 95_000
    lock = await rolled_back.fetchrow("select run_id, lock_holder from agent_tenant_locks")
    assert tuple(lock) == (second, "next")


async def test_cycles_of_a_tenant_are_counted_on_and_runs_of_the_engine_are_none(
    rolled_back: pool.Connection, tenant: people.Tenant
) -> None:
    cycles = []
    for _ in range(3):
        run = await rolled_back.fetchval("select acquire_tenant_lock($1, 'me')", tenant.id)
        cycles.append(
            await rolled_back.fetchval("select cycle_number from agent_autonomous_runs where id = $1", run)
        )
        await rolled_back.fetchval("select release_tenant_lock($1, $2)", tenant.id, run)
        await rolled_back.execute(
            "insert into agent_autonomous_runs (tenant_id, trigger) values ($1, 'event')", tenant.id
        )
    assert cycles == [1, 2, 3]


@pytest.mark.parametrize(
    ("status", "phase"), [("completed", "completed"), ("failed", "failed"), ("timeout", "failed")]
)
async def test_releasing_frees_the_lock_and_finishes_the_run(
    rolled_back: pool.Connection, tenant: people.Tenant, status: str, phase: str
) -> None:
    run = await rolled_back.fetchval("select acquire_tenant_lock($1, 'me')", tenant.id)
    assert (
        await rolled_back.fetchval("select release_tenant_lock($1, $2, $3)", tenant.id, run, status) is True
    )
    assert await rolled_back.fetchval("select count(*) from agent_tenant_locks") == 0
    row = await rolled_back.fetchrow("select * from agent_autonomous_runs where id = $1", run)
    assert (row["status"], row["phase"]) == (status, phase)
    assert row["completed_at"] >= row["started_at"]
    assert row["duration_ms"] >= 0


async def test_a_stale_run_id_releases_nothing(rolled_back: pool.Connection, tenant: people.Tenant) -> None:
    stale = await rolled_back.fetchval("select acquire_tenant_lock($1, 'dead')", tenant.id)
    await rolled_back.execute(_EXPIRE)
    holder = await rolled_back.fetchval("select acquire_tenant_lock($1, 'next')", tenant.id)
    before = await rolled_back.fetch("select * from agent_autonomous_runs order by id")
    for wrong in (stale, uuid4()):
        assert await rolled_back.fetchval("select release_tenant_lock($1, $2)", tenant.id, wrong) is False
    assert await rolled_back.fetchval("select run_id from agent_tenant_locks") == holder
    assert await rolled_back.fetch("select * from agent_autonomous_runs order by id") == before
    assert await rolled_back.fetchval("select release_tenant_lock($1, $2)", tenant.id, holder) is True
    assert await rolled_back.fetchval("select release_tenant_lock($1, $2)", tenant.id, holder) is False


async def test_extending_adds_to_what_is_left(rolled_back: pool.Connection, tenant: people.Tenant) -> None:
    run = await rolled_back.fetchval("select acquire_tenant_lock($1, 'me', 10)", tenant.id)
    minutes = "select round(extract(epoch from expires_at - locked_at) / 60)::int from agent_tenant_locks"
    assert await rolled_back.fetchval("select extend_tenant_lock($1)", tenant.id) is True
    assert await rolled_back.fetchval(minutes) == 40
    assert await rolled_back.fetchval("select extend_tenant_lock($1, $2)", tenant.id, 5) is True
    assert await rolled_back.fetchval(minutes) == 45
    assert await rolled_back.fetchval("select extend_tenant_lock($1, $2, $3)", tenant.id, run, 15) is True
    assert await rolled_back.fetchval(minutes) == 60


async def test_nobody_extends_a_lock_that_is_not_there_has_run_out_or_is_anothers(
    rolled_back: pool.Connection, tenant: people.Tenant
) -> None:
    assert await rolled_back.fetchval("select extend_tenant_lock($1)", tenant.id) is False
    run = await rolled_back.fetchval("select acquire_tenant_lock($1, 'me')", tenant.id)
    assert await rolled_back.fetchval("select extend_tenant_lock($1, $2, 5)", tenant.id, uuid4()) is False
    await rolled_back.execute(_EXPIRE)
    assert await rolled_back.fetchval("select extend_tenant_lock($1)", tenant.id) is False
    assert await rolled_back.fetchval("select extend_tenant_lock($1, $2, 5)", tenant.id, run) is False


async def test_releasing_rings_the_bell_for_a_replica_that_sleeps(
    database_url: str, conn: pool.Connection
) -> None:
    t = await people.tenant(conn)
    run = await conn.fetchval("select acquire_tenant_lock($1, 'me')", t.id)
    await conn.execute("select setval('reactor.doorbell', 2)")
    async with pool.connected(database_url, name="test") as listener:
        rung = asyncio.Event()
        await listener.add_listener("reactor", lambda *_: rung.set())
        await conn.fetchval("select release_tenant_lock($1, $2)", t.id, run)
        async with patience(10):
            await rung.wait()


_T = "'00000000-0000-0000-0000-000000000001'"


@pytest.mark.parametrize(
    ("call", "said"),
    [
        ("acquire_tenant_lock(null, 'me')", "needs a tenant"),
        (f"acquire_tenant_lock({_T}, null)", "name of the holder"),
        (f"acquire_tenant_lock({_T}, '')", "name of the holder"),
        (f"acquire_tenant_lock({_T}, 'me', 0)", "at least a minute"),
        (f"acquire_tenant_lock({_T}, 'me', null)", "at least a minute"),
        (f"acquire_tenant_lock({_T}, 'me')", "there is no tenant 00000000"),
        (f"release_tenant_lock(null, {_T})", "needs a tenant"),
        (f"release_tenant_lock({_T}, null)", "id of the run"),
        (f"release_tenant_lock({_T}, {_T}, 'running')", "not as running"),
        (f"release_tenant_lock({_T}, {_T}, null)", "not as NULL"),
        ("extend_tenant_lock(null)", "needs a tenant"),
        (f"extend_tenant_lock({_T}, 0)", "positive number"),
        (f"extend_tenant_lock({_T}, {_T}, -1)", "positive number"),
        (f"extend_tenant_lock({_T}, null::uuid, 5)", "a run"),
    ],
)
async def test_a_wrong_argument_is_a_clear_error(rolled_back: pool.Connection, call: str, said: str) -> None:
    with pytest.raises(asyncpg.PostgresError, match=said) as refused:
        await rolled_back.execute(f"select {call}")
    assert refused.value.sqlstate == "RX003"
