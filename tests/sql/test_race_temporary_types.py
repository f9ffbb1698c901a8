"""Functions with the owner's rights that anybody else may reach run no code of their caller.

With an empty search_path PostgreSQL still looks for types among the session's temporary objects first. A
domain there may be called "text" or "jsonb", and its check is a function of the caller's.
"""

from uuid import UUID

import pytest

from reactor.db import pool

_TYPES = (
    "text",
    "uuid",
    "jsonb",
    "json",
    "timestamptz",
    "name",
    "regclass",
    "int8",
    "int4",
    "bool",
    "interval",
    "float8",
)


@pytest.fixture
async def tenant(conn: pool.Connection) -> UUID:
    made = await conn.fetchval("insert into tenants (name) values ('one') returning id")
    await conn.execute(
        "create table notes (id uuid primary key default gen_random_uuid(), tenant_id uuid, body json);"
        "create table lines (id int primary key, tenant_id uuid);"
        "select reactor.watch('notes', 'note', '{insert,update of body,delete}');"
        "select reactor.watch('lines', 'line', '{insert}', subject_column => null);"
        "grant select, insert, update, delete on notes, lines to public"
    )
    return made


async def _set_traps(conn: pool.Connection) -> None:
    await conn.execute(
        "create function pg_temp.spy() returns boolean language plpgsql as $$ begin"
        " if current_user = 'reactor_owner' then raise exception 'it runs as the owner'; end if;"
        " return true; end $$;"
        + "".join(f"create domain pg_temp.{t} as pg_catalog.{t} check (pg_temp.spy());" for t in _TYPES)
    )


@pytest.mark.parametrize(
    "call",
    [
        "insert into public.notes (tenant_id, body) values ('{}', '1')",
        "update public.notes set body = '2' where tenant_id = '{}'",
        "delete from public.notes where tenant_id = '{}'",
        "insert into public.lines values (1, '{}')",
        "select reactor.emit('{}', 'x')",
        "select reactor.emit('{}', 'x', delay => '1 hour', dedup_key => 'k')",
        "select * from reactor.rescue(array['{}'::pg_catalog.uuid])",
        "select reactor.ring(), reactor.ring_timer(pg_catalog.now()), '{}'",
    ],
)
async def test_a_type_of_the_callers_is_not_used_with_the_owners_rights(
    conn: pool.Connection, database_url: str, tenant: UUID, call: str
) -> None:
    await conn.execute("insert into notes (tenant_id, body) values ($1, '0')", tenant)
    await conn.execute(
        "insert into agent_tenant_locks (tenant_id, expires_at) values ($1, now() - interval '1 day')", tenant
    )
    async with pool.connected(database_url, name="caller") as caller:
        await caller.execute(
            f"begin; set local role reactor_handler; set local reactor.tenant_id = '{tenant}'"
        )
        await _set_traps(caller)
        await caller.execute(call.format(tenant))
        await caller.execute("commit")
