"""A replica that is stopped in the middle of a transaction must not hold up its successor by row locks."""

import asyncio
from datetime import timedelta

from reactor.db import calls, pool
from reactor.db.borrow import LOST


async def test_the_successor_need_not_wait_for_rows_that_a_stopped_replica_locked(
    conn: pool.Connection, database_url: str
) -> None:
    tenant = await conn.fetchval("insert into tenants (name, agent_enabled) values ('t', true) returning id")
    client = await conn.fetchval(
        "insert into clients (tenant_id, company_name) values ($1, 'c') returning id", tenant
    )
    await conn.fetchval("select reactor.emit($1, 'x')", tenant)
    claim = await calls.claim(
        conn,
        replica="stopped",
        tenants=8,
        batch=10,
        lease=timedelta(hours=1),
        after=None,
        gated=[],
        peers=None,
    )
    rows = claim.rows
    run = rows[0]["run_id"]
    async with (
        pool.connected(database_url, name="stopped") as stopped,
        pool.connected(database_url, name="next") as successor,
    ):
        await stopped.execute(f"begin; set local application_name = 'reactor run {run}'")
        await stopped.execute("update clients set company_name = 'stale' where id = $1", client)
        assert await calls.cut_off(conn) == 0, "its lease is good"

        blocked = asyncio.create_task(
            successor.execute("update clients set company_name = 'fresh' where id = $1", client)
        )
        await conn.execute(
            "update public.agent_tenant_locks set expires_at = now() - interval '1 second' where run_id = $1",
            run,
        )
        assert await calls.cut_off(conn) == 1
        await asyncio.wait_for(blocked, 10)
        try:
            await stopped.execute("commit")
        except LOST:
            pass
    assert await conn.fetchval("select company_name from clients where id = $1", client) == "fresh"


async def test_a_session_of_another_name_is_left_alone(conn: pool.Connection, database_url: str) -> None:
    async with pool.connected(database_url, name="reactor run of mine") as other:
        assert await calls.cut_off(conn) == 0
        assert await other.fetchval("select 1") == 1
