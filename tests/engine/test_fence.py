"""A run that lost its lease commits nothing: neither an acknowledgement nor a business row."""

import asyncio
import signal
from pathlib import Path
from typing import Any

import pytest

from reactor import Context, Event, Reactor
from tests.engine.conftest import World, enter
from tests.engine.fleet import replica


@pytest.mark.parametrize("write", ["before", "after"])
async def test_a_replica_that_was_stopped_and_resumed_commits_nothing(
    world: World, tmp_path: Path, write: str
) -> None:
    """SIGSTOP in the middle of a handler's transaction, or just before its first write; takeover; SIGCONT."""
    tenant = await world.tenant()
    leave = tmp_path / "leave"
    event_id = await world.emit(tenant, "held", {"until": str(leave), "write": write})
    async with (
        replica(world.url, lease_seconds=1, replica="first") as first,
        replica(world.url, lease_seconds=1, replica="second", FLEET_QUICK=1) as second,
    ):
        # Whoever got it: if it was the quick one, there is nothing to see, so it is asked to hold again.
        while not any(line.startswith("inside") for line in first.lines):
            await world.until(
                "select exists (select from reactor.history where id = $1) "
                "or exists (select from public.agent_tenant_locks where lock_holder = 'first')",
                event_id,
            )
            if await world.history(event_id) is None:
                await first.says(f"inside {event_id}")
                break
            await world.conn.execute("delete from public.ledger")
            event_id = await world.emit(tenant, "held", {"until": str(leave), "write": write})
        first.send(signal.SIGSTOP)
        await second.says(f"returned {event_id}")
        await world.until("select true from reactor.history where id = $1", event_id)
        assert await world.notes() == (["effect", "end"])

        leave.touch()
        first.send(signal.SIGCONT)
        # It goes on, is refused, and is of use again.
        second.send(signal.SIGTERM)
        assert await second.ends() == 0
        after = await world.emit(tenant, "good")
        await world.until("select true from reactor.history where id = $1", after)
        assert await world.notes() == ["effect", "end", "good"]
        first.send(signal.SIGTERM)
        assert await first.ends() == 0
    assert await world.count("reactor.history where id = $1", event_id) == 1
    past = await world.history(event_id)
    assert past is not None
    assert past["attempts"] == 0
    timeouts = await world.count("public.agent_autonomous_runs where status = 'timeout'")
    assert timeouts >= 1


@pytest.mark.parametrize("writes", [True, False])
@pytest.mark.parametrize("how", ["ran out", "taken over", "tenant deleted"])
async def test_a_settlement_without_the_lease_is_refused(world: World, how: str, writes: bool) -> None:
    app = Reactor()
    inside, go = asyncio.Event(), asyncio.Event()
    calls = 0

    @app.on("work")
    async def work(event: Event[Any], ctx: Context) -> None:
        nonlocal calls
        calls += 1
        if writes:
            await enter(event, ctx, f"call {calls}")
        inside.set()
        await go.wait()

    tenant = await world.tenant()
    event_id = await world.emit(tenant, "work")
    # The heartbeat is far away: only the fence can tell.
    async with world.running(app, lease_seconds=3600):
        await asyncio.wait_for(inside.wait(), 10)
        match how:
            case "ran out":
                await world.conn.execute("update public.agent_tenant_locks set expires_at = now()")
            case "taken over":
                async with world.conn.transaction():
                    await world.conn.execute(
                        "update public.agent_tenant_locks set expires_at = now() - interval '1 second'"
                    )
                    taken = await world.conn.fetchval(
                        "select public.acquire_tenant_lock($1, 'operator')", tenant
                    )
                assert taken is not None
            case "tenant deleted":
                await world.conn.execute("delete from public.tenants where id = $1", tenant)
        go.set()
        if how == "ran out":
            await world.until("select true from reactor.history where id = $1", event_id)
        elif how == "tenant deleted":
            await world.until("select not exists (select from reactor.events)")
        else:
            await world.until("select public.release_tenant_lock($1, $2)", tenant, taken)
            await world.until("select true from reactor.history where id = $1", event_id)
    notes = await world.notes()
    match how:
        case "tenant deleted":
            assert notes == []
            assert await world.history(event_id) is None
        case _:
            assert calls == 2
            assert notes == (["call 2"] if writes else [])


async def test_a_checkpoint_without_the_lease_commits_nothing(world: World) -> None:
    app = Reactor()
    inside, go = asyncio.Event(), asyncio.Event()
    calls = 0

    @app.on("work")
    async def work(event: Event[Any], ctx: Context) -> None:
        nonlocal calls
        calls += 1
        await enter(event, ctx, f"intent {calls}")
        inside.set()
        await go.wait()
        await ctx.checkpoint()
        await enter(event, ctx, f"effect {calls}")

    event_id = await world.emit(await world.tenant(), "work")
    async with world.running(app, lease_seconds=3600):
        await asyncio.wait_for(inside.wait(), 10)
        await world.conn.execute("update public.agent_tenant_locks set expires_at = now()")
        go.set()
        await world.until("select true from reactor.history where id = $1", event_id)
    assert await world.notes() == ["intent 2", "effect 2"]


async def test_a_lost_lease_cancels_the_handler(world: World) -> None:
    app = Reactor()
    inside, cancelled = asyncio.Event(), asyncio.Event()

    @app.on("work")
    async def work(event: Event[Any], ctx: Context) -> None:
        await enter(event, ctx, f"interruptions {event.interruptions}")
        if event.interruptions:
            return
        inside.set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    event_id = await world.emit(await world.tenant(), "work")
    async with world.running(app, lease_seconds=1):
        await asyncio.wait_for(inside.wait(), 10)
        await world.conn.execute(
            "update public.agent_tenant_locks set expires_at = now() - interval '1 second'"
        )
        await asyncio.wait_for(cancelled.wait(), 5)
        await world.until("select true from reactor.history where id = $1", event_id)
    [note] = await world.notes()
    assert note != "interruptions 0", "what the first run wrote is committed"


async def test_a_handler_that_was_cancelled_twice_costs_no_worker(world: World) -> None:
    """Late, and then without its lease; and the next handler lets a foreign cancellation out."""
    app = Reactor()
    cleaning, go = asyncio.Event(), asyncio.Event()

    @app.on("late", timeout="300ms")
    async def late(event: Event[Any], ctx: Context) -> None:
        try:
            await asyncio.sleep(60)
        finally:
            cleaning.set()
            await go.wait()

    @app.on("inner", max_attempts=1)
    async def inner(event: Event[Any], ctx: Context) -> None:
        task = asyncio.create_task(asyncio.sleep(60))
        await asyncio.sleep(0)
        task.cancel()
        await task

    @app.on("work")
    async def work(event: Event[Any], ctx: Context) -> None:
        await enter(event, ctx)

    first, second = await world.tenant(), await world.tenant()
    async with world.running(app, concurrency=1, lease_seconds=2):
        late_id = await world.emit(first, "late")
        await asyncio.wait_for(cleaning.wait(), 20)
        beats = "select seen_at from reactor.replicas"
        before = await world.conn.fetchval(beats)
        await world.conn.execute(
            "update public.agent_tenant_locks set expires_at = now() - interval '1 minute'"
        )
        # Two beats on, it has heard that its lease is gone.
        for _ in range(2):
            before = await world.until(f"{beats} where seen_at > $1", before)
        await world.conn.execute("delete from reactor.events where id = $1", late_id)
        go.set()
        await world.emit(second, "inner")
        await world.until("select count(*) = 1 from reactor.dead_events where event_type = 'inner'")
        await world.emit(second, "work")
        await world.until("select count(*) = 1 from public.ledger")


@pytest.mark.parametrize(
    "statement",
    [
        "select public.release_tenant_lock($1, $2)",
        "delete from public.agent_autonomous_runs where tenant_id = $1 and id <= $2",
    ],
    ids=["the lease", "the run"],
)
async def test_a_handler_that_gives_its_own_lease_away_is_not_called_for_ever(
    world: World, statement: str
) -> None:
    """Nothing of it can be committed, the giving away included."""
    app = Reactor()
    calls = 0

    @app.on("careless")
    async def careless(event: Event[Any], ctx: Context) -> None:
        nonlocal calls
        calls += 1
        await enter(event, ctx, "to be undone")
        await ctx.db.execute(statement, ctx.tenant_id, ctx.run_id)

    @app.on("good")
    async def good(event: Event[Any], ctx: Context) -> None:
        await enter(event, ctx)

    tenant = await world.tenant()
    await world.emit(tenant, "good")
    await world.emit(tenant, "careless")
    await world.emit(tenant, "good")
    await world.drain(app, max_interruptions=3)
    assert await world.notes() == ["good", "good"]
    assert calls == 3
    (dead,) = await world.dead()
    assert dead["event_type"] == "careless"
    assert "its handler gave that away" in dead["reason"]
    assert await world.count("public.agent_tenant_locks") == 0
