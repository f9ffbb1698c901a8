"""Row level security of the contract's tables: users, the service role, nobody else."""

import asyncpg
import pytest

from reactor.db import pool
from tests.sql import people
from tests.sql.catalogue import TENANT_TABLES

_INSERTS = {
    "agent_autonomous_runs": "insert into agent_autonomous_runs (tenant_id) values ($1)",
    "agent_tenant_locks": "insert into agent_tenant_locks (tenant_id, expires_at) values ($1, now()) on"
    " conflict do nothing",
    "engagement_clocks": "insert into engagement_clocks (tenant_id, contact_id) select $1, id from"
    " contacts where tenant_id = $1",
    "agent_policy_violations": "insert into agent_policy_violations (tenant_id, violation_type, reason)"
    " values ($1, 'a', 'b')",
    "order_processing_queue": "insert into order_processing_queue (tenant_id, order_id) select $1,"
    " gen_random_uuid()",
    "order_processing_exceptions": (
        "insert into order_processing_exceptions (tenant_id, order_id, exception_type) select $1,"
        " gen_random_uuid(), 'other'"
    ),
    "agent_hourly_reflections": "insert into agent_hourly_reflections (tenant_id) values ($1)",
    "agent_rate_limits": "insert into agent_rate_limits (tenant_id, action_type, window_start) values ($1,"
    " 'z', now())",
    "agent_alerts": "insert into agent_alerts (tenant_id, alert_type, severity) values ($1, 'z', 'info')",
    "email_provider_failures": "insert into email_provider_failures (tenant_id, error_type) values ($1,"
    " 'auth')",
}


@pytest.mark.parametrize("table", TENANT_TABLES)
async def test_a_user_sees_and_changes_rows_of_the_own_tenant_only(
    rolled_back: pool.Connection, two: tuple[people.Tenant, people.Tenant], table: str
) -> None:
    ours, theirs = two
    async with people.acting_as(rolled_back, "authenticated", user=ours.user):
        seen = await rolled_back.fetch(f"select tenant_id from {table}")
        assert [row["tenant_id"] for row in seen] == [ours.id]
    async with people.acting_as(rolled_back, "authenticated", user=ours.user):
        assert await rolled_back.execute(f"delete from {table}") == "DELETE 1"
    async with people.acting_as(rolled_back, "authenticated", user=ours.user):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await rolled_back.execute(_INSERTS[table].replace("where tenant_id = $1", ""), theirs.id)
    async with people.acting_as(rolled_back, "authenticated", user=ours.user):
        unseen = f"update {table} set tenant_id = tenant_id where tenant_id = $1"
        assert await rolled_back.execute(unseen, theirs.id) == "UPDATE 0"
    async with people.acting_as(rolled_back, "authenticated", user=ours.user):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await rolled_back.execute(f"update {table} set tenant_id = $1", theirs.id)


@pytest.mark.parametrize("table", TENANT_TABLES)
async def test_a_user_without_a_profile_and_one_without_a_token_see_nothing(
    rolled_back: pool.Connection, two: tuple[people.Tenant, people.Tenant], table: str
) -> None:
    async with people.acting_as(rolled_back, "authenticated", user=two[0].id):
        assert await rolled_back.fetchval(f"select count(*) from {table}") == 0
    async with people.acting_as(rolled_back, "authenticated"):
        assert await rolled_back.fetchval(f"select count(*) from {table}") == 0


@pytest.mark.parametrize("table", [*TENANT_TABLES, "system_config"])
async def test_an_anonymous_caller_gets_at_nothing(
    rolled_back: pool.Connection, two: tuple[people.Tenant, people.Tenant], table: str
) -> None:
    for user in (None, two[0].user):
        async with people.acting_as(rolled_back, "anon", user=user):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await rolled_back.fetchval(f"select count(*) from {table}")


@pytest.mark.parametrize("table", TENANT_TABLES)
async def test_the_service_role_sees_and_writes_all_tenants(
    rolled_back: pool.Connection, two: tuple[people.Tenant, people.Tenant], table: str
) -> None:
    async with people.acting_as(rolled_back, "service_role"):
        assert await rolled_back.fetchval(f"select count(*) from {table}") == 2
        assert await rolled_back.execute(f"update {table} set tenant_id = tenant_id") == "UPDATE 2"
        assert await rolled_back.execute(f"delete from {table}") == "DELETE 2"


async def test_a_users_tenant_comes_from_the_older_setting_of_the_token_too(
    rolled_back: pool.Connection, two: tuple[people.Tenant, people.Tenant]
) -> None:
    async with people.acting_as(rolled_back, "authenticated"):
        await rolled_back.execute(
            "select set_config('request.jwt.claim.sub', $1::uuid::text, true)", two[1].user
        )
        assert await rolled_back.fetchval("select tenant_id from agent_alerts") == two[1].id


async def test_everybody_concerned_reads_the_configuration_and_only_the_service_role_writes_it(
    rolled_back: pool.Connection,
) -> None:
    assert not await rolled_back.fetchval(
        "select relrowsecurity from pg_class where oid = 'system_config'::regclass"
    )
    for role in ("authenticated", "reactor", "reactor_handler", "service_role"):
        async with people.acting_as(rolled_back, role):
            assert await rolled_back.fetchval(
                "select value from system_config where key = 'agent_config'"
            ) == {
                "global_enabled": False,
                "kill_switch_reason": None,
            }
    for role in ("authenticated", "reactor", "reactor_handler"):
        async with people.acting_as(rolled_back, role):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await rolled_back.execute("update system_config set updated_at = now()")
    async with people.acting_as(rolled_back, "service_role"):
        assert await rolled_back.execute("update system_config set updated_at = now()") == "UPDATE 1"


async def test_nobody_is_granted_anything_on_a_partition_and_each_is_secured(
    rolled_back: pool.Connection,
) -> None:
    partitions = await rolled_back.fetch(
        "select c.oid::regclass::text as name, c.relrowsecurity, c.relacl::text from pg_inherits i"
        " join pg_class c on c.oid = i.inhrelid"
        " where i.inhparent in ('agent_autonomous_runs'::regclass, 'email_provider_failures'::regclass)"
    )
    assert len(partitions) >= 12
    assert all(row["relrowsecurity"] for row in partitions)
    for role in ("anon", "authenticated", "service_role", "reactor", "reactor_handler", "public"):
        for row in partitions:
            assert not await rolled_back.fetchval(
                "select has_table_privilege($1, $2, 'select, insert, update, delete, truncate')",
                role,
                row["name"],
            ), (role, row["name"])


async def test_the_dashboard_view_shows_a_user_the_own_tenant_and_the_service_role_all(
    rolled_back: pool.Connection, two: tuple[people.Tenant, people.Tenant]
) -> None:
    ours, theirs = two
    await rolled_back.execute(
        "insert into reactor.events (tenant_id, event_type) values ($1, 'x'), ($2, 'x'), ($2, 'x')",
        ours.id,
        theirs.id,
    )
    pending = "select tenant_id, pending_events from agent_health_dashboard"
    everything = {row["tenant_id"]: row["pending_events"] for row in await rolled_back.fetch(pending)}
    async with people.acting_as(rolled_back, "authenticated", user=theirs.user):
        assert {r["tenant_id"]: r["pending_events"] for r in await rolled_back.fetch(pending)} == {
            theirs.id: everything[theirs.id]
        }
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await rolled_back.fetch("select payload from reactor.events")
    async with people.acting_as(rolled_back, "service_role"):
        assert {r["tenant_id"]: r["pending_events"] for r in await rolled_back.fetch(pending)} == everything
    async with people.acting_as(rolled_back, "reactor_handler", tenant=ours.id):
        assert {r["tenant_id"]: r["pending_events"] for r in await rolled_back.fetch(pending)} == {
            ours.id: everything[ours.id]
        }
    async with people.acting_as(rolled_back, "anon"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await rolled_back.fetch(pending)
