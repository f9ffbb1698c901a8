"""The drain's time: who has not ended by then is left behind, without a connection and without a lease."""

import asyncio
import contextlib
from typing import Any

import pytest
from structlog.testing import capture_logs

from reactor import Context, Event, Reactor
from tests.conftest import Server
from tests.engine.conftest import World, enter, until


async def ignore_cancellation(end: asyncio.Event) -> None:
    while not end.is_set():
        with contextlib.suppress(asyncio.CancelledError):
            await end.wait()


@pytest.fixture
def told() -> Any:
    with capture_logs() as lines:
        yield lines


@pytest.mark.parametrize("wrote", [True, False])
async def test_a_handler_that_swallows_its_cancellation_commits_nothing_and_its_event_goes_on(
    world: World, told: Any, wrote: bool
) -> None:
    app, next_app = Reactor(), Reactor()
    inside, end = asyncio.Event(), asyncio.Event()

    @app.on("work")
    async def work(event: Event[Any], ctx: Context) -> None:
        if wrote:
            await enter(event, ctx, "old")
        inside.set()
        await ignore_cancellation(end)
        await enter(event, ctx, "late")

    @next_app.on("work")
    async def next_work(event: Event[Any], ctx: Context) -> None:
        await enter(event, ctx, "new")

    event_id = await world.emit(await world.tenant(), "work")
    async with world.running(app, drain_seconds=0.2, lease_seconds=120):
        await asyncio.wait_for(inside.wait(), 10)
        app.drain()
        try:
            # Long before its lease would have been over, and while it still is in there.
            await world.until("select not exists (select from public.agent_tenant_locks)", within=20)
            row = await world.event(event_id)
            assert row is not None
            assert (row["attempts"], row["interruptions"]) == (0, 1)
            await world.until("select not exists (select from reactor.replicas)")
            await world.drain(next_app)
            assert await world.notes() == ["new"]
        finally:
            end.set()
    assert await world.notes() == ["new"]
    assert await world.count("reactor.history where id = $1", event_id) == 1
    [left] = [line for line in told if line["event"] == "run_left_behind"]
    assert left["event_id"] == event_id
    assert any("ignore_cancellation" in place for place in left["where"])


async def test_handlers_clean_up_after_their_cancellation_though_another_has_ended(world: World) -> None:
    app = Reactor()
    inside: set[str] = set()
    cleaned: list[str] = []

    @app.on("work")
    async def work(event: Event[Any], ctx: Context) -> None:
        inside.add(event.payload["n"])
        try:
            await asyncio.Event().wait()
        finally:
            if event.payload["n"] == "slow":
                while not cleaned:
                    await asyncio.sleep(0.01)
                await asyncio.sleep(0.2)
            cleaned.append(event.payload["n"])

    for n in ("slow", "quick"):
        await world.emit(await world.tenant(), "work", {"n": n})

    async def both() -> bool:
        return len(inside) == 2

    async with world.running(app, drain_seconds=0.2):
        await until(both)
    assert cleaned == ["quick", "slow"]
    assert await world.count("public.agent_tenant_locks") == 0
    assert await world.count("reactor.replicas") == 0


async def test_a_job_that_swallows_its_cancellation_holds_up_no_handler_and_commits_nothing(
    world: World, told: Any
) -> None:
    app = Reactor()
    in_job, in_handler = asyncio.Event(), asyncio.Event()
    end_job, end_handler = asyncio.Event(), asyncio.Event()

    @app.every("1s", name="stubborn")
    async def stubborn(ctx: Any) -> None:
        await ctx.db.execute(
            "insert into public.ledger (tenant_id, note) values (gen_random_uuid(), 'of the job')"
        )
        in_job.set()
        await ignore_cancellation(end_job)

    @app.on("work")
    async def work(event: Event[Any], ctx: Context) -> None:
        in_handler.set()
        await end_handler.wait()

    for _ in range(3):
        await world.emit(await world.tenant(), "work")
    async with world.running(app, drain_seconds=3, lease_seconds=120, concurrency=1):
        await asyncio.wait_for(in_job.wait(), 20)
        await asyncio.wait_for(in_handler.wait(), 10)
        app.drain()
        try:
            # The handler's drain has begun: what waited is given back, and what runs is finished.
            await world.until("select count(*) <= 1 from public.agent_tenant_locks")
            end_handler.set()
            await world.until("select not exists (select from public.agent_tenant_locks)")
            assert await world.count("reactor.events where interruptions > 0") == 0
            await world.until("select not exists (select from reactor.leadership where expires_at > now())")
            # Its transaction is cut with it, not only fenced.
            await world.until(
                "select not exists (select from pg_locks l where l.relation = 'public.ledger'::regclass)"
            )
        finally:
            end_job.set()
            end_handler.set()
    assert await world.notes() == []
    assert [line["job"] for line in told if line["event"] == "job_left_behind"] == ["stubborn"]


async def test_a_drain_without_a_server_does_not_last_for_a_lease(
    world: World, server: Server, told: Any
) -> None:
    app = Reactor()
    inside = asyncio.Event()

    @app.on("work")
    async def work(event: Event[Any], ctx: Context) -> None:
        inside.set()
        await asyncio.Event().wait()

    await world.emit(await world.tenant(), "work")
    async with asyncio.timeout(60), world.running(app, drain_seconds=0.2, lease_seconds=300):
        await asyncio.wait_for(inside.wait(), 10)
        database = await world.conn.fetchval("select current_database()")
        server.admin(f"alter database {database} allow_connections false")
        await world.conn.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity "
            "where datname = current_database() and pid <> pg_backend_pid()"
        )
        app.drain()
    assert "lease_not_given_back" in [line["event"] for line in told]
