"""A protected table outlives the version that did it: a migration renews its policies, and stops nobody."""

import asyncio
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from reactor.db import migrate, pool
from reactor.db.pool import Connection
from reactor.db.renewal import Protected
from tests.conftest import Server, migrate_database

TABLES = """
    create schema shop;
    create table shop.invoices (
        id uuid primary key default gen_random_uuid(), tenant_id uuid not null, total numeric);
    create table shop.payments (id serial primary key, "whose One" uuid not null);
    insert into public.tenants (name) values ('Acme'), ('Other');
    insert into shop.invoices (tenant_id) select id from public.tenants;
    select reactor.protect('shop.invoices'), reactor.protect('shop.payments', 'whose One');
"""
# What an older version might have made: they are let in, and not confined where another policy, as that
# of everybody else, lets them in.
OLDER = """
    drop policy reactor_tenant_only on shop.{table};
    drop policy reactor_tenant on shop.{table};
    create policy reactor_tenant on shop.{table} to reactor_handler
        using ({column} = reactor.current_tenant());
"""
POLICIES = (
    "select oid, xmin::text, polname from pg_policy where polrelid = 'shop.invoices'::regclass order by 3"
)


async def migrated(url: str) -> list[Protected]:
    """What a migration of a database that is up to date has to say of protected tables."""
    async with asyncio.timeout(60):
        report = await migrate.migrate(lambda: pool.connect(url, name="reactor migrate"))
    assert report.applied == []
    return report.protected


async def age(conn: Connection, table: str = "invoices", column: str = "tenant_id") -> None:
    await conn.execute(OLDER.format(table=table, column=column))


async def seen(conn: Connection) -> int:
    """How many invoices a handler of one tenant reads."""
    async with conn.transaction():
        tenant = await conn.fetchval("select id from public.tenants where name = 'Acme'")
        await conn.execute("set local role reactor_handler")
        await conn.execute("select set_config('reactor.tenant_id', $1, true)", str(tenant))
        count: int = await conn.fetchval("select count(*) from shop.invoices")
        return count


@pytest.fixture(params=["18", "15"])
def any_url(request: pytest.FixtureRequest, server: Server) -> Iterator[str]:
    """A migrated database on the newest server, and one on the oldest that is supported."""
    if request.param == "18":
        yield request.getfixturevalue("database_url")
        return
    old: Any = request.getfixturevalue("pg15")
    name = old.create()
    migrate_database(old.url(name))
    yield old.url(name)
    old.drop(name)


async def test_what_this_version_protected_is_left_alone(any_url: str) -> None:
    async with pool.connected(any_url) as conn:
        await conn.execute(TABLES)
        before = await conn.fetch(POLICIES)
        assert await migrated(any_url) == []
        assert await conn.fetch(POLICIES) == before


async def test_a_migration_renews_what_an_older_version_protected(any_url: str) -> None:
    async with pool.connected(any_url) as conn:
        await conn.execute(TABLES)
        await age(conn)
        await age(conn, "payments", '"whose One"')
        await conn.execute("revoke delete on shop.invoices from reactor_handler")
        assert await seen(conn) == 2
        assert await migrated(any_url) == [
            Protected("shop.invoices", "tenant_id"),
            Protected("shop.payments", "whose One"),
        ]
        assert await seen(conn) == 1
        renewed = await conn.fetch(POLICIES)
        assert [row["polname"] for row in renewed] == [
            "reactor_others",
            "reactor_tenant",
            "reactor_tenant_only",
        ]
        assert await migrated(any_url) == []
        assert await conn.fetch(POLICIES) == renewed
        # A right that was taken back is not given again.
        assert not await conn.fetchval(
            "select has_table_privilege('reactor_handler', 'shop.invoices', 'delete')"
        )


async def test_tables_of_the_contract_are_renewed_too(conn: Connection, database_url: str) -> None:
    await conn.execute("drop policy reactor_tenant_only on public.orders")
    await conn.execute("alter policy reactor_tenant on public.tenants using (true)")
    assert await migrated(database_url) == [
        Protected("public.orders", "tenant_id"),
        Protected("public.tenants", "id"),
    ]
    assert await migrated(database_url) == []
    assert not await conn.fetchval(
        "select has_table_privilege('reactor_handler', 'public.tenants', 'insert')"
    )


async def test_handlers_may_use_the_sequence_of_a_column_that_came_later(
    conn: Connection, database_url: str
) -> None:
    await conn.execute(TABLES)
    await conn.execute("alter table shop.invoices add column number serial")
    assert await migrated(database_url) == [Protected("shop.invoices", "tenant_id")]
    tenant: UUID = await conn.fetchval("select id from public.tenants where name = 'Acme'")
    async with conn.transaction():
        await conn.execute("set local role reactor_handler")
        await conn.execute("select set_config('reactor.tenant_id', $1, true)", str(tenant))
        await conn.execute("insert into shop.invoices (tenant_id) values ($1)", tenant)
    await conn.execute("revoke insert on shop.payments from reactor_handler")
    await conn.execute("revoke usage on sequence shop.payments_id_seq from reactor_handler")
    assert await migrated(database_url) == []


async def test_a_table_that_is_locked_is_named_and_its_users_hardly_wait(
    conn: Connection, database_url: str
) -> None:
    await conn.execute(TABLES)
    await age(conn)
    await age(conn, "payments", '"whose One"')
    async with conn.transaction():
        await conn.execute("select * from shop.invoices")
        done = asyncio.Event()

        async def read() -> None:
            async with pool.connected(database_url, name="reader") as reader:
                await reader.execute("set lock_timeout = '1500ms'")
                while not done.is_set():
                    await reader.execute("select * from shop.invoices")

        async with asyncio.TaskGroup() as group:
            reading = group.create_task(read())
            told = await migrated(database_url)
            done.set()
            await reading
        refused = told[0].refused or ""
        assert told == [
            Protected("shop.invoices", "tenant_id", refused),
            Protected("shop.payments", "whose One"),
        ]
        assert "canceling statement due to lock timeout" in refused
    assert await migrated(database_url) == [Protected("shop.invoices", "tenant_id")]
    assert await seen(conn) == 1


async def test_what_cannot_be_renewed_is_named_and_holds_up_nothing(
    conn: Connection, server: Server, database_url: str
) -> None:
    await conn.execute(TABLES)
    await age(conn)
    await conn.execute('alter policy reactor_tenant on shop.payments using ("whose One" is null or id = 1)')
    assert await migrated(database_url) == [
        Protected("shop.invoices", "tenant_id"),
        Protected("shop.payments", None, "its policies do not tell which column holds the tenant"),
    ]
    await conn.execute("drop policy reactor_tenant_only on shop.invoices")
    dbname = await conn.fetchval("select current_database()")
    # Who migrates as another than the table's owner.
    await conn.execute("create role protection_owner login in role reactor_owner")
    await conn.execute(
        f"grant create on database {dbname} to protection_owner;"
        " grant usage on schema shop to protection_owner"
    )
    try:
        (first, _) = await migrated(server.url(dbname, user="protection_owner"))
        assert first == Protected("shop.invoices", "tenant_id", "must be owner of relation invoices")
    finally:
        await conn.execute("drop owned by protection_owner; drop role protection_owner")
    assert await seen(conn) == 2


async def test_it_is_no_error_to_meet_another_migration(conn: Connection, database_url: str) -> None:
    await conn.execute(TABLES)
    await age(conn)
    told = await asyncio.gather(*(migrated(database_url) for _ in range(3)))
    assert [one for each in told for one in each] == [Protected("shop.invoices", "tenant_id")]
    assert len(await conn.fetch(POLICIES)) == 3


async def test_tables_of_another_session_are_none_of_its_business(
    conn: Connection, database_url: str
) -> None:
    async with pool.connected(database_url, name="other") as other:
        await other.execute(
            "create temporary table mine (tenant_id uuid); "
            "create policy reactor_tenant on mine to reactor_handler using (tenant_id is not null)"
        )
        assert await migrated(database_url) == []
    with pytest.raises(asyncpg.UndefinedTableError):
        await conn.execute("select * from mine")
