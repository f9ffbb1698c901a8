"""Where a flush takes long, whoever notifies holds up all others for so long: nobody is asked to for long."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from reactor import Context, Event, Reactor
from reactor.db import calls, pool
from tests import servers
from tests.conftest import migrate_database
from tests.engine.conftest import LEDGER, World, enter

ASLEEP = "select last_value > 1 from reactor.doorbell"
#: How many events were ever written; those of transactions that are under way included.
WRITTEN = "select last_value from reactor.events_id_seq"
#: Each commit of a writer takes 20 ms, as on a disk that turns, or with a standby that is far away.
SLOW = "set commit_delay = 20000; set commit_siblings = 0"


@pytest.fixture
async def world() -> AsyncIterator[World]:
    """A database of a server that does flush: the other tests' does not."""
    with servers.running(settings={"fsync": "on"}) as server:
        async with pool.connected(server.url("postgres"), name="test") as admin:
            await admin.execute("create database slow")
        url = server.url("slow")
        migrate_database(url)
        async with pool.connected(url, name="test") as conn:
            await conn.execute(LEDGER)
            yield World(url, conn)


@asynccontextmanager
async def writing(world: World, tenants: list[UUID]) -> AsyncIterator[list[int]]:
    """Meanwhile each of these tenants has a writer that does nothing else; at the end, an item an event."""
    enough = asyncio.Event()
    written: list[int] = []

    async def write(tenant: UUID) -> None:
        connection = await asyncpg.connect(world.url)
        await connection.execute(SLOW)
        while not enough.is_set():
            await connection.execute("select reactor.emit($1, 'work')", tenant)
            written.append(1)
        await connection.close()

    writers = [asyncio.create_task(write(tenant)) for tenant in tenants]
    try:
        yield written
    finally:
        enough.set()
        await asyncio.gather(*writers)


async def test_commits_that_wait_for_each_others_notifications_are_seen(world: World) -> None:
    tenants = [await world.tenant() for _ in range(3)]
    await world.conn.execute("select reactor.arm(3, true)")
    async with writing(world, tenants), asyncio.timeout(20):
        while not await calls.notifiers_wait(world.conn):
            await asyncio.sleep(0)
        await world.conn.execute("select reactor.arm(3, false)")
        while await calls.notifiers_wait(world.conn):
            await asyncio.sleep(0)


async def test_writers_that_would_commit_one_behind_the_other_are_asked_for_no_more_notifications(
    world: World,
) -> None:
    """They come one by one, each when the replica is done with the last: it looks like work now and then."""
    app = Reactor()

    @app.on("work")
    async def work(event: Event[Any], ctx: Context) -> None:
        await enter(event, ctx)

    tenants = [await world.tenant() for _ in range(8)]
    async with world.running(app):
        await world.until(ASLEEP)
        async with writing(world, tenants) as written, asyncio.timeout(30):
            # Two hundred in a row, none of which is seen to wait.
            seen = await world.conn.fetchval(WRITTEN)
            while await world.conn.fetchval(WRITTEN) < seen + 200:
                if await calls.notifiers_wait(world.conn):
                    seen = await world.conn.fetchval(WRITTEN)
        await world.until("select count(*) = $1 from public.ledger", len(written))
        await world.until(ASLEEP)
