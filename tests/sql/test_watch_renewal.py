"""A watch outlives the version that installed it: a migration renews its trigger, at no cost to writers."""

import asyncio
from contextlib import suppress
from uuid import UUID

import asyncpg
import pytest

from reactor.db import migrate, pool
from reactor.db.pool import Connection
from reactor.db.renewal import Watch

TABLES = """
    create schema shop;
    create table shop.invoices (
        id uuid primary key default gen_random_uuid(), tenant_id uuid not null, total numeric, status text);
    create table shop.payments (
        id uuid default gen_random_uuid(), tenant_id uuid not null, amount numeric, state text, n int,
        primary key (tenant_id, id));
"""

#: As an older version wrote it: amounts are numbers, which a handler reads as floats.
OLDER = """
#variable_conflict use_column
begin
    insert into reactor.events (tenant_id, event_type, subject_id, payload)
    select new.tenant_id, '{type}', new.id, pg_catalog.jsonb_build_object('total', new.{column})
    from new_rows as new;
    return null;
end;
"""


async def migrated(url: str) -> list[Watch]:
    """What a migration of a database that is up to date has to say of its watches."""
    async with asyncio.timeout(60):
        report = await migrate.migrate(lambda: pool.connect(url, name="reactor migrate"))
    assert report.applied == []
    return report.watches


async def install(conn: Connection) -> UUID:
    await conn.execute(TABLES)
    await conn.execute("select reactor.watch('shop.invoices', 'invoice.made', payload_columns => '{total}')")
    await conn.execute("select reactor.watch('shop.payments', 'payment.made', payload_columns => '{amount}')")
    return await conn.fetchval("insert into public.tenants (name) values ('Acme') returning id")


async def function(conn: Connection, event_type: str) -> str:
    return await conn.fetchval("select function_name from reactor.watches where event_type = $1", event_type)


async def age(conn: Connection, event_type: str, column: str = "total") -> None:
    """Puts an older version's trigger in the place of the one that is there."""
    text = OLDER.format(type=event_type, column=column)
    await conn.execute(
        f"create or replace function reactor.{await function(conn, event_type)}() returns trigger "
        f"language plpgsql security definer set search_path = '' as $older${text}$older$"
    )


async def states(conn: Connection) -> dict[str, str]:
    rows = await conn.fetch("select event_type, state from reactor.list_watches()")
    return {row["event_type"]: row["state"] for row in rows}


async def total(conn: Connection, tenant: UUID) -> object:
    """The payload's amount, of a row that is written now."""
    await conn.execute("insert into shop.invoices (tenant_id, total) values ($1, 12.50)", tenant)
    return await conn.fetchval("delete from reactor.events returning payload -> 'total'")


async def test_a_migration_renews_what_an_older_version_wrote(conn: Connection, database_url: str) -> None:
    tenant = await install(conn)
    await age(conn, "invoice.made")
    assert await states(conn) | {"invoice.made": "outdated"} == await states(conn)
    assert await total(conn, tenant) == 12.5

    assert await migrated(database_url) == [Watch("shop.invoices", "invoice.made")]
    assert await total(conn, tenant) == "12.50"
    assert set((await states(conn)).values()) == {"ok"}
    made = await conn.fetchrow(
        "select p.proowner::regrole::text as owner, p.prosecdef, p.proconfig, "
        "has_function_privilege('authenticated', p.oid, 'execute') as open "
        "from pg_proc p where p.proname = $1",
        await function(conn, "invoice.made"),
    )
    assert made is not None
    assert tuple(made) == ("reactor_owner", True, ['search_path=""'], False)
    assert await conn.fetchval("select count(*) from pg_class where relname like '%\\_probe'") == 0


async def test_watches_of_this_version_are_left_alone(conn: Connection, database_url: str) -> None:
    await install(conn)
    for n, arguments in enumerate(
        (
            "'{\"update of state, amount, n\",insert,delete}', payload_columns => '{n,state,amount}'",
            "'{update}', subject_column => null, condition => 'old.n is distinct from new.n -- really'",
            "'{delete}', subject_column => 'n', condition => 'new.n is null'",
        )
    ):
        await conn.execute(f"select reactor.watch('shop.payments', 'odd.{n}', {arguments})")
    assert set((await states(conn)).values()) == {"ok"}
    assert await migrated(database_url) == []


async def test_a_table_that_has_changed_since_gets_the_trigger_that_fits_it(
    conn: Connection, database_url: str
) -> None:
    tenant = await install(conn)
    await conn.execute("select reactor.watch('shop.invoices', 'invoice.changed', '{update of status}')")
    await conn.execute(
        "alter table shop.invoices drop constraint invoices_pkey, add column n serial primary key"
    )
    assert (await states(conn))["invoice.changed"] == "outdated"
    assert await migrated(database_url) == [Watch("shop.invoices", "invoice.changed")]
    await conn.execute("insert into shop.invoices (tenant_id) values ($1)", tenant)
    await conn.execute("update shop.invoices set status = 'paid', id = gen_random_uuid()")
    assert (
        await conn.fetchval("select count(*) from reactor.events where event_type = 'invoice.changed'") == 1
    )


async def test_it_waits_for_nobody_who_has_the_table_and_follows_its_name(
    conn: Connection, database_url: str
) -> None:
    tenant = await install(conn)
    await age(conn, "invoice.made")
    await conn.execute("alter table shop.invoices rename to bills")
    async with conn.transaction():
        await conn.execute("lock table shop.bills in access exclusive mode")
        assert await migrated(database_url) == [Watch("shop.bills", "invoice.made")]
    await conn.execute("alter table shop.bills rename to invoices")
    assert await total(conn, tenant) == "12.50"


async def test_no_write_is_lost_or_doubled_while_triggers_are_replaced(
    conn: Connection, database_url: str
) -> None:
    tenant = await install(conn)
    stop = asyncio.Event()
    wrote = 0

    async def write() -> None:
        nonlocal wrote
        async with pool.connected(database_url, name="writer") as writer:
            while not stop.is_set():
                await writer.execute("insert into shop.invoices (tenant_id, total) values ($1, 1)", tenant)
                wrote += 1

    async with asyncio.TaskGroup() as group:
        for _ in range(3):
            group.create_task(write())
        for _ in range(15):
            await age(conn, "invoice.made")
            before = wrote
            assert await conn.fetchval("select reactor.renew_watch($1)", await function(conn, "invoice.made"))
            async with asyncio.timeout(30):
                while wrote < before + 10:
                    await asyncio.sleep(0)
        stop.set()
    kinds = await conn.fetch(
        "select jsonb_typeof(payload -> 'total') as kind, count(*) from reactor.events group by 1"
    )
    assert {row["kind"] for row in kinds} == {"number", "string"}
    assert sum(row["count"] for row in kinds) == wrote


async def test_one_that_does_not_fit_any_more_stays_as_it_is_and_keeps_no_other(
    conn: Connection, database_url: str
) -> None:
    tenant = await install(conn)
    await age(conn, "invoice.made")
    await age(conn, "payment.made", "amount")
    # Its condition calls a function of the application's, which is gone; the trigger of then did not ask it.
    await conn.execute(
        "update reactor.watches set condition = 'public.counts(new.total)' where event_type = 'invoice.made'"
    )
    refused, renewed = await migrated(database_url)
    assert (refused.table, refused.event_type) == ("shop.invoices", "invoice.made")
    assert refused.refused is not None
    assert refused.refused.startswith(
        "the condition does not fit shop.invoices: function public.counts(numeric)"
    )
    assert renewed == Watch("shop.payments", "payment.made")
    assert await states(conn) | {"invoice.made": "outdated", "payment.made": "ok"} == await states(conn)
    assert await total(conn, tenant) == 12.5
    assert await conn.fetchval("select count(*) from pg_class where relname like '%\\_probe'") == 0

    await conn.execute("alter table shop.invoices drop column status")
    await conn.execute(
        "update reactor.watches set condition = null, operations = '{update of status}' "
        "where event_type = 'invoice.made'"
    )
    (refused,) = await migrated(database_url)
    assert refused.refused == "shop.invoices lacks one of the columns in 'update of status'"
    assert (await states(conn))["invoice.made"] == "no column"


async def test_a_watch_that_somebody_has_in_hand_is_theirs(conn: Connection, database_url: str) -> None:
    await install(conn)
    await age(conn, "invoice.made")
    async with conn.transaction():
        await conn.execute("select reactor.unwatch('shop.invoices', 'invoice.made')")
        assert await migrated(database_url) == []
    assert "invoice.made" not in await states(conn)
    assert await migrated(database_url) == []


async def test_tables_without_their_trigger_or_that_are_gone_are_passed_over(
    conn: Connection, database_url: str
) -> None:
    await install(conn)
    for event_type, column in (("invoice.made", "total"), ("payment.made", "amount")):
        await age(conn, event_type, column)
    (trigger,) = (
        await conn.fetchrow("select tgname from pg_trigger where tgrelid = 'shop.invoices'::regclass") or ()
    )
    await conn.execute(f"drop trigger {trigger} on shop.invoices; drop table shop.payments")
    assert await migrated(database_url) == []
    assert await states(conn) | {"invoice.made": "no trigger", "payment.made": "no table"} == await states(
        conn
    )


async def test_who_migrates_needs_no_right_on_the_table(conn: Connection, database_url: str) -> None:
    await install(conn)
    await age(conn, "invoice.made")
    name = await function(conn, "invoice.made")
    await conn.execute("create role renewal_owner in role reactor_owner; create role renewal_clerk")
    try:
        await conn.execute(
            "alter schema shop owner to renewal_clerk; alter table shop.invoices owner to renewal_clerk"
        )
        await conn.execute("set role renewal_owner")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await conn.fetch("select * from shop.invoices")
        assert await conn.fetchval("select reactor.renew_watch($1)", name)
        assert not await conn.fetchval("select reactor.renew_watch($1)", name)
        await conn.execute("reset role; set role renewal_clerk")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await conn.fetchval("select reactor.renew_watch($1)", name)
    finally:
        await conn.execute(
            "reset role; alter table shop.invoices owner to postgres; alter schema shop owner to postgres"
        )
        with suppress(asyncpg.PostgresError):
            await conn.execute("drop role renewal_owner; drop role renewal_clerk")
    assert (await states(conn))["invoice.made"] == "ok"


async def test_migrations_at_once_renew_each_watch_once(conn: Connection, database_url: str) -> None:
    await install(conn)
    await age(conn, "invoice.made")
    reports = await asyncio.gather(*(migrated(database_url) for _ in range(3)))
    assert sorted(map(len, reports)) == [0, 0, 1]
