"""Replicas of two versions work for one database for a while, and the new one handles more."""

from typing import Any

from structlog.testing import capture_logs

from reactor import Context, Event, Reactor
from tests.engine.conftest import Looks, World, enter

DONE = "select count(*) = $1 from reactor.history where outcome = 'handled' and event_type = $2"


def version(*types: str) -> Reactor:
    app = Reactor()

    async def handle(event: Event[Any], ctx: Context) -> None:
        await enter(event, ctx)

    for event_type in types:
        app.on(event_type)(handle)
    return app


async def test_what_only_a_newer_replica_handles_waits_for_it(world: World, looks: Looks) -> None:
    tenants = [await world.tenant() for _ in range(20)]
    with capture_logs() as said:
        async with world.running(version("old"), replica="old", lease_seconds=2):
            async with world.running(version("old", "new"), replica="new", lease_seconds=2):
                await looks.know("old", "new")
                for tenant in tenants:
                    await world.emit(tenant, "new")
                    await world.emit(tenant, "old")
                await world.until(DONE, 20, "old")
                await world.until(DONE, 20, "new", within=40)
            assert await world.dead() == []
            assert await world.count("reactor.history where attempts + interruptions > 0") == 0
            # Alone again, it waits for nobody.
            await world.emit(tenants[0], "new")
            await world.until("select count(*) = 1 from reactor.dead_events")
    postponed = [line for line in said if line["event"] == "event_postponed"]
    assert postponed, "the old one took none, so nothing was shown"
    assert {line["reason"] for line in postponed} == {"another replica handles event type new"}


async def test_alerts_are_left_to_a_replica_that_delivers_them(world: World, looks: Looks) -> None:
    tenants = [await world.tenant() for _ in range(10)]
    async with (
        world.running(version(), replica="old", lease_seconds=2),
        world.running(version("alert.created"), replica="new", lease_seconds=2),
    ):
        await looks.know("old", "new")
        for tenant in tenants:
            await world.emit(tenant, "alert.created")
        await world.until(DONE, 10, "alert.created", within=40)
