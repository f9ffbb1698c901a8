"""Events that were interrupted twice may be what ends a process: a replica has one of them at a time."""

import asyncio
from typing import Any

from reactor import Context, Event, Reactor
from tests.engine.conftest import World


async def test_a_replica_has_one_suspect_at_a_time_and_goes_on_with_the_others(world: World) -> None:
    app, go = Reactor(), asyncio.Event()
    inside: list[int] = []

    @app.on("suspect")
    async def suspect(event: Event[Any], ctx: Context) -> None:
        inside.append(event.id)
        await go.wait()

    @app.on("calm")
    async def calm(event: Event[Any], ctx: Context) -> None: ...

    suspects = [await world.emit(await world.tenant(), "suspect") for _ in range(3)]
    await world.conn.execute("update reactor.events set interruptions = 2")
    async with world.running(app):
        # Each of these is of a claim that meets the other suspects, too.
        for _ in range(3):
            done = await world.emit(await world.tenant(), "calm")
            await world.until("select exists (select from reactor.history where id = $1)", done)
        assert len(inside) == 1
        go.set()
        await world.until("select count(*) = 3 from reactor.history where event_type = 'suspect'")
    assert sorted(inside) == suspects
