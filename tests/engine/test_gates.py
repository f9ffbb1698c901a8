"""The kill switch and a tenant's enablement stop gated work in the middle of a backlog, and lose nothing."""

import asyncio
import time
from typing import Any

import pytest

from reactor import Context, Event, Reactor
from tests.engine.conftest import World, enter


def gated_app(handled: list[float]) -> Reactor:
    app = Reactor()

    @app.on("gated", gated=True)
    async def gated(event: Event[Any], ctx: Context) -> None:
        handled.append(time.monotonic())
        await asyncio.sleep(0.002)
        await enter(event, ctx, "gated")

    @app.on("free")
    async def free(event: Event[Any], ctx: Context) -> None:
        await enter(event, ctx, "free")

    return app


@pytest.mark.parametrize("notify", ["armed", "off"])
@pytest.mark.parametrize("gate", ["kill switch", "tenant"])
async def test_a_gate_stops_gated_work_within_a_second_and_parks_it_until_it_opens(
    world: World, gate: str, notify: str
) -> None:
    handled: list[float] = []
    app = gated_app(handled)
    tenant = await world.tenant(enabled=True)
    await world.open_gates()
    await world.flood(tenant, "gated", 3000)
    async with world.running(app, notify=notify):
        await world.until("select count(*) > 100 from public.ledger")
        if gate == "tenant":
            await world.conn.execute("update public.tenants set agent_enabled = false where id = $1", tenant)
        else:
            await world.close_gates()
        closed = time.monotonic()
        await world.until("select not exists (select from reactor.events where available_at is null)")
        await world.emit(tenant, "free")
        await world.until("select exists (select from public.ledger where note = 'free')")
        assert handled[-1] - closed < 1.0
        done = await world.count("reactor.history where event_type = 'gated'")
        parked = await world.count("reactor.events where available_at = 'infinity'")
        assert done + parked == 3000
        assert parked > 0

        # go on where it stopped; a shorter rest, to save time
        await world.conn.execute(
            "delete from reactor.events where id not in (select id from reactor.events order by id limit 20)"
        )
        if gate == "tenant":
            await world.conn.execute("update public.tenants set agent_enabled = true where id = $1", tenant)
        else:
            await world.open_gates()
        await world.until("select count(*) = $1 from public.ledger where note = 'gated'", done + 20, within=8)
    assert await world.count("public.agent_tenant_locks") == 0


async def test_what_is_gated_waits_from_the_start_and_what_is_not_goes_on(world: World) -> None:
    app = gated_app([])
    off, on = await world.tenant("off"), await world.tenant("on", enabled=True)
    for tenant in (off, on):
        await world.flood(tenant, "gated", 5)
        await world.flood(tenant, "free", 5)
    left = await world.drain(app)
    assert left.parked == 10
    assert sorted(await world.notes()) == ["free"] * 10
    await world.open_gates()
    left = await world.drain(app)
    assert left.parked == 5
    assert (await world.notes(on)).count("gated") == 5
    await world.conn.execute(
        "update public.tenants set is_active = false, agent_enabled = true where id = $1", off
    )
    assert (await world.drain(app)).parked == 5
    await world.conn.execute("update public.tenants set is_active = true where id = $1", off)
    assert (await world.drain(app)).parked == 0
    assert await world.count("reactor.dead_events") == 0


async def test_parked_events_keep_their_order(world: World) -> None:
    app = Reactor()

    @app.on("gated", gated=True)
    async def gated(event: Event[Any], ctx: Context) -> None:
        await enter(event, ctx, str(event.payload["n"]))

    tenant = await world.tenant(enabled=True)
    await world.flood(tenant, "gated", 50)
    assert (await world.drain(app)).parked == 50
    await world.open_gates()
    await world.drain(app)
    assert await world.notes() == [str(n) for n in range(1, 51)]


async def test_what_is_not_gated_waits_for_no_poll_behind_a_long_gated_backlog(world: World) -> None:
    handled: list[float] = []
    tenant = await world.tenant()
    await world.flood(tenant, "gated", 40_000)
    free = await world.emit(tenant, "free")
    async with world.running(gated_app(handled)):
        await world.until("select exists (select from reactor.history where id = $1)", free, within=10)
        await world.until("select not exists (select from reactor.events where available_at is null)")
    assert handled == []


async def test_what_was_set_aside_of_a_tenant_that_is_deleted_is_dead_and_does_not_lie_there_for_ever(
    world: World,
) -> None:
    tenant = await world.tenant(enabled=False)
    await world.open_gates()
    await world.flood(tenant, "gated", 3)
    async with world.running(gated_app([]), notify="off"):
        await world.until("select count(*) = 3 from reactor.events where available_at = 'infinity'")
        await world.conn.execute("delete from public.tenants where id = $1", tenant)
        await world.until("select count(*) = 3 from reactor.dead_events where reason ~ 'no such tenant'")
    assert await world.count("reactor.events") == 0
