"""Retention: what is too old goes, in bounded batches; what is not stays."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from uuid import UUID

import asyncpg
import pytest

from reactor.db import pool
from reactor.settings import Settings
from reactor.upkeep import housekeeping
from tests.patience import patience
from tests.sql import people

_AGED = {
    "agent_policy_violations": (
        "created_at",
        90,
        "(tenant_id, violation_type, reason, created_at)",
        "'x', 'y',",
    ),
    "agent_hourly_reflections": ("created_at", 180, "(tenant_id, created_at)", ""),
    "agent_rate_limits": ("window_start", 2, "(tenant_id, action_type, window_start)", "'x',"),
    "agent_alerts": (
        "created_at",
        90,
        "(tenant_id, alert_type, severity, acknowledged, created_at)",
        "'x', 'info', true,",
    ),
}


@pytest.fixture
async def tenant(rolled_back: pool.Connection) -> people.Tenant:
    return await people.tenant(rolled_back)


async def _retain(conn: pool.Connection, arguments: str = "") -> dict[str, tuple[int, int, bool]]:
    """One call, as the role of a replica."""
    await conn.execute("set local role reactor")
    rows = await conn.fetch(f"select * from reactor.apply_retention({arguments})")
    await conn.execute("reset role")
    return {row["relation"]: (row["removed"], row["dropped"], row["more"]) for row in rows}


@pytest.mark.parametrize("table", _AGED)
async def test_rows_go_when_they_are_older_than_the_tables_time(
    rolled_back: pool.Connection, tenant: people.Tenant, table: str
) -> None:
    column, days, columns, values = _AGED[table]
    for age in (days + 1, days - 1, 0):
        await rolled_back.execute(
            f"insert into {table} {columns} values ($1, {values} now() - make_interval(days => $2))",
            tenant.id,
            age,
        )
    assert (await _retain(rolled_back))[table] == (1, 0, False)
    oldest = await rolled_back.fetchval(f"select now() - min({column}) from {table}")
    assert await rolled_back.fetchval(f"select count(*) from {table}") == 2
    assert oldest < timedelta(days=days)


async def test_alerts_that_nobody_acknowledged_are_never_deleted(
    rolled_back: pool.Connection, tenant: people.Tenant
) -> None:
    await rolled_back.execute(
        "insert into agent_alerts (tenant_id, alert_type, severity, created_at) values ($1, 'x', 'info',"
        " '2001-01-01')",
        tenant.id,
    )
    assert (await _retain(rolled_back))["agent_alerts"] == (0, 0, False)
    await rolled_back.execute("update agent_alerts set acknowledged = true")
    assert (await _retain(rolled_back))["agent_alerts"] == (1, 0, False)


async def test_a_call_removes_no_more_rows_than_it_was_told_and_says_whether_there_are_more(
    rolled_back: pool.Connection, tenant: people.Tenant
) -> None:
    await rolled_back.execute(
        "insert into agent_rate_limits (tenant_id, action_type, window_start)"
        " select $1, 'x', '2001-01-01'::timestamptz + n * interval '1 hour' from generate_series(1, 25) n",
        tenant.id,
    )
    seen = [(await _retain(rolled_back, "p_limit => 10"))["agent_rate_limits"] for _ in range(3)]
    assert seen == [(10, 0, True), (10, 0, True), (5, 0, False)]


async def test_a_time_is_a_setting_and_none_keeps_for_ever(
    rolled_back: pool.Connection, tenant: people.Tenant
) -> None:
    await rolled_back.execute(
        "insert into agent_rate_limits (tenant_id, action_type, window_start) values ($1, 'x', now() -"
        " interval '1 year')",
        tenant.id,
    )
    assert "agent_rate_limits" not in await _retain(rolled_back, "p_rate_limits => null")
    assert (await _retain(rolled_back, "p_rate_limits => '2 years'"))["agent_rate_limits"] == (0, 0, False)
    assert (await _retain(rolled_back, "p_rate_limits => '1 day'"))["agent_rate_limits"] == (1, 0, False)


async def _month(conn: pool.Connection, tenant: UUID, month: str, runs: int) -> list[UUID]:
    """A partition of a month long ago, with runs in it."""
    await conn.execute(
        "select reactor.make_partitions('agent_autonomous_runs', 'month', 0, ($1::text ||"
        " '-15Z')::timestamptz)",
        month,
    )
    rows = await conn.fetch(
        "insert into agent_autonomous_runs (id, tenant_id, started_at, created_at)"
        " select reactor.uuid7_floor(at), $1, at, at from generate_series(1, $3::int) n,"
        " lateral (select ($2::text || '-03Z')::timestamptz + n * interval '1 minute' as at) a returning id",
        tenant, month, runs,
    )  # fmt: skip
    return [row["id"] for row in rows]


async def _partitions(conn: pool.Connection) -> set[str]:
    rows = await conn.fetch(
        "select inhrelid::regclass::text as name from pg_inherits where inhparent ="
        " 'agent_autonomous_runs'::regclass"
    )
    return {row["name"].removeprefix("reactor.agent_autonomous_runs_") for row in rows}


async def test_an_old_partition_is_dropped_although_other_tables_refer_to_its_runs(
    rolled_back: pool.Connection, tenant: people.Tenant
) -> None:
    runs = await _month(rolled_back, tenant.id, "2020-02", 30)
    for run in runs:
        await rolled_back.execute(
            "insert into agent_policy_violations (tenant_id, run_id, violation_type, reason) values ($1,"
            " $2, 'x', 'y')",
            tenant.id, run,
        )  # fmt: skip
        await rolled_back.execute(
            "insert into agent_hourly_reflections (tenant_id, run_id) values ($1, $2)", tenant.id, run
        )
    young = await rolled_back.fetchval(
        "insert into agent_autonomous_runs (tenant_id) values ($1) returning id", tenant.id
    )

    seen = [(await _retain(rolled_back, "p_limit => 20"))["agent_autonomous_runs"] for _ in range(3)]
    assert seen == [
        (40, 0, True),
        (20, 0, True),
        (0, 1, False),
    ]  # 20 of each table, the other ten, the partition
    assert "2020_02" not in await _partitions(rolled_back)
    assert [row["id"] for row in await rolled_back.fetch("select id from agent_autonomous_runs")] == [young]
    assert (
        await rolled_back.fetchval("select count(*) from agent_policy_violations where run_id is null") == 30
    )
    assert await rolled_back.fetchval("select count(*) from agent_hourly_reflections") == 0


async def test_several_old_partitions_go_in_one_call_and_a_young_one_stays(
    rolled_back: pool.Connection, tenant: people.Tenant
) -> None:
    for month in ("2020-02", "2020-03", f"{datetime.now(UTC) - timedelta(days=20):%Y-%m}"):
        await _month(rolled_back, tenant.id, month, 1)
    kept = await _partitions(rolled_back) - {"2020_02", "2020_03"}
    assert (await _retain(rolled_back))["agent_autonomous_runs"] == (0, 2, False)
    assert await _partitions(rolled_back) == kept


async def test_a_young_row_with_an_id_that_tells_no_time_keeps_an_old_partition(
    rolled_back: pool.Connection, tenant: people.Tenant
) -> None:
    runs = await _month(rolled_back, tenant.id, "2020-02", 2)
    await rolled_back.execute("update agent_autonomous_runs set created_at = now() where id = $1", runs[0])
    assert (await _retain(rolled_back))["agent_autonomous_runs"] == (0, 0, False)
    assert await rolled_back.fetchval("select count(*) from agent_autonomous_runs") == 2


async def test_a_users_table_that_refers_to_runs_and_forbids_their_end_is_obeyed(
    rolled_back: pool.Connection, tenant: people.Tenant
) -> None:
    runs = await _month(rolled_back, tenant.id, "2020-02", 2)
    await rolled_back.execute("create table audits (run_id uuid references agent_autonomous_runs (id))")
    await rolled_back.execute("grant select on audits to reactor_owner")
    await rolled_back.execute("insert into audits values ($1)", runs[0])
    assert (await _retain(rolled_back))["agent_autonomous_runs"] == (0, 0, False)
    await rolled_back.execute("delete from audits")
    assert (await _retain(rolled_back))["agent_autonomous_runs"] == (0, 1, False)


async def test_old_rows_of_the_default_partition_go_in_batches(
    rolled_back: pool.Connection, tenant: people.Tenant
) -> None:
    await rolled_back.execute(
        "insert into agent_autonomous_runs (id, tenant_id, created_at)"
        " select ('9b2f8f5c-3c1e-4d54-8a71-' || lpad(n::text, 12, '0'))::uuid, $1, now() - n * interval"
        " '1 day'"
        " from generate_series(1, 115) n",
        tenant.id,
    )
    seen = [(await _retain(rolled_back, "p_limit => 20"))["agent_autonomous_runs"] for _ in range(2)]
    assert seen == [(20, 0, True), (6, 0, False)]
    assert await rolled_back.fetchval("select count(*) from agent_autonomous_runs") == 89


async def test_weeks_of_failures_are_dropped_after_thirty_days(
    rolled_back: pool.Connection, tenant: people.Tenant
) -> None:
    await rolled_back.execute(
        "select reactor.make_partitions('email_provider_failures', 'week', 9, now() - interval '70 days')"
    )
    await rolled_back.execute(
        "insert into email_provider_failures (id, tenant_id, error_type, created_at)"
        " select reactor.uuid7_floor(at), $1, 'auth', at from generate_series(0, 65) n,"
        " lateral (select now() - n * interval '1 day' as at) a",
        tenant.id,
    )
    removed, dropped, more = (await _retain(rolled_back))["email_provider_failures"]
    assert (removed, more) == (0, False)
    assert dropped in (5, 6)
    oldest = await rolled_back.fetchval("select now() - min(created_at) from email_provider_failures")
    assert timedelta(days=30) < oldest < timedelta(days=38)


async def test_a_busy_table_is_left_for_later_instead_of_making_everybody_queue(
    database_url: str, conn: pool.Connection
) -> None:
    t = await people.tenant(conn)
    await _month(conn, t.id, "2020-02", 1)
    async with pool.connected(database_url, name="test") as reader, reader.transaction():
        await reader.fetch("select * from agent_autonomous_runs")
        rows = {row["relation"]: row for row in await conn.fetch("select * from reactor.apply_retention()")}
        assert (rows["agent_autonomous_runs"]["dropped"], rows["agent_autonomous_runs"]["more"]) == (0, True)
    rows = {row["relation"]: row for row in await conn.fetch("select * from reactor.apply_retention()")}
    assert (rows["agent_autonomous_runs"]["dropped"], rows["agent_autonomous_runs"]["more"]) == (1, False)


async def test_a_table_that_somebody_reads_for_hours_is_tried_once_an_hour(
    database_url: str, conn: pool.Connection
) -> None:
    """A backup does. Each try makes every claim wait, and housekeeping has other things to do."""
    t = await people.tenant(conn)
    await _month(conn, t.id, "2020-02", 1)
    await conn.execute(
        "insert into agent_policy_violations (tenant_id, violation_type, reason, created_at) "
        "select $1, 'x', 'r', now() - interval '200 days' from generate_series(1, 12000)",
        t.id,
    )
    term = await conn.fetchval("select reactor.lead('leader', '1 hour')")
    keeper = housekeeping.Housekeeping(pool=None, term=term, settings=Settings())
    partition = "select to_regclass('reactor.agent_autonomous_runs_2020_02') is not null"
    async with pool.connected(database_url, name="test") as reader, reader.transaction():
        await reader.fetch("select * from agent_autonomous_runs")
        async with patience(20):
            await keeper._retention(SimpleNamespace(db=conn))
        # What nobody reads is all done.
        assert await conn.fetchval("select count(*) from agent_policy_violations") == 0
        assert await conn.fetchval(partition)
    await keeper._retention(SimpleNamespace(db=conn))
    assert not await conn.fetchval(partition)


async def test_only_the_leader_of_the_term_may_forget(rolled_back: pool.Connection) -> None:
    for call in ("reactor.apply_retention(99)", "reactor.ensure_partitions(99)"):
        with pytest.raises(asyncpg.PostgresError) as refused:
            async with rolled_back.transaction():
                await rolled_back.execute(f"select {call}")
        assert refused.value.sqlstate == "RX005"


async def test_a_limit_that_is_none_is_refused(rolled_back: pool.Connection) -> None:
    with pytest.raises(asyncpg.PostgresError, match="p_limit must be positive") as refused:
        await rolled_back.execute("select * from reactor.apply_retention(p_limit => 0)")
    assert refused.value.sqlstate == "RX003"
