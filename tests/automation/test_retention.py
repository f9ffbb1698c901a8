"""Retention as the leader does it: in bounded batches, saying how far it is, with what refers to it."""

from datetime import timedelta

import structlog

from reactor.app import Reactor
from reactor.testing import DatabaseClock, running
from tests.automation.company import Company, until

OLD = "reactor.now() - interval '100 days'"


async def test_a_large_table_shrinks_batch_by_batch_with_progress_in_the_log(conn, database_url):
    company = await Company.found(conn)
    # Violations that refer to a run of their time; the run goes too, and one young violation outlives it.
    run = await conn.fetchval(
        "insert into agent_autonomous_runs (id, tenant_id, status, completed_at, created_at) "
        f"select reactor.uuid7_floor(t), $1, 'completed', t, t from (select {OLD}) o (t) returning id",
        company.tenant_id,
    )
    await conn.execute(
        "insert into agent_policy_violations (tenant_id, run_id, violation_type, reason, created_at) "
        f"select $1, $2, 'rate_limit', 'old', {OLD} from generate_series(1, 12000)",
        company.tenant_id,
        run,
    )
    await conn.execute(
        "insert into agent_policy_violations (tenant_id, run_id, violation_type, reason) "
        "values ($1, $2, 'rate_limit', 'young')",
        company.tenant_id,
        run,
    )

    with structlog.testing.capture_logs() as logs:
        async with running(Reactor(), database_url):
            await until(
                lambda: conn.fetchval(
                    "select exists (select from reactor.schedules where name = 'reactor.retention')"
                )
            )
            await conn.execute(
                "update reactor.schedules set due_at = reactor.now() where name = 'reactor.retention'; "
                "select pg_notify('reactor', 'timer')"
            )
            await until(
                lambda: conn.fetchval(
                    "select finished_at is not null from reactor.schedules where name = 'reactor.retention'"
                )
            )

    told = [entry["agent_policy_violations"] for entry in logs if entry["event"] == "retention_removed"]
    assert told == [5000, 10000, 12000]
    [left] = await company.rows("agent_policy_violations")
    assert (left["reason"], left["run_id"]) == ("young", None)
    assert await conn.fetchval("select count(*) from agent_autonomous_runs where id = $1", run) == 0


async def test_over_a_year_months_and_weeks_begin_and_end_and_no_insert_ever_misses_its_partition(
    conn, database_url
):
    """The clock goes on month by month; runs and failures of each are there until their time, then gone."""
    company = await Company.found(conn)
    clock = DatabaseClock(conn)
    await conn.execute("update reactor.leadership set leader = 'test', term = 1, expires_at = 'infinity'")
    for _ in range(13):
        await conn.execute("select reactor.ensure_partitions(1)")
        for table, columns, values in (
            ("agent_autonomous_runs", "status", "'completed'"),
            ("email_provider_failures", "error_type", "'timeout'"),
        ):
            await conn.execute(
                f"insert into {table} (id, tenant_id, created_at, {columns}) "
                f"select reactor.uuid7_floor(t), $1, t, {values} from (select reactor.now()) o (t)",
                company.tenant_id,
            )
        await conn.execute(
            "insert into agent_policy_violations (tenant_id, run_id, violation_type, reason, created_at) "
            "select tenant_id, id, 'rate_limit', 'kept by its run', reactor.now() from agent_autonomous_runs "
            "order by id desc limit 1"
        )
        more = True
        while more:
            rows = await conn.fetch("select more from reactor.apply_retention(1, 1000)")
            more = any(row["more"] for row in rows)
        strays = await conn.fetchval(
            "select (select count(*) from reactor.agent_autonomous_runs_default) "
            "+ (select count(*) from reactor.email_provider_failures_default)"
        )
        assert strays == 0
        await clock.advance(timedelta(days=31))

    now = await clock.now()
    for table, days in (("agent_autonomous_runs", 90), ("email_provider_failures", 30)):
        rows = await company.rows(table)
        # A partition goes when all of it is old enough: a month or a week later at the most.
        assert all(row["created_at"] > now - timedelta(days=days + 31 + 31) for row in rows)
        assert any(row["created_at"] > now - timedelta(days=days + 31) for row in rows)
    orphans = await conn.fetchval(
        "select count(*) from agent_policy_violations v where v.run_id is not null "
        "and not exists (select from agent_autonomous_runs r where r.id = v.run_id)"
    )
    assert orphans == 0
