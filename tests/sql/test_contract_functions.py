"""The six functions, the view, roles and rights, as the catalogue shows them."""

import pytest

from reactor.db import pool
from tests.sql import people

_FUNCTIONS = {
    "acquire_tenant_lock(uuid,text,integer)": "p_tenant_id uuid, p_lock_holder text, p_duration_minutes"
    " integer DEFAULT 60 → uuid",
    "release_tenant_lock(uuid,uuid,text)": "p_tenant_id uuid, p_run_id uuid, p_status text DEFAULT"
    " 'completed'::text → boolean",
    "extend_tenant_lock(uuid,integer)": "p_tenant_id uuid, p_additional_minutes integer DEFAULT 30 → boolean",
    "extend_tenant_lock(uuid,uuid,integer)": "p_tenant_id uuid, p_run_id uuid, p_additional_minutes"
    " integer → boolean",
    "update_engagement_clock(uuid,uuid,uuid,text,uuid)": (
        "p_tenant_id uuid, p_client_id uuid, p_contact_id uuid, p_touch_type text, p_touched_by uuid → uuid"
    ),
    "check_and_increment_rate_limit(uuid,text,integer)": "p_tenant_id uuid, p_action_type text,"
    " p_max_allowed integer → boolean",
    "get_engagement_violations(uuid)": (
        "p_tenant_id uuid → TABLE(clock_id uuid, client_id uuid, contact_id uuid, days_overdue integer,"
        " last_touch_at timestamp with time zone, next_touch_due timestamp with time zone, priority_score"
        " numeric)"
    ),
}
_ALSO_USERS = {"update_engagement_clock(uuid,uuid,uuid,text,uuid)", "get_engagement_violations(uuid)"}


@pytest.mark.parametrize("signature", _FUNCTIONS)
async def test_a_function_has_the_signature_of_the_contract_and_a_fixed_search_path(
    rolled_back: pool.Connection, signature: str
) -> None:
    row = await rolled_back.fetchrow(
        "select pg_get_function_arguments(oid) || ' → ' || pg_get_function_result(oid) as said, proconfig,"
        " prosecdef"
        " from pg_proc where oid = $1::text::regprocedure",
        signature,
    )
    assert row["said"] == _FUNCTIONS[signature]
    assert row["proconfig"] == ['search_path=""']
    assert not row["prosecdef"], "the caller's own policies must decide"


@pytest.mark.parametrize("signature", _FUNCTIONS)
async def test_a_function_may_be_executed_by_those_it_is_for(
    rolled_back: pool.Connection, signature: str
) -> None:
    roles = await rolled_back.fetch(
        "select distinct a.grantee::regrole::text as role from pg_proc p, aclexplode(p.proacl) a"
        " where p.oid = $1::text::regprocedure and a.grantee <> p.proowner",
        signature,
    )
    users = {"authenticated"} if signature in _ALSO_USERS else set()
    assert {row["role"] for row in roles} == {"service_role", "reactor", "reactor_handler"} | users


@pytest.mark.parametrize("role", ["service_role", "reactor"])
async def test_the_service_role_and_the_replicas_role_can_really_use_them(
    rolled_back: pool.Connection, role: str
) -> None:
    t = await people.tenant(rolled_back)
    async with people.acting_as(rolled_back, role):
        run = await rolled_back.fetchval("select acquire_tenant_lock($1, 'x')", t.id)
        assert await rolled_back.fetchval("select extend_tenant_lock($1)", t.id)
        assert await rolled_back.fetchval("select extend_tenant_lock($1, $2, 1)", t.id, run)
        assert await rolled_back.fetchval("select release_tenant_lock($1, $2)", t.id, run)
        assert await rolled_back.fetchval("select check_and_increment_rate_limit($1, 'x', 1)", t.id)
        clock = await rolled_back.fetchval("select update_engagement_clock($1, $2, $3, 'call', $4)",
                                           t.id, t.client, t.contact, t.user)  # fmt: skip
        assert clock is not None
        assert await rolled_back.fetch("select * from get_engagement_violations($1)", t.id) == []


async def test_of_schema_reactor_everybody_may_call_the_clock_and_the_id_and_nothing_else(
    rolled_back: pool.Connection,
) -> None:
    open_to_all = await rolled_back.fetch(
        "select p.proname::text from pg_proc p, aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a"
        " where p.pronamespace = 'reactor'::regnamespace and a.grantee = 0 order by 1"
    )
    assert [row[0] for row in open_to_all] == ["now", "uuid7"]


async def test_functions_that_run_with_the_owners_rights_have_an_empty_search_path_and_are_reactor_owners(
    rolled_back: pool.Connection,
) -> None:
    careless = await rolled_back.fetch(
        "select p.oid::regprocedure::text from pg_proc p"
        " where p.pronamespace in ('reactor'::regnamespace, 'public'::regnamespace) and p.prosecdef"
        " and (p.proowner <> 'reactor_owner'::regrole or not coalesce(p.proconfig, '{}') @>"
        ' \'{"search_path=\\"\\""}\')'
    )
    assert [row[0] for row in careless] == []


async def test_the_view_shows_each_tenants_last_day_and_what_waits(rolled_back: pool.Connection) -> None:
    busy, idle = await people.tenant(rolled_back, "Busy"), await people.tenant(rolled_back, "Idle")
    await rolled_back.execute(
        "insert into agent_autonomous_runs (tenant_id, status, duration_ms, started_at) select $1, s, d,"
        " now() - at from (values"
        " ('running', null, interval '1 hour'), ('failed', 300, '2 hours'), ('completed', 100, '3 hours'),"
        " ('completed', 200, '23 hours'), ('completed', 9000, '25 hours')) r (s, d, at)",
        busy.id,
    )
    await people.agent_data(rolled_back, busy)
    await rolled_back.execute("update engagement_clocks set next_touch_due = now() - interval '1 day'")
    await rolled_back.execute("delete from reactor.events")
    await rolled_back.execute("insert into reactor.events (tenant_id, event_type, available_at) values"
                              " ($1, 'x', null),"
                              " ($1, 'x', 'infinity')", busy.id)  # fmt: skip
    await rolled_back.execute(
        "insert into reactor.dead_events (id, event_id, tenant_id, event_type, payload, priority,"
        " attempts, interruptions,"
        " created_at, reason) values (1, gen_random_uuid(), $1, 'x', '{}', 0, 1, 0, now(), 'y')",
        busy.id,
    )
    rows = {
        row["tenant_id"]: dict(row) for row in await rolled_back.fetch("select * from agent_health_dashboard")
    }
    assert rows[busy.id] == {
        "tenant_id": busy.id,
        "tenant_name": "Busy",
        "running_runs": 2,
        "failed_runs": 1,
        "avg_duration_ms": 200,
        "completed_runs": 2,
        "pending_orders": 1,
        "unresolved_exceptions": 1,
        "overdue_clocks": 1,
        "unacknowledged_alerts": 1,
        "pending_events": 2,
        "dead_events": 1,
    }
    assert {value for key, value in rows[idle.id].items() if not key.startswith("tenant_")} == {0, None}
    options = await rolled_back.fetchval(
        "select reloptions from pg_class where oid = 'agent_health_dashboard'::regclass"
    )
    assert options == ["security_invoker=true"]


async def test_everything_in_schema_reactor_belongs_to_its_owner(rolled_back: pool.Connection) -> None:
    strangers = await rolled_back.fetch(
        "select oid::regclass::text from pg_class where relnamespace = 'reactor'::regnamespace"
        " and relowner <> 'reactor_owner'::regrole"
        " union all select oid::regprocedure::text from pg_proc where pronamespace = 'reactor'::regnamespace"
        " and proowner <> 'reactor_owner'::regrole"
    )
    assert [row[0] for row in strangers] == []
    assert not await rolled_back.fetchval("select rolcanlogin from pg_roles where rolname = 'reactor_owner'")
