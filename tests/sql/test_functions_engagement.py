"""Engagement clocks: touched, judged, listed."""

import asyncio
from datetime import timedelta
from uuid import uuid4

import asyncpg
import pytest

from reactor.db import pool
from tests.sql import people

_TOUCH = "select update_engagement_clock($1, $2, $3, $4, $5)"


@pytest.fixture
async def tenant(rolled_back: pool.Connection) -> people.Tenant:
    return await people.tenant(rolled_back)


async def test_a_first_touch_makes_the_clock_and_a_later_one_keeps_its_interval(
    rolled_back: pool.Connection, tenant: people.Tenant
) -> None:
    clock = await rolled_back.fetchval(_TOUCH, tenant.id, tenant.client, None, "call", tenant.user)
    row = await rolled_back.fetchrow("select * from engagement_clocks where id = $1", clock)
    assert (row["client_id"], row["contact_id"], row["last_touch_type"]) == (tenant.client, None, "call")
    assert row["last_touch_by"] == tenant.user
    assert row["next_touch_due"] - row["last_touch_at"] == timedelta(days=21)
    assert (row["is_compliant"], row["days_overdue"]) == (True, 0)

    await rolled_back.execute(
        "update engagement_clocks set engagement_interval_days = 7, next_touch_due = now() - interval '3"
        " days'"
    )
    overdue = await rolled_back.fetchrow("select is_compliant, days_overdue from engagement_clocks")
    assert tuple(overdue) == (False, 3)

    assert await rolled_back.fetchval(_TOUCH, tenant.id, tenant.client, None, "email", None) == clock
    row = await rolled_back.fetchrow("select * from engagement_clocks")
    assert row["next_touch_due"] - row["last_touch_at"] == timedelta(days=7)
    assert (row["is_compliant"], row["days_overdue"], row["last_touch_by"]) == (True, 0, None)


async def test_an_interval_of_no_days_is_one_so_that_the_clock_is_compliant_again(
    rolled_back: pool.Connection, tenant: people.Tenant
) -> None:
    for days in (0, -3):
        await rolled_back.fetchval(_TOUCH, tenant.id, tenant.client, tenant.contact, "call", None)
        await rolled_back.execute("update engagement_clocks set engagement_interval_days = $1", days)
        await rolled_back.fetchval(_TOUCH, tenant.id, tenant.client, tenant.contact, "call", None)
        rows = await rolled_back.fetch(
            "select next_touch_due - last_touch_at, is_compliant from engagement_clocks"
        )
        assert [tuple(row) for row in rows] == [(timedelta(days=1), True)] * 2


async def test_client_and_contact_can_be_touched_together_or_each_alone(
    rolled_back: pool.Connection, tenant: people.Tenant
) -> None:
    both = await rolled_back.fetchval(_TOUCH, tenant.id, tenant.client, tenant.contact, "visit", None)
    clocks = {row["id"]: row for row in await rolled_back.fetch("select * from engagement_clocks")}
    assert len(clocks) == 2
    assert clocks[both]["client_id"] == tenant.client
    alone = await rolled_back.fetchval(_TOUCH, tenant.id, None, tenant.contact, "call", None)
    assert alone != both
    assert clocks[alone]["contact_id"] == tenant.contact
    assert await rolled_back.fetchval("select count(*) from engagement_clocks") == 2


async def test_twenty_first_touches_at_once_make_one_clock(database_url: str, conn: pool.Connection) -> None:
    t = await people.tenant(conn)
    ready = asyncio.Barrier(20)

    async def touch() -> object:
        async with pool.connected(database_url, name="test") as own:
            await own.fetchval("select 1")
            await ready.wait()
            return await own.fetchval(_TOUCH, t.id, t.client, t.contact, "call", None)

    assert len(set(await asyncio.gather(*(touch() for _ in range(20))))) == 1
    assert await conn.fetchval("select count(*) from engagement_clocks") == 2


async def test_a_user_touches_and_lists_clocks_of_the_own_tenant_only(
    rolled_back: pool.Connection, tenant: people.Tenant
) -> None:
    other = await people.tenant(rolled_back, "Other")
    for t in (tenant, other):
        await rolled_back.execute(
            "insert into engagement_clocks (tenant_id, client_id, next_touch_due) values ($1, $2, now() -"
            " interval '1 day')",
            t.id, t.client,
        )  # fmt: skip
    async with people.acting_as(rolled_back, "authenticated", user=tenant.user):
        assert len(await rolled_back.fetch("select * from get_engagement_violations($1)", tenant.id)) == 1
        assert await rolled_back.fetch("select * from get_engagement_violations($1)", other.id) == []
        assert await rolled_back.fetchval(_TOUCH, tenant.id, tenant.client, None, "call", tenant.user)
        assert await rolled_back.fetch("select * from get_engagement_violations($1)", tenant.id) == []
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="row-level security"):
            await rolled_back.fetchval(_TOUCH, other.id, other.client, None, "call", tenant.user)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("null, gen_random_uuid(), null, 'call', null", "needs a tenant"),
        ("gen_random_uuid(), gen_random_uuid(), null, null, null", "kind of touch"),
        ("gen_random_uuid(), gen_random_uuid(), null, '', null", "kind of touch"),
        ("gen_random_uuid(), null, null, 'call', null", "a client, a contact or both"),
    ],
)
async def test_a_wrong_argument_is_a_clear_error(
    rolled_back: pool.Connection, arguments: str, said: str
) -> None:
    with pytest.raises(asyncpg.PostgresError, match=said) as refused:
        await rolled_back.execute(f"select update_engagement_clock({arguments})")
    assert refused.value.sqlstate == "RX003"


@pytest.mark.parametrize(
    ("due", "compliant", "days"),
    [
        ("null", True, 0),
        ("now() + interval '1 second'", True, 0),
        ("now()", False, 0),
        ("now() - interval '23 hours'", False, 0),
        ("now() - interval '24 hours'", False, 1),
        ("now() - interval '100 days'", False, 100),
        ("now() + interval '100 days'", True, 0),
    ],
)
async def test_a_clock_is_judged_as_it_is_written_without_application_code(
    rolled_back: pool.Connection, tenant: people.Tenant, due: str, compliant: bool, days: int
) -> None:
    judged = "returning is_compliant, days_overdue"
    inserted = await rolled_back.fetchrow(
        f"insert into engagement_clocks (tenant_id, client_id, next_touch_due) values ($1, $2, {due})"
        f" {judged}",
        tenant.id, tenant.client,
    )  # fmt: skip
    assert tuple(inserted) == (compliant, days)
    await rolled_back.execute(
        "update engagement_clocks set evaluated_at = now() - interval '1 year', next_touch_due = now() -"
        " interval '2 years'"
    )
    # The trigger judges as of reactor.now(), which has moved on since the transaction's now().
    updated = await rolled_back.fetchrow(f"update engagement_clocks set next_touch_due = {due} {judged}")
    assert tuple(updated) == (compliant, days)


async def test_moving_evaluated_at_alone_is_the_transition(
    rolled_back: pool.Connection, tenant: people.Tenant
) -> None:
    await rolled_back.execute(
        "insert into engagement_clocks (tenant_id, client_id, next_touch_due, evaluated_at)"
        " values ($1, $2, now() - interval '2 days', now() - interval '3 days')",
        tenant.id, tenant.client,
    )  # fmt: skip
    assert await rolled_back.fetchval("select is_compliant from engagement_clocks") is True
    await rolled_back.execute("update engagement_clocks set evaluated_at = now()")
    assert tuple(await rolled_back.fetchrow("select is_compliant, days_overdue from engagement_clocks")) == (
        False,
        2,
    )


async def test_nobody_writes_the_judgement_itself(
    rolled_back: pool.Connection, tenant: people.Tenant
) -> None:
    with pytest.raises(asyncpg.PostgresError, match="is_compliant"):
        await rolled_back.execute(
            "insert into engagement_clocks (tenant_id, client_id, is_compliant) values ($1, $2, true)",
            tenant.id, tenant.client,
        )  # fmt: skip


async def test_violations_are_live_most_overdue_first_then_by_priority(
    rolled_back: pool.Connection, tenant: people.Tenant
) -> None:
    for days, priority in ((1, 5), (9, 1), (9, 70), (-1, 99), (30, 0)):
        client = await rolled_back.fetchval(
            "insert into clients (tenant_id, company_name) values ($1, 'x') returning id", tenant.id
        )
        # Judged long ago: the columns still say compliant.
        await rolled_back.execute(
            "insert into engagement_clocks (tenant_id, client_id, next_touch_due, evaluated_at,"
            " priority_score)"
            " values ($1, $2, now() - make_interval(days => $3), now() - interval '1 year', $4)",
            tenant.id, client, days, priority,
        )  # fmt: skip
    assert await rolled_back.fetchval("select count(*) from engagement_clocks where not is_compliant") == 0
    found = await rolled_back.fetch("select * from get_engagement_violations($1)", tenant.id)
    assert [(row["days_overdue"], row["priority_score"]) for row in found] == [
        (30, 0),
        (9, 70),
        (9, 1),
        (1, 5),
    ]
    assert await rolled_back.fetch("select * from get_engagement_violations($1)", uuid4()) == []


async def test_violations_are_found_by_an_index_among_many_clocks(
    rolled_back: pool.Connection, tenant: people.Tenant
) -> None:
    await rolled_back.execute(
        "insert into clients (id, tenant_id, company_name) select gen_random_uuid(), $1, 'x' from"
        " generate_series(1, 20000)",
        tenant.id,
    )
    await rolled_back.execute(
        "insert into engagement_clocks (tenant_id, client_id, next_touch_due)"
        " select tenant_id, id, now() + interval '1 day' from clients where company_name = 'x'"
    )
    await rolled_back.execute("update engagement_clocks set next_touch_due = now() - interval '1 day'"
                              " where ctid = any"
                              " (array(select ctid from engagement_clocks limit 10))")  # fmt: skip
    await rolled_back.execute("analyze engagement_clocks")
    await rolled_back.execute("load 'auto_explain'; set local auto_explain.log_min_duration = 0")
    await rolled_back.execute(
        "set local auto_explain.log_nested_statements = on; set local client_min_messages = log"
    )
    plans: list[str] = []
    rolled_back.add_log_listener(lambda _, message: plans.append(str(message.message)))
    assert len(await rolled_back.fetch("select * from get_engagement_violations($1)", tenant.id)) == 10
    await rolled_back.execute("set local auto_explain.log_min_duration = -1; reset client_min_messages")
    text = "\n".join(plans)
    assert "idx_engagement_clocks_tenant_due" in text
    assert "Seq Scan on engagement_clocks" not in text
