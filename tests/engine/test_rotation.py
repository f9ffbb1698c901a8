"""A fleet under a pinned snapshot: the leader notices that its claims are slow, and rewrites the outbox."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import asyncpg
import pytest
import structlog

from reactor import Context, Event, Reactor
from reactor.db import calls, pool
from reactor.telemetry import metrics, names
from reactor.upkeep import rotation
from reactor.upkeep.rotation import Rotation
from tests.engine.conftest import World

Engine = asyncpg.Pool

ROTATED = "select rotations > 0 from reactor.rotation"


def counted(outcome: str) -> float:
    return metrics.REGISTRY.get_sample_value("reactor_rotations_total", {"outcome": outcome}) or 0.0


async def pin(reader: pool.Connection) -> None:
    await reader.execute("begin isolation level repeatable read read only")
    await reader.fetchval("select count(*) from public.tenants")


async def lead(world: World) -> int:
    term = await calls.lead(world.conn, "test", timedelta(minutes=1))
    assert term is not None
    return term


async def leave_dead_rows(world: World, count: int) -> None:
    await world.flood(await world.tenant(), "dead", count)
    await world.conn.execute("delete from reactor.events")
    await world.conn.execute("select pg_stat_force_next_flush()")


@pytest.fixture
async def engine(world: World) -> AsyncIterator[Engine]:
    made = await pool.create_pool(world.url, size=2, name="test", pooler="none", keep_session=True)
    yield made
    made.terminate()


async def test_claims_are_slow_together_or_not_at_all(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One in a while, as any server has, is no reason to look."""
    monkeypatch.setattr(rotation, "_WITHIN", 0.05)
    watched, clock = Rotation(pool=engine, dead_rows=1000), asyncio.get_running_loop().time
    for _ in range(10):
        watched.claimed(1.0, 10)
        before = clock()
        while clock() - before <= 0.05:
            await asyncio.sleep(0.01)
    assert not watched.noticed
    for _ in range(5):
        watched.claimed(0.0, 10)
    assert not watched.noticed
    monkeypatch.setattr(rotation, "_WITHIN", 60.0)
    for _ in range(5):
        watched.claimed(1.0, 10)
    assert watched.noticed


async def test_events_go_on_while_the_outbox_is_rewritten_again_and_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Every claim is slow, so how many dead rows there are decides.
    monkeypatch.setattr(rotation, "_SLOW", 0.0)
    monkeypatch.setattr(rotation, "_EACH", 0.0)
    monkeypatch.setattr(rotation, "_PAUSE", (0.01, 0.01))
    app = Reactor()

    @app.on("work")
    async def work(event: Event[Any], ctx: Context) -> None:
        await ctx.db.execute(
            "insert into public.ledger (tenant_id, event_id) values ($1, $2)", ctx.tenant_id, event.id
        )

    tenants = [await world.tenant(str(n)) for n in range(5)]
    rotated, emitted = counted("rotated"), 0
    async with pool.connected(world.url) as reader, world.running(app, rotate_dead_rows=100):
        await pin(reader)
        # What the replica counts, which comes after the database's own count.
        while counted("rotated") < rotated + 3:
            for tenant in tenants:
                await world.flood(tenant, "work", 20)
            emitted += 100
            await world.until("select count(*) = $1 from public.ledger", emitted)
        assert await reader.fetchval("select count(*) from public.ledger") == 0
    assert await world.conn.fetchval("select rotations >= 3 from reactor.rotation")
    assert await world.conn.fetchval("select count(distinct event_id) from public.ledger") == emitted
    assert await world.count("reactor.events") == 0


async def test_zero_rotates_never_and_does_not_even_wait_for_a_reason(engine: Engine) -> None:
    async with asyncio.timeout(20):
        await Rotation(pool=engine, dead_rows=0).run(1)


async def test_a_reason_is_several_slow_claims_for_what_they_took_within_seconds(
    world: World, engine: Engine
) -> None:
    term = await lead(world)
    one = Rotation(pool=engine, dead_rows=1)
    file = await world.conn.fetchval("select pg_relation_filenode('reactor.events')")
    async with pool.connected(world.url) as reader:
        await pin(reader)
        await leave_dead_rows(world, 10)
        duty = asyncio.create_task(one.run(term))
        for _ in range(100):
            one.claimed(0.02, events=1000)
            one.claimed(0.002, events=0)
        for _ in range(4):
            one.claimed(0.02, events=10)
        assert not one.noticed
        one.claimed(0.02, events=10)
        assert one.noticed
        await world.until(ROTATED)
        duty.cancel()
    assert await world.conn.fetchval("select pg_relation_filenode('reactor.events')") != file


async def test_what_keeps_a_rotation_from_happening_is_said_once(
    world: World, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rotation, "_PAUSE", (0.001, 0.001))
    monkeypatch.setattr(rotation, "_RARELY", 0.001)
    term = await lead(world)
    one = Rotation(pool=engine, dead_rows=1)
    await world.conn.execute("create publication elsewhere for table reactor.events")
    before = counted("published")
    async with pool.connected(world.url) as reader:
        await pin(reader)
        await leave_dead_rows(world, 10)
        with structlog.testing.capture_logs() as logged:
            duty = asyncio.create_task(one.run(term))
            async with asyncio.timeout(20):
                while counted("published") < before + 3:
                    await asyncio.sleep(0.01)
            await world.conn.execute("drop publication elsewhere")
            await world.until(ROTATED)
            async with asyncio.timeout(20):
                while not any(entry["event"] == names.OUTBOX_ROTATED for entry in logged):
                    await asyncio.sleep(0.01)
            duty.cancel()
    said = [(entry["event"], entry.get("reason"), entry["dead"]) for entry in logged]
    assert said == [(names.OUTBOX_NOT_ROTATED, "published", 10), (names.OUTBOX_ROTATED, None, 10)]


async def test_a_server_that_refuses_ends_nothing(
    world: World, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rotation, "_PAUSE", (0.001, 0.001))
    monkeypatch.setattr(rotation, "_RARELY", 0.001)
    await world.conn.execute("create table public.refers (event bigint references reactor.events)")
    one = Rotation(pool=engine, dead_rows=1)
    term = await lead(world)
    async with pool.connected(world.url) as reader:
        await pin(reader)
        await leave_dead_rows(world, 10)
        with structlog.testing.capture_logs() as logged:
            duty = asyncio.create_task(one.run(term))
            async with asyncio.timeout(20):
                while sum(entry["event"] == names.ROTATION_FAILED for entry in logged) < 2:
                    await asyncio.sleep(0.01)
            assert not duty.done()
            await world.conn.execute("drop table public.refers")
            await world.until(ROTATED)
            duty.cancel()
