"""A tenant that is deleted in the moment in which its run ends: one waits for the other, none fails."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from tests.model.protocol import Replica, Stage, staged

#: Whoever has changed a lease stands still with it, until number 42 is free.
STAND = """
    create function public.stand() returns trigger language plpgsql as $$ begin
        perform pg_advisory_xact_lock_shared(42);
        return null;
    end $$;
    create trigger stand after delete or update on public.agent_tenant_locks
    for each statement execute function public.stand()
"""
DELETE = "delete from public.tenants where id = $1"


@pytest.fixture
async def stage(database_url: str):
    async with staged(database_url) as made:
        yield made


async def settle(replica: Replica, rows: list[asyncpg.Record]) -> Any:
    return await replica.settle(rows, scoped=False)


async def settle_and_find_no_more(replica: Replica, rows: list[asyncpg.Record]) -> Any:
    return await replica.settle(rows, scoped=False, more=True)


async def give_back(replica: Replica, rows: list[asyncpg.Record]) -> Any:
    return await replica.abandon(rows[0])


async def release(replica: Replica, rows: list[asyncpg.Record]) -> Any:
    return await replica.connection.fetchval(
        "select public.release_tenant_lock($1, $2)", rows[0]["tenant_id"], rows[0]["run_id"]
    )


async def left_of(stage: Stage, tenant: UUID) -> int:
    return await stage.admin.fetchval(
        "select (select count(*) from public.agent_tenant_locks where tenant_id = $1)"
        " + (select count(*) from public.agent_autonomous_runs where tenant_id = $1)"
        " + (select count(*) from public.tenants where id = $1)",
        tenant,
    )


@pytest.mark.parametrize("end", [settle, settle_and_find_no_more, give_back, release])
async def test_a_run_that_ends_and_its_tenants_deletion_meet_no_deadlock(
    stage: Stage, end: Callable[[Replica, list[asyncpg.Record]], Awaitable[Any]]
) -> None:
    tenant = await stage.tenant(events=2)
    replica, application = await stage.replica(), await stage.replica()
    rows = await replica.claim()
    await stage.admin.execute(STAND)
    await stage.admin.execute("select pg_advisory_lock(42)")
    ending = await stage.blocked(replica, end(replica, rows))
    deleting = await stage.blocked(application, application.connection.execute(DELETE, tenant))
    await stage.admin.execute("select pg_advisory_unlock(42)")
    async with asyncio.timeout(20):
        await ending
        assert await deleting == "DELETE 1"
    assert await left_of(stage, tenant) == 0


async def test_who_deletes_first_is_waited_for_and_the_run_is_lost(stage: Stage) -> None:
    tenant = await stage.tenant(events=2)
    replica, application = await stage.replica(), await stage.replica()
    rows = await replica.claim()
    await application.begin()
    await application.connection.execute(DELETE, tenant)
    settling = await stage.blocked(replica, replica.settle(rows, scoped=False))
    await application.commit()
    with pytest.raises(asyncpg.PostgresError) as refused:
        async with asyncio.timeout(20):
            await settling
    assert refused.value.sqlstate == "RX001"
    assert await left_of(stage, tenant) == 0
