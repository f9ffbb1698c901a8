"""Default privileges of the role that migrates give nothing of the engine's to the API's roles."""

from collections.abc import AsyncIterator

import pytest

from reactor.db import pool
from tests.conftest import migrate_database
from tests.sql import people

# For all schemas, where a database's owner once said so.
GENEROUS = """
    alter default privileges grant all on tables to public, anon, authenticated;
    alter default privileges grant all on sequences to public, anon, authenticated;
    alter default privileges grant execute on functions to anon, authenticated;
    alter default privileges grant all on schemas to anon, authenticated;
"""
HELD = """
    select 'schema', n.nspname::text, r.name
    from pg_namespace n, unnest(array['anon', 'authenticated']) r (name)
    where n.nspname = 'reactor' and has_schema_privilege(
        r.name, n.oid, case r.name when 'anon' then 'usage, create' else 'create' end)
    union all
    select 'function', p.oid::regprocedure::text, r.name
    from pg_proc p, unnest(array['anon', 'authenticated']) r (name)
    where p.pronamespace = 'reactor'::regnamespace and has_function_privilege(r.name, p.oid, 'execute')
    union all
    select 'table', c.oid::regclass::text, r.name
    from pg_class c, unnest(array['anon', 'authenticated']) r (name)
    where c.relnamespace = 'reactor'::regnamespace and c.relkind in ('r', 'p')
        and has_table_privilege(
            r.name, c.oid, 'select, insert, update, delete, truncate, references, trigger')
    union all
    select 'sequence', c.oid::regclass::text, r.name
    from pg_class c, unnest(array['anon', 'authenticated']) r (name)
    where c.relnamespace = 'reactor'::regnamespace and c.relkind = 'S'
        and has_sequence_privilege(r.name, c.oid, 'usage, select, update')
"""
MEANT = {
    ("function", "reactor.uuid7()", "anon"),
    ("function", "reactor.uuid7()", "authenticated"),
    ("function", "reactor.now()", "anon"),
    ("function", "reactor.now()", "authenticated"),
    ("function", "reactor.caller_tenant()", "authenticated"),
}


@pytest.fixture
async def conn(empty_database_url: str) -> AsyncIterator[pool.Connection]:
    async with pool.connected(empty_database_url, name="test") as conn:
        for role in ("anon", "authenticated"):
            if not await conn.fetchval("select count(*) from pg_roles where rolname = $1", role):
                await conn.execute(f"create role {role}")
        yield conn


async def _held(conn: pool.Connection) -> set[tuple[str, ...]]:
    return {tuple(row) for row in await conn.fetch(HELD)}


async def test_a_database_is_migrated_under_them(conn: pool.Connection, empty_database_url: str) -> None:
    await conn.execute(GENEROUS)
    migrate_database(empty_database_url)
    await conn.execute("select reactor.watch('public.products', 'product.made')")
    assert await _held(conn) == MEANT
    # What the view counts by is theirs all the same.
    tenant = await people.tenant(conn)
    await conn.execute("select reactor.emit($1, 'x')", tenant.id)
    async with people.acting_as(conn, "authenticated", user=tenant.user):
        assert await conn.fetchval("select pending_events from agent_health_dashboard") == 1


async def test_what_was_given_away_before_is_taken_back(
    conn: pool.Connection, empty_database_url: str
) -> None:
    migrate_database(empty_database_url)
    await conn.execute(
        "grant all on all tables in schema reactor to public, anon, authenticated;"
        "grant all on all sequences in schema reactor to anon, authenticated;"
        "grant all on all functions in schema reactor to anon, authenticated;"
        "grant all on schema reactor to anon, authenticated"
    )
    migrate_database(empty_database_url)
    assert await _held(conn) == MEANT
    tenant = await people.tenant(conn)
    async with people.acting_as(conn, "authenticated", user=tenant.user):
        assert await conn.fetchval("select pending_events from agent_health_dashboard") == 0
