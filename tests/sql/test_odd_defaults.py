"""Databases whose defaults are not the usual ones: what we bring is read, and works, as everywhere."""

import re

import pytest

from reactor.db import pool
from tests.conftest import migrate_database


@pytest.fixture
async def escaping(server, empty_database_url):
    """A migrated database in which a backslash in a string escapes what follows, as it did before 9.1."""
    name = empty_database_url.rsplit("/", 1)[1].split("?")[0]
    server.admin(f'alter database "{name}" set standard_conforming_strings = off')
    async with pool.connected(empty_database_url, name="test") as connection:
        assert await connection.fetchval("show standard_conforming_strings") == "off"
    return empty_database_url


async def test_where_backslashes_escape_a_table_is_watched_as_everywhere(escaping) -> None:
    migrate_database(escaping)
    async with pool.connected(escaping, name="test") as conn:
        tenant = await conn.fetchval("insert into public.tenants (name) values ('a') returning id")
        await conn.execute(
            "create table public.visits "
            '(id uuid primary key default gen_random_uuid(), tenant_id uuid, "a, b" int, c text)'
        )
        await conn.execute(
            "select reactor.watch('public.visits', 'visit.moved', array[e'update\\tof  \"a, b\" , c'], "
            "payload_columns => array['c'], condition => 'new.c is distinct from ''x'' and OLD.\"a, b\" > 0')"
        )
        await conn.execute(
            "insert into public.visits (tenant_id, \"a, b\", c) values ($1, 1, e'\\\\')", tenant
        )
        await conn.execute('update public.visits set "a, b" = 1')
        assert await conn.fetchval("select count(*) from reactor.events") == 0
        await conn.execute('update public.visits set "a, b" = 0')
        await conn.execute('update public.visits set "a, b" = 5')
        assert await conn.fetch("select event_type, payload from reactor.events") == [
            ("visit.moved", {"c": "\\"})
        ]


async def test_where_backslashes_escape_the_history_is_kept_for_as_long_as_everywhere(escaping) -> None:
    migrate_database(escaping)
    async with pool.connected(escaping, name="test") as conn:
        term = await conn.fetchval("select reactor.lead('test', '1 minute')")
        await conn.execute(
            "create table reactor.history_20200101 partition of reactor.history "
            "for values from ('2020-01-01') to ('2020-01-02')"
        )
        await conn.execute("alter table reactor.history_20200101 owner to reactor_owner")
        await conn.execute("select reactor.keep_history($1)", term)
        assert await conn.fetchval("select to_regclass('reactor.history_20200101')") is None


async def test_where_a_zone_is_written_as_letters_the_days_of_the_history_are_those_of_utc(pg15) -> None:
    """Up to 17 IST, of India, was read as that of Israel, and CST, of China, as that of Chicago."""
    name = pg15.create()
    pg15.admin(
        f"alter database {name} set timezone = 'Asia/Kolkata'",
        f"alter database {name} set datestyle = 'German'",
    )
    migrate_database(pg15.url(name))
    async with pool.connected(pg15.url(name), name="test") as conn:
        term = await conn.fetchval("select reactor.lead('test', '1 minute')")
        # The first four are made by the migration.
        assert await conn.fetchval("select made from reactor.keep_history($1, p_ahead => 7)", term) == 4
        await conn.execute("set datestyle = 'ISO'; set timezone = 'UTC'")
        bounds = await conn.fetch(
            "select pg_get_expr(c.relpartbound, c.oid) "
            "from pg_inherits i join pg_class c on c.oid = i.inhrelid "
            "where i.inhparent = 'reactor.history'::regclass and c.relname <> 'history_default'"
        )
    pg15.drop(name)
    assert len(bounds) == 8
    for (bound,) in bounds:
        assert bound.count(" 00:00:00+00'") == 2, bound


async def test_no_function_leaves_it_to_the_session_how_a_backslash_is_read(conn) -> None:
    bodies = await conn.fetch(
        "select p.proname, p.prosrc from pg_catalog.pg_proc p "
        "where p.pronamespace = 'reactor'::regnamespace or p.proowner = 'reactor_owner'::regrole"
    )
    assert len(bodies) > 50
    for name, body in bodies:
        plain = re.sub(
            r"--[^\n]*", "", re.sub(r"\be'(?:[^'\\]|''|\\.)*'", "", body, flags=re.DOTALL | re.IGNORECASE)
        )
        assert "\\" not in plain, name
