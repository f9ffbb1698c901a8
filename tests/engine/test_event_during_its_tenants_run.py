"""An event that arrives while its tenant is leased is taken when the lease is free, not at the next poll."""

import asyncio
import uuid

from reactor.app import Reactor
from reactor.testing import running, settled
from tests.patience import patience


async def test_an_event_that_came_during_its_tenants_run_is_handled_as_soon_as_that_ends(conn, database_url):
    app = Reactor()
    started, finish = asyncio.Event(), asyncio.Event()
    handled = []

    @app.on("first")
    async def hold(event, ctx):
        started.set()
        await finish.wait()

    @app.on("second")
    async def note(event, ctx):
        handled.append(event.id)

    tenant = uuid.uuid4()
    await conn.execute("insert into tenants (id, name) values ($1, 'Acme')", tenant)
    async with running(app, database_url):
        await conn.execute("select reactor.emit($1, 'first')", tenant)
        await started.wait()
        await conn.execute("select reactor.emit($1, 'second')", tenant)
        # The claim that the notification caused has found the tenant leased.
        async with patience(5):
            while not await conn.fetchval("select last_value > 1 from reactor.doorbell"):
                await asyncio.sleep(0.01)
        finish.set()
        async with patience(5):  # the poll comes after 30
            while not handled:
                await asyncio.sleep(0.01)
        await settled(conn)
