"""The drain: what is in flight is finished or handed over, leases are released, no attempt is burnt."""

import asyncio
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from reactor import Context, Event, Reactor
from reactor.db import calls
from reactor.engine.drain import Drain
from tests.engine.conftest import Looks, World, enter
from tests.engine.fleet import replica


async def test_what_runs_is_finished_what_waits_is_given_back_and_another_goes_on_at_once(
    world: World,
) -> None:
    app, next_app = Reactor(), Reactor()
    inside, go = asyncio.Event(), asyncio.Event()

    @app.on("work")
    async def work(event: Event[Any], ctx: Context) -> None:
        await enter(event, ctx, "old")
        inside.set()
        await go.wait()

    @next_app.on("work")
    async def next_work(event: Event[Any], ctx: Context) -> None:
        await enter(event, ctx, "new")

    for _ in range(5):
        await world.flood(await world.tenant(), "work", 2)
    async with world.running(app, concurrency=1):
        await asyncio.wait_for(inside.wait(), 10)
        app.drain()
        go.set()
    assert await world.notes() == ["old"]
    assert await world.count("public.agent_tenant_locks") == 0
    assert await world.count("reactor.replicas") == 0
    assert await world.count("reactor.events where attempts > 0 or interruptions > 0") == 0
    await world.drain(next_app, within=5)
    assert sorted(await world.notes()) == ["new"] * 9 + ["old"]


async def test_what_does_not_finish_in_time_is_handed_over_and_burns_no_attempt(world: World) -> None:
    app = Reactor()
    inside = asyncio.Event()

    @app.on("work")
    async def work(event: Event[Any], ctx: Context) -> None:
        await enter(event, ctx)
        inside.set()
        await asyncio.sleep(60)

    event_id = await world.emit(await world.tenant(), "work")
    async with world.running(app, drain_seconds=0.2):
        await asyncio.wait_for(inside.wait(), 10)
    assert await world.notes() == []
    row = await world.event(event_id)
    assert row is not None
    assert (row["attempts"], row["interruptions"], row["available_at"]) == (0, 1, None)
    assert await world.count("public.agent_tenant_locks") == 0
    assert await world.count("reactor.replicas") == 0


async def test_a_drain_in_the_middle_of_a_backlog_loses_and_doubles_nothing(world: World) -> None:
    app = Reactor()

    @app.on("work")
    async def work(event: Event[Any], ctx: Context) -> None:
        await enter(event, ctx, str(event.payload["n"]))

    tenants = [await world.tenant() for _ in range(10)]
    for tenant in tenants:
        await world.flood(tenant, "work", 100)
    for done in (1, 200, 500):
        async with world.running(app):
            await world.until("select count(*) >= $1 from public.ledger", done)
    assert await world.count("public.agent_tenant_locks") == 0
    assert await world.count("reactor.events where interruptions > 0") == 0
    await world.drain(app)
    for tenant in tenants:
        assert await world.notes(tenant) == [str(n) for n in range(1, 101)]


@pytest.fixture
def during_the_drain(monkeypatch: pytest.MonkeyPatch) -> Callable[[Reactor], Awaitable[None]]:
    """Lets an app drain, and returns when the drain has cancelled what it cancels at its beginning."""
    drains, drain = asyncio.Event(), Drain.run

    async def noted(self: Drain, seconds: float) -> None:
        drains.set()
        await drain(self, seconds)

    async def begin(app: Reactor) -> None:
        app.drain()
        await asyncio.wait_for(drains.wait(), 10)
        for _ in range(20):
            await asyncio.sleep(0)

    monkeypatch.setattr(Drain, "run", noted)
    return begin


async def test_a_term_that_begins_with_the_drain_is_given_back_before_the_handlers_end(
    world: World, monkeypatch: pytest.MonkeyPatch, during_the_drain: Callable[[Reactor], Awaitable[None]]
) -> None:
    app = Reactor()
    go = asyncio.Event()
    lead = calls.lead

    async def answered_late(connection: calls.Connection, *arguments: Any, **named: Any) -> int | None:
        term = await lead(connection, *arguments, **named)
        await during_the_drain(app)
        return term

    @app.on("work")
    async def work(event: Event[Any], ctx: Context) -> None:
        await go.wait()

    monkeypatch.setattr(calls, "lead", answered_late)
    await world.emit(await world.tenant(), "work")
    async with world.running(app):
        await world.until("select term > 0 from reactor.leadership")
        await world.until(
            "select not exists (select from reactor.leadership where expires_at > now())", within=5
        )
        go.set()


async def test_what_a_claim_brings_that_was_on_its_way_when_the_drain_began_is_given_back(
    world: World, monkeypatch: pytest.MonkeyPatch, during_the_drain: Callable[[Reactor], Awaitable[None]]
) -> None:
    app = Reactor()
    late = asyncio.Event()
    claim = calls.claim

    async def answered_late(connection: calls.Connection, **arguments: Any) -> calls.Claimed:
        claimed = await claim(connection, **arguments)
        if claimed.rows:
            late.set()
            await during_the_drain(app)
        return claimed

    @app.on("work")
    async def work(event: Event[Any], ctx: Context) -> None:
        await enter(event, ctx)

    monkeypatch.setattr(calls, "claim", answered_late)
    for _ in range(3):
        await world.emit(await world.tenant(), "work")
    async with world.running(app, concurrency=1):
        await asyncio.wait_for(late.wait(), 10)
    assert await world.count("public.agent_tenant_locks") == 0
    assert await world.count("reactor.events where interruptions > 0") == 0
    assert await world.count("reactor.events") + await world.count("public.ledger") == 3


async def test_sigterm_drains_and_exits_with_zero(world: World, tmp_path: Path) -> None:
    leave = tmp_path / "leave"
    event_id = await world.emit(await world.tenant(), "held", {"until": str(leave)})
    async with replica(world.url) as process:
        await process.says(f"inside {event_id}")
        process.send(signal.SIGTERM)
        await world.until(
            "select not exists (select from reactor.leadership where expires_at > now())", within=5
        )
        leave.touch()
        assert await process.ends() == 0
    assert await world.notes() == ["effect", "end"]
    assert await world.count("public.agent_tenant_locks") == 0


async def test_a_tenant_that_is_let_go_during_the_drain_waits_for_nothing_else_there(
    world: World, looks: Looks
) -> None:
    old, new = Reactor(), Reactor()
    short, long = asyncio.Event(), asyncio.Event()

    @old.on("short")
    async def held(event: Event[Any], ctx: Context) -> None:
        await short.wait()

    @old.on("long")
    async def endless(event: Event[Any], ctx: Context) -> None:
        await long.wait()

    @new.on("next")
    async def next_one(event: Event[Any], ctx: Context) -> None:
        await enter(event, ctx)

    one, other = await world.tenant(), await world.tenant()

    async def leave() -> None:
        async with world.running(old, replica="old"):
            await world.until("select count(*) = 2 from public.agent_tenant_locks")
            go.set()
            await stop.wait()

    go, stop = asyncio.Event(), asyncio.Event()
    leaving = asyncio.create_task(leave())
    await world.emit(one, "short")
    await world.emit(other, "long")
    await asyncio.wait_for(go.wait(), 15)
    async with world.running(new, replica="new"):
        stop.set()
        await world.until(
            "select not exists (select from reactor.leadership where leader = 'old' and expires_at > now())"
        )
        async with looks.in_vain("new"):
            await world.emit(one, "next")
        short.set()
        await world.until("select exists (select from public.ledger)", within=10)
        assert await world.count("public.agent_tenant_locks where tenant_id = $1", other) == 1
        long.set()
        await leaving
