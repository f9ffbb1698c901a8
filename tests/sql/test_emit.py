"""reactor.emit: an event in the caller's transaction, or a clear refusal."""

import asyncio
from datetime import timedelta

import asyncpg
import pytest

from reactor.db.pool import Connection


@pytest.fixture
async def tenant(conn: Connection):
    return await conn.fetchval("insert into public.tenants (name) values ('a') returning id")


async def test_an_event_exists_when_the_transaction_commits_and_never_if_it_does_not(
    conn: Connection, tenant
) -> None:
    transaction = conn.transaction()
    await transaction.start()
    await conn.execute("select reactor.emit($1, 'x')", tenant)
    await transaction.rollback()
    assert await conn.fetchval("select count(*) from reactor.events") == 0
    event_id = await conn.fetchval("select reactor.emit($1, 'x', '{\"a\": 1}')", tenant)
    row = await conn.fetchrow("select * from reactor.events")
    assert (row["id"], row["payload"], row["available_at"], row["depth"]) == (event_id, {"a": 1}, None, 0)


async def test_a_delay_is_counted_on_the_servers_clock(conn: Connection, tenant) -> None:
    await conn.execute("select reactor.emit($1, 'x', delay => '1 hour')", tenant)
    left = await conn.fetchval("select available_at - clock_timestamp() from reactor.events")
    assert timedelta(minutes=59) < left <= timedelta(hours=1)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ("null, 'x'", "tenant_id is null"),
        ("$1, ''", "1 to 200 characters"),
        ("$1, null", "1 to 200 characters"),
        ("$1, repeat('x', 201)", "1 to 200 characters"),
        ("$1, 'x', delay => '-1 second'", "must not be negative"),
        ("$1, 'x', delay => null", "must not be negative"),
        ("$1, 'x', delay => '1000 years'", "must not be longer"),
        (
            "$1, 'x', to_jsonb(repeat('x', 17000000))",
            "the payload has 1700.... bytes, an event holds at most 16777216",
        ),
        ("gen_random_uuid(), 'x'", "there is no tenant"),
    ],
)
async def test_a_bad_argument_is_refused_with_the_reason(
    conn: Connection, tenant, arguments: str, told: str
) -> None:
    with pytest.raises(asyncpg.PostgresError, match=told) as refused:
        await conn.execute(f"select reactor.emit({arguments}) from (values ($1::uuid)) as v", tenant)
    assert refused.value.sqlstate == "RX003"


@pytest.mark.parametrize("compression", ["pglz", "lz4"])
async def test_a_payload_is_as_large_as_it_is_read_whatever_the_table_stores_it_as(
    conn: Connection, tenant, compression: str
) -> None:
    try:
        await conn.execute(f"create table public.documents (body jsonb compression {compression})")
    except asyncpg.FeatureNotSupportedError:
        pytest.skip("this server was built without lz4")
    await conn.execute("insert into public.documents select to_jsonb(repeat('x', 17000000))")
    assert await conn.fetchval("select pg_column_size(body) < 1000000 from public.documents")
    with pytest.raises(asyncpg.PostgresError, match=r"the payload has 1700\d+ bytes") as refused:
        await conn.execute("select reactor.emit($1, 'x', d.body) from public.documents d", tenant)
    assert refused.value.sqlstate == "RX003"
    await conn.execute("update public.documents set body = to_jsonb(repeat('x', 15000000))")
    await conn.execute("select reactor.emit($1, 'x', d.body) from public.documents d", tenant)
    assert await conn.fetchval("select length(payload #>> '{}') from reactor.events") == 15_000_000


async def test_a_handler_emits_for_its_own_tenant_only(conn: Connection, tenant) -> None:
    other = await conn.fetchval("insert into public.tenants (name) values ('b') returning id")
    async with conn.transaction():
        await conn.execute("set local role reactor_handler")
        await conn.execute("select set_config('reactor.tenant_id', $1::text, true)", str(tenant))
        await conn.execute("select reactor.emit($1, 'mine')", tenant)
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="its own tenant only"):
            async with conn.transaction():
                await conn.execute("select reactor.emit($1, 'theirs')", other)
    assert await conn.fetchval("select array_agg(event_type) from reactor.events") == ["mine"]


async def test_of_many_concurrent_events_with_one_key_there_is_one(database_url: str, tenant) -> None:
    async def emit() -> int:
        connection = await asyncpg.connect(database_url)
        try:
            return await connection.fetchval("select reactor.emit($1, 'x', dedup_key => 'k')", tenant)
        finally:
            await connection.close()

    ids = await asyncio.gather(*(emit() for _ in range(10)))
    assert len(set(ids)) == 1


async def test_a_key_is_free_when_the_first_one_rolled_back(conn: Connection, database_url, tenant) -> None:
    """The second waits for the first's transaction, and then is the first."""
    other = await asyncpg.connect(database_url)
    transaction = conn.transaction()
    await transaction.start()
    first = await conn.fetchval("select reactor.emit($1, 'x', dedup_key => 'k')", tenant)
    pending = asyncio.create_task(other.fetchval("select reactor.emit($1, 'x', dedup_key => 'k')", tenant))
    while not await conn.fetchval("select exists (select from pg_locks where not granted)"):
        await asyncio.sleep(0.01)
    await transaction.rollback()
    assert await pending != first
    await other.close()


async def test_a_role_without_rights_on_the_schema_cannot_write_the_outbox_itself(
    conn: Connection, tenant
) -> None:
    async with conn.transaction():
        await conn.execute("set local role authenticated")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            async with conn.transaction():
                await conn.execute(
                    "insert into reactor.events (tenant_id, event_type) values ($1, 'x')", tenant
                )
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            async with conn.transaction():
                await conn.execute("select reactor.emit($1, 'x')", tenant)
