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


async def test_an_older_replica_lets_go_of_a_backlog_that_only_a_newer_one_handles(world: World) -> None:
    """It went through all of it again and again, and kept the lease from whoever could have handled it."""
    tenant, count = await world.tenant(), 5000
    # A newer one lives, and has not come to this tenant yet.
    await world.conn.execute(
        "insert into reactor.replicas (replica, slot, patience, info) values "
        """('late', 40, '1 hour', '{"types": ["old", "new"], "process": "another"}')"""
    )
    with capture_logs() as said:
        async with world.running(version("old"), replica="old", lease_seconds=6):
            await world.flood(tenant, "old", 1, priority=-1)
            await world.flood(tenant, "new", count)
            await world.until(DONE, 1, "old")
            await world.until("select not exists (select from public.agent_tenant_locks)")
            async with world.running(version("old", "new"), replica="new", lease_seconds=6):
                await world.until(DONE, count, "new", within=40)
    postponed = [line for line in said if line["event"] == "event_postponed"]
    assert len(postponed) < count / 2, "each several times"
