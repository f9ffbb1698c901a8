"""Handlers run as reactor_handler with a tenant set: they reach that tenant's rows, and nobody else's."""

import asyncpg
import pytest

from reactor.db import pool
from tests.sql import people
from tests.sql.catalogue import TENANT_TABLES

_HOST = ("clients", "contacts", "products", "orders", "kanban_cards", "email_suppressions")
_NO_TENANT = "RX002"


@pytest.mark.parametrize("table", [*TENANT_TABLES, *_HOST])
async def test_a_handler_reads_updates_and_deletes_rows_of_its_tenant_only(
    rolled_back: pool.Connection, two: tuple[people.Tenant, people.Tenant], table: str
) -> None:
    ours, theirs = two
    async with people.acting_as(rolled_back, "reactor_handler", tenant=ours.id):
        assert {row["tenant_id"] for row in await rolled_back.fetch(f"select tenant_id from {table}")} == {
            ours.id
        }
        assert await rolled_back.execute(f"update {table} set tenant_id = tenant_id") == "UPDATE 1"
        assert await rolled_back.execute(f"delete from {table} where tenant_id = $1", theirs.id) == "DELETE 0"
    async with people.acting_as(rolled_back, "reactor_handler", tenant=ours.id):
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="row-level security"):
            await rolled_back.execute(f"update {table} set tenant_id = $1", theirs.id)


@pytest.mark.parametrize("table", [*TENANT_TABLES, *_HOST])
async def test_a_handler_cannot_insert_a_row_of_another_tenant(
    rolled_back: pool.Connection, two: tuple[people.Tenant, people.Tenant], table: str
) -> None:
    ours, theirs = two
    # A copy of their row, which the owner may read: only the policy stands in its way.
    columns = await rolled_back.fetchval(
        "select string_agg(quote_ident(attname), ', ') from pg_attribute"
        " where attrelid = $1::text::regclass and attnum > 0 and not attisdropped and attgenerated = ''",
        table,
    )
    await rolled_back.execute(f"create table copied as select * from {table} where tenant_id = $1", theirs.id)
    await rolled_back.execute("grant select on copied to reactor_handler")
    async with people.acting_as(rolled_back, "reactor_handler", tenant=ours.id):
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="row-level security"):
            await rolled_back.execute(f"insert into {table} ({columns}) select {columns} from copied")


@pytest.mark.parametrize("table", [*TENANT_TABLES, *_HOST, "profiles", "tenants"])
async def test_without_a_tenant_a_handler_fails_instead_of_seeing_nothing(
    rolled_back: pool.Connection, two: tuple[people.Tenant, people.Tenant], table: str
) -> None:
    for setting in (None, ""):
        async with people.acting_as(rolled_back, "reactor_handler"):
            if setting is not None:
                await rolled_back.execute("select set_config('reactor.tenant_id', $1, true)", setting)
            with pytest.raises(asyncpg.PostgresError) as refused:
                await rolled_back.fetch(f"select * from {table}")
            assert refused.value.sqlstate == _NO_TENANT


async def test_a_tenant_that_is_no_uuid_is_refused_as_none(rolled_back: pool.Connection) -> None:
    async with people.acting_as(rolled_back, "reactor_handler"):
        await rolled_back.execute("select set_config('reactor.tenant_id', 'acme', true)")
        with pytest.raises(asyncpg.PostgresError, match="not a uuid") as refused:
            await rolled_back.fetch("select reactor.current_tenant()")
        assert refused.value.sqlstate == _NO_TENANT


async def test_a_handler_reads_who_its_tenant_is_and_may_change_neither_people_nor_tenants(
    rolled_back: pool.Connection, two: tuple[people.Tenant, people.Tenant]
) -> None:
    ours, theirs = two
    async with people.acting_as(rolled_back, "reactor_handler", tenant=ours.id):
        assert [row["id"] for row in await rolled_back.fetch("select id from tenants")] == [ours.id]
        assert [row["id"] for row in await rolled_back.fetch("select id from profiles")] == [ours.user]
        settings = "update tenants set agent_settings = '{}' where id = $1"
        assert await rolled_back.execute(settings, theirs.id) == "UPDATE 0"
        assert await rolled_back.execute(settings, ours.id) == "UPDATE 1"
    for statement in (
        "delete from tenants",
        "insert into tenants (name) values ('x')",
        "delete from profiles",
        "update profiles set role = 'super_admin'",
    ):
        async with people.acting_as(rolled_back, "reactor_handler", tenant=ours.id):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await rolled_back.execute(statement)


async def test_the_functions_confine_a_handler_as_the_tables_do(
    rolled_back: pool.Connection, two: tuple[people.Tenant, people.Tenant]
) -> None:
    ours, theirs = two
    async with people.acting_as(rolled_back, "reactor_handler", tenant=ours.id):
        assert await rolled_back.fetchval("select check_and_increment_rate_limit($1, 'x', 1)", ours.id)
        assert await rolled_back.fetchval(
            "select update_engagement_clock($1, $2, null, 'call', null)", ours.id, ours.client
        )
        assert not await rolled_back.fetchval("select extend_tenant_lock($1)", theirs.id)
        for call in (
            "select check_and_increment_rate_limit($1, 'x', 1)",
            f"select update_engagement_clock($1, '{theirs.client}', null, 'call', null)",
        ):
            async with rolled_back.transaction():
                with pytest.raises(asyncpg.InsufficientPrivilegeError, match="row-level security"):
                    async with rolled_back.transaction():
                        await rolled_back.fetchval(call, theirs.id)


async def test_the_handlers_role_cannot_go_around_row_level_security(rolled_back: pool.Connection) -> None:
    role = await rolled_back.fetchrow(
        "select rolbypassrls, rolsuper, rolcanlogin from pg_roles where rolname = 'reactor_handler'"
    )
    assert tuple(role) == (False, False, False)
    assert (
        await rolled_back.fetchval(
            "select count(*) from pg_auth_members where member = 'reactor_handler'::regrole"
        )
        == 0
    )
    reaches = await rolled_back.fetch(
        "select c.oid::regclass::text from pg_class c where c.relkind in ('r', 'p') and not c.relrowsecurity"
        " and c.relnamespace in ('public'::regnamespace, 'reactor'::regnamespace)"
        " and has_table_privilege('reactor_handler', c.oid, 'select, insert, update, delete')"
    )
    assert [row[0] for row in reaches] == ["system_config"]


async def test_the_replicas_role_is_not_bound_by_the_handlers_policies(
    rolled_back: pool.Connection, two: tuple[people.Tenant, people.Tenant]
) -> None:
    async with people.acting_as(rolled_back, "reactor"):
        assert await rolled_back.fetchval("select count(*) from agent_alerts") == 2
        assert await rolled_back.fetchval("select count(*) from tenants") == 2
    assert await rolled_back.fetchval("select pg_has_role('reactor', 'reactor_handler', 'member')")
    assert not await rolled_back.fetchval("select pg_has_role('reactor', 'reactor_handler', 'usage')")


class TestProtect:
    """reactor.protect() on a user's own table."""

    async def test_nobody_else_notices(
        self, rolled_back: pool.Connection, two: tuple[people.Tenant, people.Tenant]
    ) -> None:
        ours, theirs = two
        await rolled_back.execute(
            "create schema billing; create table billing.invoices (id serial primary key, tenant_id uuid,"
            " paid boolean);"
            "grant usage on schema billing to authenticated;"
            "grant select, insert, update, delete on billing.invoices to authenticated"
        )
        await rolled_back.execute(
            "insert into billing.invoices (tenant_id) values ($1), ($2)", ours.id, theirs.id
        )
        await rolled_back.execute(
            "select reactor.protect('billing.invoices'), reactor.protect('billing.invoices')"
        )
        async with people.acting_as(rolled_back, "authenticated"):
            assert await rolled_back.execute("update billing.invoices set paid = true") == "UPDATE 2"
        async with people.acting_as(rolled_back, "reactor_handler", tenant=ours.id):
            assert await rolled_back.execute("update billing.invoices set paid = true") == "UPDATE 1"
            await rolled_back.execute("insert into billing.invoices (tenant_id) values ($1)", ours.id)
            with pytest.raises(asyncpg.InsufficientPrivilegeError, match="row-level security"):
                await rolled_back.execute("insert into billing.invoices (tenant_id) values ($1)", theirs.id)

    async def test_it_says_nothing_where_all_is_well(self, rolled_back: pool.Connection) -> None:
        notices: list[object] = []
        rolled_back.add_log_listener(lambda _, notice: notices.append(notice))
        await rolled_back.execute("create table quiet (tenant_id uuid); select reactor.protect('quiet')")
        assert notices == []
        assert await rolled_back.fetchval("show client_min_messages") == "notice"

    async def test_policies_that_were_there_stay_and_admit_no_handler(
        self, rolled_back: pool.Connection, two: tuple[people.Tenant, people.Tenant]
    ) -> None:
        ours, theirs = two
        await rolled_back.execute(
            "create table notes (owner uuid); alter table notes enable row level security;"
            "create policy everybody on notes using (true); grant select on notes to authenticated"
        )
        await rolled_back.execute("insert into notes values ($1), ($2)", ours.id, theirs.id)
        await rolled_back.execute("select reactor.protect('notes', 'owner')")
        names = await rolled_back.fetch(
            "select policyname::text from pg_policies where tablename = 'notes' order by 1"
        )
        assert [row[0] for row in names] == ["everybody", "reactor_tenant", "reactor_tenant_only"]
        async with people.acting_as(rolled_back, "reactor_handler", tenant=ours.id):
            assert await rolled_back.fetchval("select count(*) from notes") == 1

    @pytest.mark.parametrize(
        ("call", "said"),
        [
            ("select reactor.protect('tenants')", "no column tenant_id"),
            ("select reactor.protect('tenants', 'name')", "is of type text"),
            ("select reactor.protect('agent_health_dashboard')", "is not a table"),
            ("select reactor.protect(null)", "NULL is not a table"),
        ],
    )
    async def test_what_it_cannot_protect_it_refuses_clearly(
        self, rolled_back: pool.Connection, call: str, said: str
    ) -> None:
        with pytest.raises(asyncpg.PostgresError, match=said) as refused:
            await rolled_back.execute(call)
        assert refused.value.sqlstate == "RX003"
