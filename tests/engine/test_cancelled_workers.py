"""A handler may cancel its task, at once or later, and a worker's it is as well: no replica ends of that,
and it is the failure of one event at most."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import anyio
import pytest
from structlog.testing import capture_logs

from reactor import Context, Event, JobContext, Reactor
from reactor.telemetry import names
from tests.engine.conftest import World, enter

Deed = Callable[[Context], Awaitable[None]]


def current() -> asyncio.Task[Any]:
    task = asyncio.current_task()
    assert task is not None
    return task


async def cancels(_ctx: Context) -> None:
    current().cancel()


async def cancels_and_waits(_ctx: Context) -> None:
    current().cancel()
    await asyncio.sleep(60)


async def cancels_after_it_wrote(ctx: Context) -> None:
    await enter(ctx.events[0], ctx, "to be undone")
    current().cancel()


async def cancels_and_fails(_ctx: Context) -> None:
    current().cancel()
    raise ValueError("wrong as well")


@pytest.mark.parametrize(
    ("deed", "told"),
    [
        (cancels, "was cancelled, and not by the reactor"),
        (cancels_and_waits, "was cancelled, and not by the reactor"),
        (cancels_after_it_wrote, "was cancelled, and not by the reactor"),
        (cancels_and_fails, "wrong as well"),
    ],
    ids=lambda each: getattr(each, "__name__", ""),
)
@pytest.mark.parametrize("around", [False, True], ids=["plain", "behind a middleware"])
async def test_a_handler_that_cancels_its_own_task_has_failed_and_the_others_go_on(
    world: World, deed: Deed, told: str, around: bool
) -> None:
    app = Reactor()

    @app.on("bad", max_attempts=1)
    async def bad(_event: Event[Any], ctx: Context) -> None:
        await deed(ctx)

    @app.on("good")
    async def good(event: Event[Any], ctx: Context) -> None:
        await enter(event, ctx)

    if around:

        @app.middleware
        async def calls(_events: Any, _ctx: Context, call_next: Callable[[], Awaitable[None]]) -> None:
            await call_next()

    # Each is the last of its turn, so that a cancellation that is yet to come meets the replica's own work.
    for _ in range(3):
        tenant = await world.tenant()
        await world.emit(tenant, "good")
        await world.emit(tenant, "bad")
    await world.drain(app, concurrency=1)
    assert await world.notes() == ["good"] * 3
    dead = await world.dead()
    assert [one["event_type"] for one in dead] == ["bad"] * 3
    assert all(told in one["reason"] for one in dead)
    assert await world.count("public.agent_tenant_locks") == 0


async def test_a_timer_that_a_handler_leaves_behind_ends_no_replica(world: World) -> None:
    app = Reactor()
    left: list[AsyncIterator[int]] = []

    async def numbers() -> AsyncIterator[int]:
        async with asyncio.timeout(0.05):
            yield 1

    @app.on("leaves")
    async def leaves(event: Event[Any], ctx: Context) -> None:
        generator = numbers()
        left.append(generator)
        async for _ in generator:
            break  # nobody closes it, so its time goes on
        await enter(event, ctx)

    @app.on("item")
    async def item(event: Event[Any], ctx: Context) -> None:
        await asyncio.sleep(0.02)
        await enter(event, ctx, str(event.payload["n"]))

    tenant = await world.tenant()
    with capture_logs() as logs:
        async with world.running(app, concurrency=1):
            # The timer is over when the worker waits for work, …
            await world.emit(tenant, "leaves")
            await world.until("select count(*) = 1 from reactor.history")
            async with asyncio.timeout(10):
                while not any(line["event"] == names.WORKER_CANCELLED for line in logs):
                    await asyncio.sleep(0.01)
            # … and when it is in the middle of others.
            await world.emit(tenant, "leaves")
            await world.flood(tenant, "item", 10)
            await world.until("select count(*) = 12 from reactor.history", within=30)
    assert len(left) >= 2
    # Each once, whatever was in hand when it ended.
    assert sorted(await world.notes()) == sorted(["leaves", "leaves", *map(str, range(1, 11))])
    assert not await world.dead()


async def test_a_job_that_cancels_its_own_task_has_failed_and_the_leader_leads_on(world: World) -> None:
    app = Reactor()
    began: list[int] = []

    @app.every("1s", name="bad")
    async def bad(_ctx: JobContext) -> None:
        began.append(1)
        current().cancel()
        await asyncio.sleep(60)

    with capture_logs() as logs:
        async with world.running(app):
            async with asyncio.timeout(15):
                while len(began) < 2:
                    await asyncio.sleep(0.01)
            await world.until(
                "select count(*) > 0 from reactor.schedules where name = 'bad' and finished_at is not null"
            )
    elected = [line for line in logs if line["event"] == names.LEADER_ELECTED]
    assert len(elected) == 1
    assert any(line["event"] == names.JOB_FAILED and line["job"] == "bad" for line in logs)


async def test_a_scope_that_a_handler_leaves_behind_ends_no_replica(world: World) -> None:
    app = Reactor()
    left: list[AsyncIterator[int]] = []

    async def numbers() -> AsyncIterator[int]:
        with anyio.move_on_after(0.05):
            yield 1

    @app.on("leaves")
    async def leaves(event: Event[Any], ctx: Context) -> None:
        generator = numbers()
        left.append(generator)
        async for _ in generator:
            break  # nobody closes it, so its time goes on
        await enter(event, ctx)

    @app.on("item")
    async def item(event: Event[Any], ctx: Context) -> None:
        await asyncio.sleep(0.02)
        await enter(event, ctx, str(event.payload["n"]))

    tenant = await world.tenant()
    with capture_logs() as logs:
        async with world.running(app, concurrency=1):
            # The scope is over when the worker waits for work, …
            await world.emit(tenant, "leaves")
            await world.until("select count(*) = 1 from reactor.history")
            async with asyncio.timeout(10):
                while not any(line["event"] == names.WORKER_CANCELLED for line in logs):
                    await asyncio.sleep(0.01)
            # … and when it is in the middle of others.
            await world.emit(tenant, "leaves")
            await world.flood(tenant, "item", 10)
            await world.until("select count(*) = 12 from reactor.history", within=30)
    assert len(left) >= 2
    # Each once, whatever was in hand when it ended.
    assert sorted(await world.notes()) == sorted(["leaves", "leaves", *map(str, range(1, 11))])
    assert not await world.dead()


async def test_a_handler_that_cancels_its_own_task_and_returns_fails_and_not_the_next_one(
    world: World,
) -> None:
    app = Reactor()

    @app.on("bad", max_attempts=1)
    async def bad(_event: Event[Any], _ctx: Context) -> None:
        current().cancel()

    @app.on("good")
    async def good(event: Event[Any], ctx: Context) -> None:
        await asyncio.sleep(0)
        await enter(event, ctx)

    tenant = await world.tenant()
    for kind in ("bad", "good", "bad", "good"):
        await world.emit(tenant, kind)
    with capture_logs() as logs:
        await world.drain(app, concurrency=1)
    assert await world.notes() == ["good"] * 2
    assert await world.count("reactor.history where attempts > 0 or interruptions > 0") == 0
    assert [one["event_type"] for one in await world.dead()] == ["bad"] * 2
    assert not [line for line in logs if line["event"] == names.RUN_INTERRUPTED]


async def test_a_scope_that_a_job_leaves_behind_ends_no_replica(world: World) -> None:
    app = Reactor()
    left: list[AsyncIterator[int]] = []

    async def numbers() -> AsyncIterator[int]:
        with anyio.move_on_after(0.05):
            yield 1

    @app.every("1s", name="bad")
    async def bad(_ctx: JobContext) -> None:
        generator = numbers()
        left.append(generator)
        async for _ in generator:
            break  # nobody closes it, so its time goes on

    @app.on("item")
    async def item(event: Event[Any], ctx: Context) -> None:
        await enter(event, ctx)

    with capture_logs() as logs:
        async with world.running(app):
            async with asyncio.timeout(15):
                while len(left) < 3:
                    await asyncio.sleep(0.01)
            await world.emit(await world.tenant(), "item")
            await world.until("select count(*) = 1 from public.ledger")
    assert len([line for line in logs if line["event"] == names.LEADER_ELECTED]) == 1
