"""Small runs settle together in one session; a second one is used when that takes long."""

import asyncio
from typing import Any

import pytest

from reactor import Context, Event, Reactor
from reactor.db import calls
from reactor.engine import settler
from tests.engine.conftest import World

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
