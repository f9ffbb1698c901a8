"""A database as Supabase hands it out: its roles, its auth schema, its default privileges, no superuser."""

import asyncio
import re
from collections.abc import Iterator

import asyncpg
import pytest

from reactor.db import pool
from tests.conftest import Server, migrate_database, run_async
from tests.sql import people
from tests.sql.catalogue import CONTRACT_TABLES, TENANT_TABLES

_ADMIN = """
do $$
declare
  r record;
begin
  for r in select * from (values
    ('supabase_auth_admin', 'createrole noinherit'), ('supa_postgres', 'createrole login'),
    ('anon', 'nologin'), ('authenticated', 'nologin'), ('service_role', 'nologin bypassrls')
  ) v (name, options)
  loop
    if not exists (select from pg_roles where rolname = r.name) then
      execute format('create role %I %s', r.name, r.options);
    end if;
  end loop;
  -- Other databases of this server were migrated already: an administrator has granted what we ask for.
  if exists (select from pg_roles where rolname = 'reactor_owner') then
    grant reactor_owner, reactor to supa_postgres;
  end if;
  execute format('alter database %I owner to supa_postgres', current_database());
end
$$;
create schema auth authorization supabase_auth_admin;
create table auth.users (id uuid primary key, email text);
create function auth.uid() returns uuid language sql stable as $$
  select coalesce(nullif(current_setting('request.jwt.claim.sub', true), ''),
                  (nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub'))::uuid
$$;
alter function auth.uid() owner to supabase_auth_admin;
alter table auth.users owner to supabase_auth_admin;
grant usage on schema auth to supa_postgres, anon, authenticated, service_role;
grant references on auth.users to supa_postgres;
grant usage on schema public to anon, authenticated, service_role;
alter default privileges for role supa_postgres in schema public
  grant all on tables to anon, authenticated, service_role;
alter default privileges for role supa_postgres in schema public
  grant all on functions to anon, authenticated, service_role;
"""

_APPLICATION = """
set session authorization supa_postgres;
create table tenants (
  id uuid primary key default gen_random_uuid(), name text not null, is_active boolean default true
);
create table profiles (
  id uuid primary key references auth.users (id) on delete cascade,
  tenant_id uuid references tenants (id) on delete cascade, role text default 'user', email text
);
alter table tenants enable row level security;
alter table profiles enable row level security;
create policy "read own profile" on profiles for select to authenticated using (id = auth.uid());
create policy "read own tenant" on tenants for select to authenticated
  using (id in (select tenant_id from profiles where id = auth.uid()));
reset session authorization;
"""


@pytest.fixture(scope="module")
def supabase(server: Server) -> Iterator[str]:
    """A migrated database with one tenant of one user; the superuser's URL."""
    name = server.create()
    url = server.url(name)

    async def prepare() -> None:
        async with pool.connected(url, name="test") as conn:
            await conn.execute(_ADMIN)
            await conn.execute(_APPLICATION)
            await conn.execute("insert into tenants (name) values ('Acme'), ('Other')")
            await conn.execute("insert into auth.users select gen_random_uuid(), name from tenants")
            await conn.execute(
                "insert into profiles (id, tenant_id) select u.id, t.id from tenants t join auth.users u"
                " on u.email = t.name"
            )

    run_async(prepare())
    migrate_database(re.sub(r"//[^@/]*@", "//supa_postgres@", url))
    yield url
    server.drop(name)


@pytest.mark.parametrize("table", CONTRACT_TABLES)
async def test_what_supabase_grants_by_default_is_taken_back_from_anonymous_callers(
    supabase: str, table: str
) -> None:
    async with pool.connected(supabase, name="test") as conn:
        for right in ("select", "insert", "update", "delete", "truncate"):
            assert not await conn.fetchval("select has_table_privilege('anon', $1, $2)", table, right), right


async def test_no_function_of_ours_is_left_to_anonymous_callers(supabase: str) -> None:
    async with pool.connected(supabase, name="test") as conn:
        rows = await conn.fetch(
            "select p.oid::regprocedure::text from pg_proc p where has_function_privilege('anon', p.oid,"
            " 'execute')"
            " and p.pronamespace in ('public'::regnamespace, 'reactor'::regnamespace)"
            " and p.proname not in ('now', 'uuid7')"
        )
    assert [row[0] for row in rows] == []


async def test_users_see_their_tenant_through_the_policies_they_have(supabase: str) -> None:
    async with pool.connected(supabase, name="test") as conn, conn.transaction():
        mine = await conn.fetchrow(
            "select p.id, p.tenant_id from profiles p join tenants t on t.id = tenant_id and name = 'Acme'"
        )
        await conn.execute(
            "insert into agent_alerts (tenant_id, alert_type, severity) select id, 'x', 'info' from tenants"
        )
        for table in TENANT_TABLES:
            async with people.acting_as(conn, "authenticated", user=mine["id"]):
                seen = {row[0] for row in await conn.fetch(f"select tenant_id from {table}")}
                assert seen <= {mine["tenant_id"]}
        async with people.acting_as(conn, "authenticated", user=mine["id"]):
            assert await conn.fetchval("select count(*) from agent_alerts") == 1
            rows = await conn.fetch("select tenant_id, unacknowledged_alerts from agent_health_dashboard")
            assert [tuple(row) for row in rows] == [(mine["tenant_id"], 1)]
        async with people.acting_as(conn, "service_role"):
            assert await conn.fetchval("select count(*) from agent_alerts") == 2


async def test_handlers_are_confined_and_the_applications_policies_are_as_they_were(supabase: str) -> None:
    async with pool.connected(supabase, name="test") as conn, conn.transaction():
        policies = await conn.fetch(
            "select policyname::text from pg_policies where tablename = 'profiles' order by 1"
        )
        assert [row[0] for row in policies] == [
            "reactor_engine",
            "reactor_tenant",
            "reactor_tenant_only",
            "read own profile",
        ]
        tenant = await conn.fetchval("select id from tenants where name = 'Acme'")
        async with people.acting_as(conn, "reactor_handler", tenant=tenant):
            assert [row["id"] for row in await conn.fetch("select id from tenants")] == [tenant]
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await conn.execute("select * from auth.users")


async def test_the_migrating_user_may_also_run_the_reactor(supabase: str) -> None:
    async with (
        pool.connected(re.sub(r"//[^@/]*@", "//supa_postgres@", supabase), name="test") as conn,
        conn.transaction(),
    ):
        tenant = await conn.fetchval("select id from tenants limit 1")
        await conn.execute("set local role reactor_handler")
        await conn.execute("select set_config('reactor.tenant_id', $1::uuid::text, true)", tenant)
        assert await conn.fetchval("select check_and_increment_rate_limit($1, 'x', 1)", tenant)
        await conn.execute("reset role")
        assert await conn.fetchval("select reactor.ensure_partitions()") == 0


async def test_handlers_and_the_deadline_timer_may_write_where_a_trigger_asks_who_it_was(
    database_url: str,
) -> None:
    async with pool.connected(database_url, name="test") as conn:
        await conn.execute("""
            alter table orders add column changed_by uuid default gen_random_uuid();
            create function note_who() returns trigger language plpgsql as
                $$ begin new.changed_by = auth.uid(); return new; end $$;
            create trigger note_who before update on orders for each row execute function note_who();
            create function see_who() returns trigger language plpgsql as
                $$ begin perform auth.uid(); return new; end $$;
            create trigger see_who before update on engagement_clocks for each row execute function see_who();
        """)
        one = await people.tenant(conn)
        await people.agent_data(conn, one)
        async with people.acting_as(conn, "reactor_handler", tenant=one.id):
            changed = await conn.fetchval("update orders set tech_fee = 1 returning changed_by is null")
            assert changed is True
        for role in ("reactor", "reactor_owner"):
            async with people.acting_as(conn, role):
                assert await conn.execute("update engagement_clocks set evaluated_at = now()") == "UPDATE 1"


async def test_what_the_application_says_of_adopted_tables_stays_where_the_contract_says_nothing(
    empty_database_url: str,
) -> None:
    async with pool.connected(empty_database_url, name="test") as conn:
        await conn.execute("""
            do $$ begin create role anon nologin; exception when duplicate_object then null; end $$;
            create table tenants (id uuid primary key default gen_random_uuid(), name text);
            insert into tenants (name) values ('Acme');
            create table agent_alerts (id uuid primary key default gen_random_uuid(), tenant_id uuid,
                alert_type text, severity text default 'warning', message text default 'see the metadata',
                shown_to text not null default 'staff');
            create table agent_policy_violations (id uuid primary key, tenant_id uuid, reason text,
                violation_type text);
            create type mood as enum ('bad', 'worse');
            create table order_processing_exceptions (id uuid primary key default gen_random_uuid(),
                tenant_id uuid, order_id uuid, exception_type mood default 'worse',
                message varchar(40) default 'to be looked at');
            alter table agent_alerts enable row level security;
            alter table agent_policy_violations enable row level security;
            grant all on agent_alerts, agent_policy_violations to anon;
            create policy shown on agent_alerts for select to anon using (shown_to = 'everybody');
            create policy members on agent_policy_violations using (tenant_id is null);
        """)
    await asyncio.to_thread(migrate_database, empty_database_url)
    async with pool.connected(empty_database_url, name="test") as conn:
        alert = await conn.fetchrow(
            "insert into agent_alerts (tenant_id, alert_type) select id, 'mine' from tenants"
            " returning severity, message, shown_to"
        )
        assert tuple(alert) == ("warning", "see the metadata", "staff")
        defaults = await conn.fetchval(
            "select array_agg(column_name::text || ' ' || column_default order by column_name)"
            " filter (where column_default is not null) from information_schema.columns"
            " where table_name = 'order_processing_exceptions'"
            " and column_name in ('exception_type', 'message')"
        )
        # And 'worse' is no word of the contract's.
        assert defaults == ["message 'to be looked at'::character varying"]
        await conn.execute("update agent_alerts set shown_to = 'everybody'")
        async with people.acting_as(conn, "anon"):
            assert await conn.fetchval("select count(*) from agent_alerts") == 1
        for table, right in [
            ("agent_alerts", "insert"),
            ("agent_alerts", "update"),
            ("agent_policy_violations", "select"),
        ]:
            assert not await conn.fetchval("select has_table_privilege('anon', $1, $2)", table, right), right
        assert await conn.fetchval("select to_regclass('reactor.adoption_notes')") is None
