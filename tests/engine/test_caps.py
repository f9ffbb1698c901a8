"""``concurrency=`` of a handler: so many tenants at once, and whoever waits for that is in nobody's way."""

import asyncio
from typing import Any

import pytest

from reactor import Context, Event, Reactor
from reactor.db import calls
from reactor.engine.claimer import Claimer
from tests.engine.conftest import Looks, World, enter

WAIT = "select count(*) = $1 from reactor.history where event_type = $2"


class Desk:
    """An app with a slow handler that as many tenants as it allows may run, and a fast one."""

    def __init__(self, *, allowed: int = 1, fails: bool = False) -> None:
        self.app = Reactor()
        self.leave = asyncio.Event()
        self.inside = 0
        self.most = 0
        self.order: list[Any] = []

        @self.app.on("slow", concurrency=allowed, max_attempts=1)
        async def slow(event: Event[Any], ctx: Context) -> None:
            self.inside += 1
            self.most = max(self.most, self.inside)
            self.order.append(ctx.tenant_id)
            try:
                await self.leave.wait()
                await enter(event, ctx)
                if fails:
                    raise RuntimeError("it fails")
            finally:
                self.inside -= 1

        @self.app.on("fast")
        async def fast(event: Event[Any], ctx: Context) -> None:
            await enter(event, ctx)


@pytest.mark.parametrize("allowed", [1, 3])
async def test_tenants_that_wait_for_a_capped_handler_take_no_slot_from_others(
    world: World, allowed: int
) -> None:
    desk = Desk(allowed=allowed)
    for _ in range(20):
        await world.emit(await world.tenant(), "slow")
    async with world.running(desk.app, concurrency=4):
        await world.until("select count(*) >= $1 from public.agent_tenant_locks", allowed)
        for _ in range(20):
            await world.emit(await world.tenant(), "fast")
        await world.until(WAIT, 20, "fast")
        assert await world.count("reactor.history where event_type = 'slow'") == 0
        await world.until("select count(*) = $1 from public.agent_tenant_locks", allowed)
        assert desk.inside == allowed
        desk.leave.set()
        await world.until(WAIT, 20, "slow")
    assert desk.most == allowed
    assert await world.count("public.ledger") == 40
    # Few runs did nothing: a claim takes as many tenants as there is room for.
    assert await world.count("public.agent_autonomous_runs") <= 45


async def test_events_before_one_that_waits_for_its_cap_are_handled_and_those_after_it_keep_their_order(
    world: World,
) -> None:
    desk = Desk()
    first, second = await world.tenant(), await world.tenant()
    await world.emit(first, "slow")
    async with world.running(desk.app, concurrency=4):
        await world.until("select count(*) = 1 from public.agent_tenant_locks")
        async with world.conn.transaction():
            for kind in ("fast", "slow", "fast"):
                await world.emit(second, kind)
        await world.until(WAIT, 1, "fast")
        await world.until("select count(*) = 1 from public.agent_tenant_locks")
        desk.leave.set()
        await world.until(WAIT, 2, "slow")
        await world.until(WAIT, 2, "fast")
    assert await world.notes(second) == ["fast", "slow", "fast"]


async def test_a_tenant_with_many_capped_events_takes_turns_with_the_others(world: World) -> None:
    desk = Desk()
    desk.leave.set()
    busy, other = await world.tenant(), await world.tenant()
    await world.flood(busy, "slow", 300)
    await world.flood(other, "slow", 1)
    await world.drain(desk.app, concurrency=4, batch_size=20)
    assert desk.order.index(other) <= 40
    assert desk.most == 1


async def test_a_place_is_given_back_when_the_handler_fails(world: World) -> None:
    desk = Desk(fails=True)
    desk.leave.set()
    for _ in range(5):
        await world.emit(await world.tenant(), "slow")
    left = await world.drain(desk.app, concurrency=2)
    assert left.dead == 5
    assert await world.count("public.ledger") == 0


async def test_each_replica_has_places_of_its_own(world: World) -> None:
    one, two = Desk(), Desk()
    for _ in range(6):
        await world.emit(await world.tenant(), "slow")
    async with world.running(one.app, replica="one"), world.running(two.app, replica="two"):
        await world.until("select count(*) = 2 from public.agent_tenant_locks")
        await world.until("select count(distinct lock_holder) = 2 from public.agent_tenant_locks")
        one.leave.set()
        two.leave.set()
        await world.until(WAIT, 6, "slow")
    assert one.most == two.most == 1


async def test_what_a_full_cap_withholds_goes_on_in_a_replica_that_has_a_place(
    world: World, looks: Looks
) -> None:
    one, two = Desk(), Desk()
    held = asyncio.Event()

    @one.app.on("held")
    async def hold(event: Event[Any], ctx: Context) -> None:
        await held.wait()

    @two.app.on("held")
    async def never(event: Event[Any], ctx: Context) -> None:
        raise AssertionError("the other replica has it")

    tenant = await world.tenant()
    async with world.running(one.app, replica="one", lease_seconds=1):
        await world.emit(await world.tenant(), "slow")
        await world.emit(tenant, "held")
        await world.until("select count(*) = 2 from public.agent_tenant_locks")
        async with world.running(two.app, replica="two", lease_seconds=1):
            await looks.know("one", "two")
            two.leave.set()
            # It comes while its tenant is held, and when that ends, only the other one has a place for it.
            async with looks.in_vain("two"):
                late = await world.emit(tenant, "slow")
            held.set()
            await world.until("select exists (select from reactor.history where id = $1)", late, within=10)
            assert one.inside == 1
            one.leave.set()


async def test_a_claim_that_fails_forgets_nobody_who_was_let_go(
    world: World, looks: Looks, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What its full cap withholds is rung for by the next claim, since the one that should have was lost."""
    one, two = Desk(), Desk()
    held, let_go, failed = asyncio.Event(), asyncio.Event(), asyncio.Event()
    released, claim = Claimer.released, calls.claim

    def noted(self: Claimer) -> None:
        released(self)
        if held.is_set():
            let_go.set()

    async def lost(connection: calls.Connection, *, replica: str, **rest: Any) -> calls.Claimed:
        if replica == "one" and let_go.is_set() and not failed.is_set():
            failed.set()
            raise ConnectionResetError("lost")
        return await claim(connection, replica=replica, **rest)

    monkeypatch.setattr(Claimer, "released", noted)
    monkeypatch.setattr(calls, "claim", lost)

    @one.app.on("held")
    async def hold(event: Event[Any], ctx: Context) -> None:
        await held.wait()

    @two.app.on("held")
    async def never(event: Event[Any], ctx: Context) -> None:
        raise AssertionError("the other replica has it")

    tenant = await world.tenant()
    async with world.running(one.app, replica="one", lease_seconds=1):
        await world.emit(await world.tenant(), "slow")
        await world.emit(tenant, "held")
        await world.until("select count(*) = 2 from public.agent_tenant_locks")
        async with world.running(two.app, replica="two", lease_seconds=1):
            await looks.know("one", "two")
            two.leave.set()
            async with looks.in_vain("two"):
                late = await world.emit(tenant, "slow")
            held.set()
            await asyncio.wait_for(failed.wait(), 10)
            await world.until("select exists (select from reactor.history where id = $1)", late, within=10)
            assert one.inside == 1
            one.leave.set()
