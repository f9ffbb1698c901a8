"""Policies as they act: violations on record, and places in the hours to come."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from reactor.app import Reactor
from reactor.automation.guard import guard
from reactor.automation.policies import Action, Cause
from reactor.automation.tenant import load_tenant
from reactor.db.pool import connected
from reactor.testing import DatabaseClock, drain
from tests.automation.company import Company, automations

RESERVE = "select slot, granted from reactor.reserve_slots($1, $2, $3, $4, $5, $6)"


async def test_cards_beyond_the_hourly_limit_of_actions_are_made_in_the_next_hours(conn, database_url):
    company = await Company.found(conn, max_actions_per_hour=3)
    await company.overdue_contacts(8)
    clock = DatabaseClock(conn)
    await clock.stop()

    await drain(automations(), database_url)
    assert len(await company.cards()) == 3
    assert [v["violation_type"] for v in await company.violations()] == ["rate_limit"] * 5

    for total in (6, 8):
        await clock.advance(timedelta(hours=1))
        for _ in range(2):  # a new day's partition may get in the first one's way
            await conn.execute("update reactor.events set available_at = null")
            await drain(automations(), database_url)
        assert len(await company.cards()) == total
    assert await conn.fetchval("select count(*) from reactor.events") == 0
    assert await conn.fetchval("select count(*) from reactor.dead_events") == 0


async def test_a_suppressed_contact_gets_neither_email_nor_proposal_and_one_row_says_so(conn, database_url):
    company = await Company.found(conn)
    contact = await company.contact("ada@widgets.test")
    await company.overdue(contact=contact)
    await company.overdue(contact=await company.contact("bob@widgets.test"))
    await conn.execute(
        "insert into email_suppressions (tenant_id, contact_id, reason) values ($1, $2, 'complaint')",
        company.tenant_id,
        contact,
    )
    elsewhere = await Company.found(conn)
    await conn.execute(
        "insert into email_suppressions (tenant_id, email, reason) values ($1, 'bob@widgets.test', 'bounce')",
        elsewhere.tenant_id,
    )

    await drain(automations(), database_url)

    assert [card["action_payload"]["to"] for card in await company.cards()] == ["bob@widgets.test"]
    [violation] = await company.violations()
    assert (violation["violation_type"], violation["blocked"]) == ("suppression", True)
    assert violation["action_data"]["contact_id"] == str(contact)
    assert violation["run_id"] is not None
    assert (await company.run_totals())["blocked"] == 1


async def test_types_that_the_tenant_does_not_list_are_blocked(conn, database_url):
    company = await Company.found(conn, allowed_action_types=["create_task"])
    await company.overdue(contact=await company.contact("ada@widgets.test"))
    await company.overdue(contact=await company.contact(None))

    await drain(automations(), database_url)

    assert [card["type"] for card in await company.cards()] == ["create_task"]
    assert [v["violation_type"] for v in await company.violations()] == ["allowed_action_types"]


async def test_a_handler_of_ones_own_may_ask_all_six_policies(conn, database_url):
    company = await Company.found(conn)
    await company.overdue(contact=await company.contact("ada@widgets.test"))
    app = Reactor()
    told = []

    @app.on("engagement.overdue", batch=10)
    async def ask(events, ctx):
        settings = (await load_tenant(ctx)).loaded.settings
        actions = [
            Action("research", Cause.INITIATIVE, topic="market"),
            Action("create_task", Cause.INITIATIVE),
            Action("sandbox", Cause.INITIATIVE, payload={"run": "drop_database"}),
            Action("launch_rocket", Cause.CLIENT_REQUEST),
            *[Action("sandbox", Cause.INITIATIVE)] * 7,
            Action("research", Cause.INITIATIVE, topic="contact_discovery"),
        ]
        told.extend(await guard(ctx, settings, actions))

    await drain(app, database_url)

    assert [decision.violation.policy if decision.violation else None for decision in told] == [
        "research_before_exhaustion",
        "human_task_no_request",
        "sensitive_action",
        "allowed_action_types",
        *[None] * 5,
        *["rate_limit"] * 2,
        None,
    ]
    assert len(await company.violations()) == 6


async def test_places_fill_the_hours_in_order_within_every_limit(conn):
    company = await Company.found(conn)
    hour = await conn.fetchval("select date_trunc('hour', reactor.now(), 'UTC')")
    rows = await conn.fetch(RESERVE, company.tenant_id, "email_send", 12, 5, None, 4)
    assert [(row["slot"] - hour, row["granted"]) for row in rows] == [
        (timedelta(hours=n), 4) for n in range(3)
    ]
    # Another kind shares the limit of all actions, and takes what is left of it.
    rows = await conn.fetch(RESERVE, company.tenant_id, "research", 3, 2, None, 5)
    assert [row["granted"] for row in rows] == [1, 1, 1]
    counts = await conn.fetch(
        "select action_type, sum(action_count) as n from agent_rate_limits group by 1 order by 1"
    )
    assert [(row["action_type"], row["n"]) for row in counts] == [
        ("action", 15),
        ("email_send", 12),
        ("research", 3),
    ]


@pytest.mark.parametrize("day", [datetime(2027, 3, 28, tzinfo=UTC), datetime(2027, 10, 31, tzinfo=UTC)])
async def test_a_day_of_utc_has_24_hours_also_where_the_databases_clock_is_put_forward_or_back(conn, day):
    company = await Company.found(conn)
    await conn.execute("set timezone = 'Europe/Berlin'; set statement_timeout = '10s'")
    await DatabaseClock(conn).stop(day + timedelta(hours=12))
    rows = [
        row
        for count in (2, 3)
        for row in await conn.fetch(RESERVE, company.tenant_id, "email_send", count, 20, 3, 100)
    ]
    assert [(row["slot"], row["granted"]) for row in rows] == [
        (day + timedelta(hours=12), 2),
        (day + timedelta(hours=12), 1),
        (day + timedelta(hours=24), 2),
    ]
    await DatabaseClock(conn).stop(day + timedelta(hours=23, minutes=30))
    delay = await conn.fetchval(
        "select delay from reactor.reserve_slots($1, 'x', 1, 0, 1, 1)", company.tenant_id
    )
    assert delay == timedelta(minutes=30)


@pytest.mark.parametrize("limits", [(0, 10, 10), (10, 0, 10), (10, 10, 0), (-1, None, 5)])
async def test_a_limit_of_zero_gives_no_place_and_counts_nothing(conn, limits):
    company = await Company.found(conn)
    rows = await conn.fetch(RESERVE, company.tenant_id, "email_send", 3, *limits)
    assert [(row["slot"], row["granted"]) for row in rows] == [(None, 3)]
    assert await conn.fetchval("select count(*) from agent_rate_limits") == 0


async def test_many_at_once_never_get_more_places_than_there_are(conn, database_url):
    company = await Company.found(conn)

    async def reserve(times: int) -> None:
        async with connected(database_url, name="test") as own:
            for _ in range(times):
                await own.fetch(RESERVE, company.tenant_id, "email_send", 3, 7, 20, 100)

    await asyncio.gather(*(reserve(5) for _ in range(8)))

    rows = await conn.fetch(
        "select window_start, action_count from agent_rate_limits where action_type = 'email_send' order by 1"
    )
    assert sum(row["action_count"] for row in rows) == 8 * 5 * 3
    assert max(row["action_count"] for row in rows) == 7
    by_day: dict[object, int] = {}
    for row in rows:
        by_day[row["window_start"].date()] = by_day.get(row["window_start"].date(), 0) + row["action_count"]
    assert max(by_day.values()) == 20


async def test_what_others_count_in_the_same_window_is_respected(conn):
    company = await Company.found(conn)
    for _ in range(3):
        assert await conn.fetchval(
            "select check_and_increment_rate_limit($1, 'email_send', 20)", company.tenant_id
        )
    rows = await conn.fetch(RESERVE, company.tenant_id, "email_send", 5, 5, None, 100)
    assert [row["granted"] for row in rows] == [2, 3]
