"""Hourly reflections and alert rules, on real rows."""

from datetime import UTC, datetime, timedelta

from reactor.automation.jobs import rescore
from reactor.automation.reflections import reflect_hour, reflect_missed
from reactor.automation.rules import evaluate_rules
from reactor.builtin import app
from reactor.testing import DatabaseClock, running
from tests.automation.company import Company, until

HOUR = timedelta(hours=1)


async def hour_ago(conn, hours: int = 1) -> datetime:
    """The beginning of the hour that many hours ago."""
    found: datetime = await conn.fetchval(
        "select date_trunc('hour', reactor.now(), 'UTC') - make_interval(hours => $1)", hours
    )
    return found


async def add_run(
    company: Company, at: datetime, *, status: str = "completed", seconds: int = 1, **counts: int
):
    await company.db.execute(
        "insert into agent_autonomous_runs (tenant_id, cycle_number, started_at, completed_at, phase, "
        "status, actions_planned, actions_executed, actions_blocked, emails_sent, cards_created, trigger, "
        "duration_ms) "
        "values ($1, 1, $2, $3, 'completed', $4, $5, $6, $7, $8, $9, 'event', $10)",
        company.tenant_id,
        at,
        at + timedelta(seconds=seconds),
        status,
        counts.get("planned", 0),
        counts.get("executed", 0),
        counts.get("blocked", 0),
        counts.get("emails", 0),
        counts.get("cards", 0),
        seconds * 1000,
    )


async def as_replica(conn):
    """What housekeeping does, it does with a replica's rights."""
    await conn.execute("set role reactor")


async def test_a_reflection_counts_the_hour_and_its_difference_to_the_one_before(conn):
    busy, idle = await Company.found(conn), await Company.found(conn)
    hour = await hour_ago(conn)
    await add_run(busy, hour - HOUR + timedelta(minutes=5), planned=5, executed=5, emails=3)
    await add_run(busy, hour + timedelta(minutes=5), planned=8, executed=6, blocked=2, emails=1, cards=5)
    await add_run(busy, hour + timedelta(minutes=6), status="failed")
    # Ends after the hour: counts in the next one.
    await add_run(busy, hour + timedelta(minutes=59, seconds=59), seconds=2, emails=100)
    await conn.execute(
        "insert into agent_policy_violations (tenant_id, violation_type, action_type, reason, created_at) "
        "select $1, 'suppression', 'email_send', 'suppressed', $2 from generate_series(1, 2)",
        busy.tenant_id,
        hour + timedelta(minutes=10),
    )
    await busy.alert()

    await as_replica(conn)
    assert await reflect_hour(conn, hour) == 1
    assert await reflect_hour(conn, hour) == 0
    await conn.execute("reset role")

    assert await idle.rows("agent_hourly_reflections") == []
    [row] = await busy.rows("agent_hourly_reflections")
    assert row["summary"]["hour"] == hour.isoformat()
    assert row["summary"]["emails_sent"] == 1
    assert row["summary"]["violations_by_policy"] == {"suppression": 2}
    assert row["metrics_delta"]["emails_sent"] == -2
    assert row["metrics_delta"]["actions_planned"] == 3
    assert row["metrics_delta"]["runs_failed"] == 1
    assert row["metrics_delta"]["orders_validated"] == 0
    assert {"metric": "emails_sent", "from": 3, "to": 1} in row["changes"]
    assert {"what": "critical alerts that nobody has acknowledged", "count": 1} in row["blockers"]
    assert "1 of 2 runs failed" in row["insights"]
    assert row["next_hour_priorities"][0]["do"] == "acknowledge the critical alerts"


async def test_hours_that_passed_while_nobody_ran_are_made_good_each_once(conn):
    company = await Company.found(conn)
    clock = DatabaseClock(conn)
    now = await conn.fetchval("select reactor.now()")
    await clock.advance(now.replace(minute=30, second=0, microsecond=0) + HOUR - now)  # half past, any hour
    first = await hour_ago(conn)
    await add_run(company, first + timedelta(minutes=1), emails=1)
    assert await reflect_missed(conn) == 1
    assert await reflect_missed(conn) == 0

    for later in (1, 3):
        await add_run(company, first + later * HOUR + timedelta(minutes=1), emails=1 + later)
    await clock.advance(4 * HOUR)
    assert await reflect_missed(conn) == 4
    assert await reflect_missed(conn) == 0

    rows = await company.rows("agent_hourly_reflections", "summary ->> 'hour'")
    assert [datetime.fromisoformat(row["summary"]["hour"]) for row in rows] == [
        first,
        first + HOUR,
        first + 3 * HOUR,
    ]
    assert [row["metrics_delta"]["emails_sent"] for row in rows] == [1, 1, 4]


async def test_a_long_silence_is_not_made_good_for_ever(conn):
    await conn.execute(
        "insert into reactor.reflected_hours (hour, tenants) values ($1, 0)", datetime(2020, 1, 1, tzinfo=UTC)
    )
    assert 46 <= await reflect_missed(conn) <= 48


async def test_an_hour_is_left_alone_until_a_minute_after_its_end(conn):
    clock = DatabaseClock(conn)
    now = await conn.fetchval("select reactor.now()")
    await clock.advance(now.replace(minute=0, second=30, microsecond=0) + 2 * HOUR - now)
    [early] = [row[0] for row in await conn.fetch("select h from reactor.hours_to_reflect() h")]
    await clock.advance(timedelta(minutes=1))
    [later] = [row[0] for row in await conn.fetch("select h from reactor.hours_to_reflect() h")]
    assert later - early == HOUR


async def test_rules_judge_each_tenant_by_its_own_hour_and_tell_once(conn):
    failing, calm = await Company.found(conn), await Company.found(conn)
    now = await conn.fetchval("select reactor.now()")
    for company, status in ((failing, "failed"), (calm, "completed")):
        for minute in range(3):
            await add_run(company, now - timedelta(minutes=10 + minute), status="completed", planned=10)
        await add_run(company, now - timedelta(minutes=5), status=status, planned=10, blocked=1)

    await as_replica(conn)
    assert await evaluate_rules(conn) == 1
    assert await evaluate_rules(conn) == 0
    await conn.execute("reset role")

    [alert] = await failing.alerts()
    assert (alert["alert_type"], alert["severity"]) == ("failure_rate", "critical")
    assert alert["metadata"]["runs_failed"] == 1
    assert await calm.alerts() == []


async def test_every_rule_fires_on_rows_that_break_it(conn):
    company = await Company.found(conn)
    now = await conn.fetchval("select reactor.now()")
    for hours in range(2, 30):
        await add_run(company, now - hours * HOUR, emails=6)
    await add_run(
        company, now - timedelta(minutes=30), status="failed", seconds=600, planned=10, blocked=4, emails=13
    )
    await conn.execute(
        "insert into agent_policy_violations (tenant_id, violation_type, action_type, reason) "
        "select $1, 'rate_limit', 'email_send', 'too many' from generate_series(1, 10)",
        company.tenant_id,
    )
    for days in (-2, -1, -1, 1):
        contact = await company.contact("a@b.test")
        await conn.execute(
            "insert into engagement_clocks (tenant_id, contact_id, next_touch_due) "
            "values ($1, $2, now() + $3)",
            company.tenant_id,
            contact,
            timedelta(days=days),
        )

    assert await evaluate_rules(conn) == 6
    assert {alert["alert_type"] for alert in await company.alerts()} == {
        "failure_rate",
        "low_compliance",
        "blocked_share",
        "slow_runs",
        "policy_blocks",
        "email_spike",
    }


async def test_scores_are_asked_for_once_for_each_tenant_that_needs_them(conn):
    late, fine = await Company.found(conn), await Company.found(conn)
    await late.overdue(contact=await late.contact("a@b.test"))
    await conn.execute(
        "insert into engagement_clocks (tenant_id, contact_id, next_touch_due) "
        "values ($1, $2, now() + '1 day')",
        fine.tenant_id,
        await fine.contact("a@b.test"),
    )

    class Leader:
        db = conn

    await as_replica(conn)
    await rescore(Leader())
    await rescore(Leader())
    await conn.execute("reset role")

    assert len(await late.waiting("engagement.score")) == 1
    assert await fine.waiting("engagement.score") == []


async def test_the_built_in_app_reflects_judges_scores_and_prunes_by_the_clock(conn, database_url):
    company = await Company.found(conn, allowed_action_types=[])
    # In the first minute of an hour the last one is not reflected on yet.
    hour = await conn.fetchval("select min(h) from reactor.hours_to_reflect() h")
    await add_run(company, hour + timedelta(minutes=1), emails=1)
    now = await conn.fetchval("select reactor.now()")
    await add_run(company, now - timedelta(minutes=2), status="failed")
    clock = await company.overdue(contact=await company.contact("a@b.test"), days=5)
    await conn.execute(
        "insert into reactor.email_intents "
        "(tenant_id, status, sender, recipient, subject, body_text, settled_at) "
        "values ($1, 'sent', 'a@b.test', 'c@d.test', 'x', 'x', now() - interval '91 days')",
        company.tenant_id,
    )
    jobs = ["reactor.outbound", "reactor.reflections", "reactor.rules", "reactor.scores"]

    async def registered():
        return await conn.fetchval("select count(*) = 4 from reactor.schedules where name = any ($1)", jobs)

    async def all_done():
        return (
            await company.rows("agent_hourly_reflections")
            and await company.alerts("failure_rate")
            and await conn.fetchval("select priority_score = 10 from engagement_clocks where id = $1", clock)
            and await company.intents() == []
        )

    async with running(app, database_url):
        await until(registered)
        await conn.execute(
            "update reactor.schedules set due_at = reactor.now() where name like 'reactor.%'; "
            "select pg_notify('reactor', 'timer')"
        )
        await until(all_done)
