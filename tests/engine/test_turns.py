"""Fairness: a tenant with a huge backlog costs another one at most a batch."""

import asyncio
import time
from datetime import timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from reactor import Context, Event, Reactor
from tests.engine.conftest import World, enter

BATCH = 100


@pytest.mark.parametrize("id_of_other", [1, 9], ids=["before", "behind"])
@pytest.mark.parametrize("writes", [False, True], ids=["handlers that write nothing", "handlers that write"])
async def test_an_event_waits_for_one_batch_of_a_flood_at_most(
    world: World, writes: bool, id_of_other: int
) -> None:
    """One slot and a hundred thousand events of another tenant: the worst case."""
    app = Reactor()
    flood = 100_000 if not writes else 10_000
    handled = at_handling = 0
    arrive, done = asyncio.Event(), asyncio.Event()

    @app.on("flood")
    async def drop(event: Event[Any], ctx: Context) -> None:
        nonlocal handled
        handled += 1
        if writes:
            await enter(event, ctx)
        if handled == 3 * BATCH:
            arrive.set()

    @app.on("single")
    async def single(event: Event[Any], ctx: Context) -> None:
        nonlocal at_handling
        at_handling = handled
        done.set()

    flooded, other = UUID(int=5), UUID(int=id_of_other)
    await world.conn.execute(
        "insert into public.tenants (id, name) select t, 't' from unnest($1::uuid[]) t", [flooded, other]
    )
    await world.flood(flooded, "flood", flood)
    async with world.running(app, concurrency=1, batch_size=BATCH):
        await asyncio.wait_for(arrive.wait(), 20)
        waited = []
        for _ in range(20):
            done.clear()
            await world.emit(other, "single")
            at_arrival = handled
            await asyncio.wait_for(done.wait(), 20)
            waited.append(at_handling - at_arrival)
            # Until it is settled the tenant is leased, and would wait for itself.
            await world.until(
                "select not exists (select from public.agent_tenant_locks where tenant_id = $1)", other
            )
        assert max(waited) <= BATCH, waited
        assert handled < flood, "the flood was over, so nothing was shown"


@pytest.mark.parametrize("id_of_other", [1, 9], ids=["before", "behind"])
async def test_a_flood_whose_lists_have_grown_gives_a_turn_after_one_batch_all_the_same(
    world: World, id_of_other: int
) -> None:
    """It had the replica to itself; then somebody takes the other slot, and then somebody else comes."""
    app = Reactor()
    handled = at_handling = 0
    grown, inside, go, done = asyncio.Event(), asyncio.Event(), asyncio.Event(), asyncio.Event()

    @app.on("flood")
    async def drop(event: Event[Any], ctx: Context) -> None:
        nonlocal handled
        handled += 1
        time.sleep(0.0002)
        if handled == 20 * BATCH:
            grown.set()

    @app.on("slow")
    async def slow(event: Event[Any], ctx: Context) -> None:
        inside.set()
        await go.wait()

    @app.on("single")
    async def single(event: Event[Any], ctx: Context) -> None:
        nonlocal at_handling
        at_handling = handled
        done.set()

    flooded, behind, other = UUID(int=5), UUID(int=7), UUID(int=id_of_other)
    await world.conn.execute(
        "insert into public.tenants (id, name) select t, 't' from unnest($1::uuid[]) t",
        [flooded, behind, other],
    )
    await world.flood(flooded, "flood", 120 * BATCH)
    async with world.running(app, concurrency=2, batch_size=BATCH):
        await asyncio.wait_for(grown.wait(), 30)
        await world.emit(behind, "slow")
        await asyncio.wait_for(inside.wait(), 30)
        waited = []
        for _ in range(5):
            done.clear()
            await world.emit(other, "single")
            # Not before: how long the event takes to be there is the machine's.
            at_arrival = handled
            await asyncio.wait_for(done.wait(), 30)
            waited.append(at_handling - at_arrival)
            # Until it is settled the tenant is leased, and would wait for itself.
            await world.until(
                "select not exists (select from public.agent_tenant_locks where tenant_id = $1)", other
            )
        assert max(waited) <= BATCH, waited
        assert handled < 120 * BATCH, "the flood was over, so nothing was shown"
        go.set()


async def test_a_tenant_whose_events_take_long_gives_a_turn_before_its_batch_is_over(world: World) -> None:
    """A batch of these takes five seconds; a turn lasts one, whatever is left of it. A machine that is slow
    just now does fewer of them in a turn, not more."""
    app = Reactor()
    handled = 0
    begun, done = asyncio.Event(), asyncio.Event()
    waited: list[int] = []

    @app.on("long")
    async def take_long(event: Event[Any], ctx: Context) -> None:
        nonlocal handled
        await asyncio.sleep(0.05)
        handled += 1
        begun.set()

    @app.on("single")
    async def single(event: Event[Any], ctx: Context) -> None:
        waited.append(handled)
        done.set()

    await world.flood(await world.tenant(), "long", 2 * BATCH)
    async with world.running(app, concurrency=1, batch_size=BATCH):
        await asyncio.wait_for(begun.wait(), 20)
        await world.emit(await world.tenant(), "single")
        await asyncio.wait_for(done.wait(), 20)
        assert waited[0] <= BATCH // 2, "it waited for the batch"
        assert await world.count("reactor.events") > 0


async def test_idle_slots_are_never_withheld_from_a_backlog(world: World) -> None:
    """Work-conserving: ten tenants with work, ten slots, all at once."""
    app = Reactor()
    inside = 0
    together = asyncio.Event()

    @app.on("work")
    async def work(event: Event[Any], ctx: Context) -> None:
        nonlocal inside
        inside += 1
        if inside == 10:
            together.set()
        await asyncio.wait_for(together.wait(), 10)

    for _ in range(10):
        await world.flood(await world.tenant(), "work", 2)
    await world.drain(app, concurrency=10)
    assert await world.count("reactor.history") == 20


async def test_tenants_take_turns(world: World) -> None:
    app = Reactor()
    order: list[int] = []

    @app.on("work")
    async def work(event: Event[Any], ctx: Context) -> None:
        order.append(event.payload["n"])
        await enter(event, ctx)

    for _ in range(5):
        await world.flood(await world.tenant(), "work", 60)
    await world.drain(app, concurrency=1, batch_size=20)
    # Each tenant's first batch is done before any tenant's third.
    assert order.index(41) > max(n for n, value in enumerate(order) if value == 1)


async def test_a_slow_tenant_does_not_stop_the_others(world: World) -> None:
    app = Reactor()
    release = asyncio.Event()

    @app.on("slow")
    async def slow(event: Event[Any], ctx: Context) -> None:
        await release.wait()

    @app.on("quick")
    async def quick(event: Event[Any], ctx: Context) -> None:
        await enter(event, ctx)

    await world.emit(await world.tenant(), "slow")
    async with world.running(app, concurrency=2):
        await world.until("select exists (select from public.agent_tenant_locks)")
        for _ in range(20):
            await world.emit(await world.tenant(), "quick")
        await world.until("select count(*) = 20 from public.ledger")
        release.set()


async def test_a_frozen_settlement_of_one_tenant_stops_no_claim(world: World) -> None:
    """A replica that stopped between the fence and its commit holds the lease's row, also when it ran out."""
    app = Reactor()

    @app.on("work")
    async def work(event: Event[Any], ctx: Context) -> None:
        await enter(event, ctx)

    frozen, other = await world.tenant("frozen"), await world.tenant("other")
    await world.conn.execute(
        "insert into public.agent_tenant_locks (tenant_id, lock_holder, expires_at) "
        "values ($1, 'stopped', now() - interval '1 second')",
        frozen,
    )
    await world.emit(frozen, "work")
    stopped = await asyncpg.connect(world.url)
    transaction = stopped.transaction()
    await transaction.start()
    await stopped.execute("delete from public.agent_tenant_locks where tenant_id = $1", frozen)
    try:
        async with world.running(app):
            for _ in range(3):
                await world.emit(other, "work")
            await world.until("select count(*) = 3 from public.ledger where tenant_id = $1", other, within=5)
            await transaction.rollback()
            await world.until("select count(*) = 1 from public.ledger where tenant_id = $1", frozen)
    finally:
        await stopped.close()


async def test_a_heartbeat_extends_the_others_while_one_lease_is_being_settled(world: World) -> None:
    held, settling = await world.tenant(), await world.tenant()
    await world.conn.execute(
        "insert into public.agent_tenant_locks (tenant_id, lock_holder, expires_at) "
        "select t, 'r', now() + interval '5 seconds' from unnest($1::uuid[]) t",
        [held, settling],
    )
    await world.conn.execute(
        "insert into public.agent_autonomous_runs (id, tenant_id) "
        "select id, tenant_id from public.agent_tenant_locks; "
        "update public.agent_tenant_locks set run_id = id"
    )
    runs = [
        await world.conn.fetchval("select run_id from public.agent_tenant_locks where tenant_id = $1", tenant)
        for tenant in (held, settling)
    ]
    other = await asyncpg.connect(world.url)
    transaction = other.transaction()
    await transaction.start()
    await other.execute("delete from public.agent_tenant_locks where tenant_id = $1", settling)
    lost = await world.conn.fetchval(
        "select lost from reactor.beat('r', $1, $2, '1 hour', '1 hour')", [held, settling], runs, timeout=3
    )
    assert lost == []
    await transaction.commit()
    await other.close()
    left = "select expires_at - now() from public.agent_tenant_locks where tenant_id = $1"
    assert await world.conn.fetchval(left, held) > timedelta(minutes=30)
    lost = await world.conn.fetchval(
        "select lost from reactor.beat('r', $1, $2, '1 hour', '1 hour')", [held, settling], runs
    )
    assert lost == [runs[1]]
