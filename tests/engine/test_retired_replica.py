"""A replica that was cut off for so long that the leader retired it comes back, and is rung again."""

import asyncio
from uuid import UUID

from reactor import Context, Event, Reactor, testing
from reactor.db import pool


async def test_a_retired_replica_enlists_again_and_hears_the_bell(
    conn: pool.Connection, database_url: str
) -> None:
    tenant: UUID = await conn.fetchval(
        "insert into tenants (name, agent_enabled) values ('t', true) returning id"
    )
    app = Reactor()
    handled = asyncio.Event()

    @app.on("x")
    async def handle(event: Event, ctx: Context) -> None:
        handled.set()

    async def armed() -> bool:
        return bool(await conn.fetchval("select last_value > 1 from reactor.doorbell"))

    async with testing.running(app, database_url, lease_seconds=1, poll_seconds=600):
        async with asyncio.timeout(20):
            while not await armed():
                await asyncio.sleep(0.01)
            await conn.execute("select reactor.retire(replica) from reactor.replicas")
            while not await conn.fetchval("select exists (select from reactor.replicas)"):
                await asyncio.sleep(0.01)
            while not await armed():
                await asyncio.sleep(0.01)
            await conn.fetchval("select reactor.emit($1, 'x')", tenant)
            await handled.wait()
