"""A simulated day of twenty tenants, and an independent count of what it must have come to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from tests.automation.day_books import Run
from tests.automation.day_oracle import Oracle
from tests.automation.day_script import END, KEPT_DAYS, TENANTS
from tests.automation.day_world import World, world

COUNTERS = ("actions_planned", "actions_executed", "actions_blocked", "emails_sent", "cards_created")
METRICS = (
    *COUNTERS,
    "orders_validated",
    "orders_with_exceptions",
    "exceptions_raised",
    "policy_violations",
    "email_failures",
    "alerts_raised",
    "contacts_touched",
)
CONTRACT_TABLES = (
    "agent_autonomous_runs",
    "agent_tenant_locks",
    "engagement_clocks",
    "agent_policy_violations",
    "order_processing_queue",
    "order_processing_exceptions",
    "agent_hourly_reflections",
    "agent_rate_limits",
    "agent_alerts",
    "email_provider_failures",
    "system_config",
)


async def test_a_day_of_twenty_tenants_comes_to_what_an_independent_count_says(
    conn, database_url, monkeypatch
):
    async with world(conn, database_url, monkeypatch) as day:
        await day.live()
        oracle = Oracle(await runs_of(day)).run()
        await check_counters(day, oracle)
        await check_tables(day, oracle)
        await check_reflections(day, oracle)
        await check_what_left_the_house(day, oracle)
        await check_retention(day)


async def runs_of(day: World) -> list[Run]:
    rows = await day.conn.fetch(
        "select tenant_id, completed_at, status <> 'completed' as failed, coalesce(duration_ms, 0) as ms "
        "from agent_autonomous_runs where completed_at is not null"
    )
    return [Run(day.name(r[0]), day.minute(r["completed_at"]), r["failed"], r["ms"]) for r in rows]


def differences(found: Mapping[Any, Any], wanted: Mapping[Any, Any]) -> dict[Any, tuple[Any, Any]]:
    """Where the day and the count differ: (found, wanted) by key. An absent number is 0."""
    pairs = {key: (found.get(key, 0), wanted.get(key, 0)) for key in {*found, *wanted}}
    return {key: pair for key, pair in pairs.items() if pair[0] != pair[1]}


async def counted(day: World, query: str, *arguments: Any) -> Counter[Any]:
    """Rows as a Counter: the first column is a tenant, the last the number."""
    rows = [tuple(row) for row in await day.conn.fetch(query, *arguments)]
    return Counter({(day.name(row[0]), *row[1:-1]): row[-1] for row in rows})


async def by(day: World, table: str, *columns: str, since: str = "created_at") -> Counter[Any]:
    """How many rows of the day a table has, by tenant and these columns."""
    group = ", ".join(("tenant_id", *columns))
    return await counted(
        day, f"select {group}, count(*) from {table} where {since} >= $1 group by {group}", day.midnight
    )


async def check_counters(day: World, oracle: Oracle) -> None:
    """The counters on the runs, by tenant and hour."""
    totals = ", ".join(f"sum({name}) as {name}" for name in COUNTERS)
    rows = await day.conn.fetch(
        f"select tenant_id, date_trunc('hour', completed_at, 'UTC') as hour, {totals} "
        "from agent_autonomous_runs where completed_at >= $1 group by 1, 2",
        day.midnight,
    )
    found = {
        (day.name(row["tenant_id"]), day.minute(row["hour"]) // 60, name): row[name]
        for row in rows
        for name in COUNTERS
    }
    wanted = {
        (tenant, hour, name): counts[name]
        for (tenant, hour), counts in oracle.hours.items()
        for name in COUNTERS
        if hour >= 0
    }
    assert differences(found, wanted) == {}
    # The script must be a day on which something of everything happened.
    for name in METRICS:
        assert sum(oracle.total(tenant, name) for tenant in TENANTS) >= 5, name


async def check_tables(day: World, oracle: Oracle) -> None:
    """The rows of the eleven tables."""
    for table in CONTRACT_TABLES:
        assert await day.conn.fetchval(f"select count(*) from {table}") > 0, table

    statuses = await counted(
        day,
        "select tenant_id, status, count(*) from agent_autonomous_runs where status <> 'completed' "
        "and status <> 'failed' group by 1, 2",
    )
    # What the application locked: one lock ran out, one is held still.
    assert statuses == Counter({("locked", "timeout"): 1, ("plain", "running"): 1})
    assert await counted(
        day, "select tenant_id, lock_holder, count(*) from agent_tenant_locks group by 1, 2"
    ) == Counter({("plain", "the application"): 1})

    assert await counted(
        day, "select tenant_id, is_compliant, count(*) from engagement_clocks group by 1, 2"
    ) == Counter(
        (name, contact.due > END or contact.name in state.touched)
        for name, state in oracle.states.items()
        for contact in state.tenant.contacts
    )
    scores = await day.conn.fetch(
        "select k.first_name, c.priority_score from engagement_clocks c "
        "join contacts k on k.id = c.contact_id where c.priority_score <> 0"
    )
    assert [tuple(row) for row in scores] == [("e0", 15)]  # an owner, not yet a day late

    violations = await by(day, "agent_policy_violations", "violation_type")
    assert differences(violations, oracle.violations) == {}
    pending = Counter({(name, "pending"): len(state.orders) for name, state in oracle.states.items()})
    queue = await by(day, "order_processing_queue", "status", since="queued_at")
    assert differences(queue, oracle.queue + pending) == {}
    exceptions = await by(day, "order_processing_exceptions", "exception_type", "severity")
    assert differences(exceptions, oracle.exceptions) == {}
    resolved = await day.conn.fetch("select order_id from order_processing_exceptions where resolved")
    assert [row[0] for row in resolved] == [day.named["mended"]]
    windows = await day.conn.fetch("select * from agent_rate_limits where window_start >= $1", day.midnight)
    taken = {
        (day.name(row["tenant_id"]), row["action_type"], day.minute(row["window_start"])): row["action_count"]
        for row in windows
    }
    assert differences(taken, oracle.windows) == {}
    raised = Counter(
        (name, alert.type, alert.severity, alert.acknowledged is not None)
        for name, state in oracle.states.items()
        for alert in state.alerts
    )
    alerts = await by(day, "agent_alerts", "alert_type", "severity", "acknowledged")
    assert differences(alerts, raised) == {}
    assert await by(day, "email_provider_failures", "error_type") == oracle.failures
    [config] = await day.conn.fetch("select key, value ->> 'global_enabled' from system_config")
    assert tuple(config) == ("agent_config", "true")
    cards = await counted(day, "select tenant_id, count(*) from kanban_cards group by 1")
    assert cards == +Counter({(name,): oracle.total(name, "cards_created") for name in TENANTS})


async def check_reflections(day: World, oracle: Oracle) -> None:
    """One for each tenant and hour in which anything happened; its numbers, and the difference, exactly."""
    last = (END - 61) // 60
    hours: dict[tuple[str, int], Counter[str]] = {
        key: Counter({name: counts[name] for name in METRICS}) for key, counts in oracle.hours.items()
    }
    for run in oracle.runs:
        counts = hours.setdefault((run.tenant, run.ended // 60), Counter())
        counts.update({"runs_failed" if run.failed else "runs_completed": 1, "run_ms": run.milliseconds})
        counts["any"] += 1
    expected = {
        (name, hour): {
            metric: (counts[metric], counts[metric] - hours.get((name, hour - 1), Counter())[metric])
            for metric in (*METRICS, "runs_completed", "runs_failed", "run_ms")
        }
        for (name, hour), counts in hours.items()
        if -1 <= hour <= last and any(counts.values())
    }
    rows = await day.conn.fetch("select * from agent_hourly_reflections where summary ? 'hour'")
    found = {}
    for row in rows:
        hour = day.minute(datetime.fromisoformat(row["summary"]["hour"])) // 60
        found[day.name(row["tenant_id"]), hour] = {
            metric: (row["summary"][metric], delta) for metric, delta in row["metrics_delta"].items()
        }
    assert len(found) == len(rows)
    assert differences(found, expected) == {}
    assert len({hour for _, hour in found}) == last + 2  # and the hour before the day


async def check_what_left_the_house(day: World, oracle: Oracle) -> None:
    """What the mail server and the receiver got, each message once."""
    alerts = Counter(
        {
            f"ops{n}@{name}.test": oracle.alert_emails[name] // tenant.alert_emails
            for name, tenant in TENANTS.items()
            for n in range(tenant.alert_emails)
        }
    )
    assert differences(Counter(day.postbox.recipients), oracle.recipients + alerts) == {}
    assert max(oracle.recipients.values()) == 1
    assert len({message["Message-ID"] for message in day.postbox.messages}) == len(day.postbox.messages)
    assert day.postbox.refused == oracle.failures["outage", "5xx"]
    assert differences(await by(day, "reactor.email_intents", "status"), oracle.intents) == {}
    assert differences(day.webhooks, oracle.webhooks) == {}
    assert max(day.webhook_ids.values()) == 1
    assert day.refused_webhooks == oracle.refused_webhooks == Counter(hooked=6)
    assert await day.conn.fetchval("select count(*) from reactor.dead_events") == oracle.dead == 1


async def check_retention(day: World) -> None:
    """Of the old rows those remain that were young enough, and the alert that nobody acknowledged."""
    for table in KEPT_DAYS:
        born = "window_start" if table == "agent_rate_limits" else "created_at"
        # What the day itself made has ids, and some a created_at, of the real clock: a day earlier at most.
        before = day.moment(0 if table == "agent_rate_limits" else -24 * 60)
        old = await day.conn.fetchval(
            f"select count(*) from {table} where tenant_id = $1 and {born} < $2", day.ids["plain"], before
        )
        assert old == (2 if table == "agent_alerts" else 1), table
