"""reactor.watch of columns that know no equality or are virtual: no write fails, no change is lost."""

from uuid import UUID

import asyncpg
import pytest

from reactor.db.pool import Connection


@pytest.fixture
def conn(rolled_back: Connection) -> Connection:
    """A transaction that leaves nothing behind, instead of a database for each test."""
    return rolled_back


@pytest.fixture
async def tenant(conn: Connection) -> UUID:
    return await conn.fetchval("insert into public.tenants (name) values ('a') returning id")


@pytest.mark.parametrize(
    ("kind", "before", "after"),
    [
        ("json[]", """array['{"a": 1}']::json[]""", """array['{"a": 2}']::json[]"""),
        ("point[]", "array['(1,2)'::point]", "array['(1,3)'::point]"),
        ("public.odd", """row(1, '{"a": 1}')""", """row(1, '{"a": 2}')"""),
        ("public.odd[]", """array[row(1, '{"a": 1}')]::odd[]""", """array[row(1, '{"a": 2}')]::odd[]"""),
        ("public.document", "'1'", "'2'"),
        ("jsonpath", "'$.a'", "'$.b'"),
        # Equal by their areas and lengths.
        ("box", "'(0,0),(1,1)'", "'(5,5),(6,6)'"),
        ("circle", "'<(0,0),1>'", "'<(5,5),1>'"),
        ("path", "'((0,0),(1,1))'", "'((0,0),(2,2))'"),
        ("varchar(3)", "'a'", "'b'"),
        ("int4range", "'[1,2)'", "'[1,3)'"),
    ],
)
async def test_a_change_is_seen_whatever_the_type(
    conn: Connection, tenant: UUID, kind: str, before: str, after: str
) -> None:
    await conn.execute(
        "create type public.odd as (a int, b json); create domain public.document as json; "
        "create function public.in_short(odd) returns text immutable return ($1).a::text; "
        "create cast (public.odd as text) with function public.in_short(odd); "
        f"create table public.things (id int primary key, tenant_id uuid, v {kind}); "
        "select reactor.watch('public.things', 'moved', '{update of v}', subject_column => null)"
    )
    await conn.execute(f"insert into public.things values (1, $1, {before})", tenant)
    await conn.execute(f"update public.things set v = {before}")
    assert await conn.fetchval("select count(*) from reactor.events") == 0
    await conn.execute(f"update public.things set v = {after}")
    assert await conn.fetchval("select count(*) from reactor.events") == 1


@pytest.mark.parametrize(
    "arguments",
    [
        "payload_columns => '{twice}'",
        "operations => '{\"update of n, twice\"}'",
        "tenant_column => 'owner'",
        "subject_column => 'twice'",
        "condition => 'new.twice > 2'",
        "condition => 'twice > 2'",
    ],
)
async def test_a_virtual_column_which_no_trigger_can_read_is_refused(
    conn: Connection, tenant: UUID, arguments: str
) -> None:
    if conn.get_server_version().major < 18:
        pytest.skip("virtual columns came with PostgreSQL 18")
    await conn.execute(
        "create table public.things (id uuid primary key default gen_random_uuid(), tenant_id uuid, n int, "
        "twice int generated always as (2 * n) virtual, owner uuid generated always as (tenant_id) virtual)"
    )
    with pytest.raises(asyncpg.PostgresError) as error:
        async with conn.transaction():
            await conn.execute(f"select reactor.watch('public.things', 'thing', {arguments})")
    assert error.value.sqlstate == "RX003"
    assert "twice" in str(error.value) or "owner" in str(error.value)
    # What does not ask for them is watched.
    await conn.execute(
        "select reactor.watch('public.things', 'thing', '{insert,update of n}', payload_columns => '{n}', "
        "condition => 'new.n > 0')"
    )
    await conn.execute("insert into public.things (tenant_id, n) values ($1, 1)", tenant)
    assert await conn.fetchval("select payload from reactor.events") == {"n": 1}
