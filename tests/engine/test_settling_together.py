"""Small runs settle together in one session; a second one is used when that takes long."""

import asyncio
from typing import Any

import pytest

from reactor import Context, Event, Reactor
from reactor.db import calls
from reactor.engine import settler
from tests.engine.conftest import World, enter

TENANTS = 8


async def test_runs_that_end_one_right_after_the_other_settle_together(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settler, "_GATHER", 10.0)  # on a machine that is slow just now, too
    app = Reactor()
    groups: list[int] = []
    settle = calls.settle

    async def noted(connection: calls.Connection, settlement: calls.Settlement, **rest: Any) -> Any:
        groups.append(len(settlement.runs))
        return await settle(connection, settlement, **rest)

    @app.on("step")
    async def step(event: Event[Any], ctx: Context) -> None:
        # Each ends a turn of the loop later than the one before.
        for _ in range(event.payload["n"]):
            await asyncio.sleep(0)

    monkeypatch.setattr(calls, "settle", noted)
    await world.conn.execute("begin")
    for n in range(TENANTS):
        await world.emit(await world.tenant(), "step", {"n": n})
    await world.conn.execute("commit")
    await world.drain(app, concurrency=TENANTS)
    assert groups == [TENANTS]


async def test_a_settlement_that_takes_long_holds_up_no_other(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = Reactor()
    first, second = asyncio.Event(), asyncio.Event()
    settle = calls.settle

    async def stuck(connection: calls.Connection, settlement: calls.Settlement, **rest: Any) -> Any:
        if not first.is_set():
            first.set()
            await asyncio.wait_for(second.wait(), 15)
        return await settle(connection, settlement, **rest)

    @app.on("step")
    async def step(event: Event[Any], ctx: Context) -> None: ...

    monkeypatch.setattr(calls, "settle", stuck)
    async with world.running(app):
        await world.emit(await world.tenant(), "step")
        await asyncio.wait_for(first.wait(), 15)
        other = await world.emit(await world.tenant(), "step")
        await world.until("select exists (select from reactor.history where id = $1)", other, within=10)
        second.set()
        await world.until("select count(*) = 2 from reactor.history")


@pytest.mark.parametrize("detail", ["", "using detail = 'row 7 is closed'"])
async def test_a_settlement_that_is_refused_for_one_tenant_is_no_other_tenants_failure(
    world: World, monkeypatch: pytest.MonkeyPatch, detail: str
) -> None:
    monkeypatch.setattr(settler, "_GATHER", 10.0)
    app = Reactor()
    groups: list[int] = []
    settle = calls.settle
    tenants = [await world.tenant() for _ in range(TENANTS)]
    await world.conn.execute(
        f"""
        create function public.refuse() returns trigger language plpgsql as $$ begin
            if new.tenant_id = '{tenants[0]}' and new.status = 'completed' then
                raise exception 'no' {detail};
            end if;
            return new;
        end $$;
        create trigger refuse before update on public.agent_autonomous_runs
            for each row execute function public.refuse()
        """
    )

    async def noted(connection: calls.Connection, settlement: calls.Settlement, **rest: Any) -> Any:
        groups.append(len(settlement.runs))
        return await settle(connection, settlement, **rest)

    @app.on("step")
    async def step(event: Event[Any], ctx: Context) -> None: ...

    monkeypatch.setattr(calls, "settle", noted)
    await world.conn.execute("begin")
    for tenant in tenants:
        await world.emit(tenant, "step")
    await world.conn.execute("commit")
    async with world.running(app, concurrency=TENANTS, max_interruptions=1):
        await world.until("select not exists (select from reactor.events)")
    assert groups[0] == TENANTS
    assert [row["tenant_id"] for row in await world.dead()] == [tenants[0]]
    assert await world.count("reactor.history where event_type = 'step' and interruptions = 0") == TENANTS - 1


async def test_handlers_that_take_longer_than_a_lease_are_handled_one_after_the_other(world: World) -> None:
    """What is next gets a lease from now on, not from when the handler's transaction began."""
    app = Reactor()

    @app.on("long")
    async def long(event: Event[Any], ctx: Context) -> None:
        await enter(event, ctx)
        # Longer than the lease of one second: by the server's clock, in this transaction.
        await ctx.db.execute("select pg_sleep(1.3)")

    tenant = await world.tenant()
    for _ in range(3):
        await world.emit(tenant, "long")
    await world.drain(app, within=20, lease_seconds=1)
    assert await world.notes() == ["long"] * 3
    assert await world.count("reactor.history where interruptions > 0") == 0
