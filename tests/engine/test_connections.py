"""Connections end when they like; no event minds."""

import asyncio
from typing import Any

import asyncpg
import pytest
from structlog.testing import capture_logs

from reactor import Context, Event, Reactor
from reactor.db import calls
from reactor.telemetry import names
from tests.engine.conftest import World, enter, until

LISTENERS = (
    "select pid from pg_stat_activity "
    "where application_name like '%listener' and datname = current_database()"
)


async def test_a_listener_that_is_killed_under_load_is_back_and_nothing_is_lost(world: World) -> None:
    app = Reactor()

    @app.on("work")
    async def work(event: Event[Any], ctx: Context) -> None:
        await enter(event, ctx, str(event.payload["n"]))

    tenants = [await world.tenant() for _ in range(5)]
    async with world.running(app):
        for turn in range(4):
            before = await world.until(LISTENERS)
            for n in range(20):
                await world.emit(tenants[n % 5], "work", {"n": turn * 20 + n})
                if n == 10:
                    await world.conn.execute("select pg_terminate_backend($1)", before)
            back = await world.until(f"{LISTENERS} and pid <> $1", before, within=2)
            assert back != before

            async def healthy() -> bool:
                return all(replica.health.listening for replica in app.replicas)

            await until(healthy, within=2)
        await world.until("select count(*) = 80 from public.ledger")
        # and it hears: the poll is half a minute away
        await world.until("select last_value > 1 from reactor.doorbell")
        await world.emit(tenants[0], "work", {"n": 80})
        await world.until("select count(*) = 81 from public.ledger", within=5)
    assert sorted(int(note) for note in await world.notes()) == list(range(81))


async def test_backends_killed_in_the_middle_of_handlers_cost_no_attempt_and_no_effect(world: World) -> None:
    app = Reactor()

    @app.on("work")
    async def work(event: Event[Any], ctx: Context) -> None:
        await enter(event, ctx, str(event.payload["n"]))
        await asyncio.sleep(0.005)

    tenants = [await world.tenant() for _ in range(4)]
    for tenant in tenants:
        await world.flood(tenant, "work", 60)
    kill = (
        "select count(pg_terminate_backend(pid)) from pg_stat_activity where datname = current_database() "
        "and pid <> pg_backend_pid() and application_name <> 'test'"
    )
    async with world.running(app, lease_seconds=2):
        for done in (10, 60, 120):
            await world.until("select count(*) >= $1 from public.ledger", done)
            await world.conn.execute(kill)
        await world.until("select count(*) = 240 from public.ledger", within=40)
        await world.until("select count(*) = 240 from reactor.history")
    for tenant in tenants:
        assert sorted(int(note) for note in await world.notes(tenant)) == list(range(1, 61))
    assert await world.count("reactor.history where attempts > 0") == 0
    assert await world.count("reactor.dead_events") == 0


async def test_a_group_whose_connection_is_lost_after_the_commit_is_not_settled_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = Reactor()
    settle = calls.settle
    lost: list[bool] = []

    @app.on("quiet")
    async def quiet(event: Event[Any], ctx: Context) -> None:
        pass

    async def committed_and_lost(connection: Any, settlement: calls.Settlement, **rest: Any) -> Any:
        rows = await settle(connection, settlement, **rest)
        if not lost and len(settlement.runs) > 1 and any(settlement.more):
            lost.append(True)
            connection.terminate()
            raise asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation")
        return rows

    monkeypatch.setattr(calls, "settle", committed_and_lost)
    # So many that some of them end a batch in the same moment, whatever else this machine does.
    for _ in range(6):
        await world.flood(await world.tenant(), "quiet", 100)
    with capture_logs() as said:
        async with world.running(app, batch_size=10, lease_seconds=3600):
            await world.until("select count(*) = 600 from reactor.history", within=20)
    assert lost
    assert [line for line in said if line["event"] in (names.EVENT_FAILED, names.RUN_LOST)] == []
    assert await world.count("reactor.dead_events") == 0
    assert await world.count("reactor.history where attempts > 0") == 0
    assert await world.count("public.agent_tenant_locks") == 0


async def test_the_driver_asks_no_session_about_types(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its question takes the server 10 to 40 ms in a new session, and the first claim would wait for that."""
    app = Reactor()
    asked: list[Any] = []

    @app.on("step", max_attempts=1)
    async def step(event: Event[Any], ctx: Context) -> None:
        if event.payload["n"] % 2:
            await enter(event, ctx)
        if event.payload["n"] == 7:
            raise ValueError("seven")

    @app.on("long")
    async def long(event: Event[Any], ctx: Context) -> None:
        await enter(event, ctx)
        await ctx.checkpoint()
        await asyncio.sleep(3600)

    introspect = asyncpg.Connection._introspect_types

    async def ask(connection: Any, types: Any, timeout: float | None) -> Any:
        if connection is not world.conn:
            asked.append(types)
        return await introspect(connection, types, timeout)

    monkeypatch.setattr(asyncpg.Connection, "_introspect_types", ask)
    for _ in range(3):
        await world.flood(await world.tenant(), "step", 30)
    await world.emit(await world.tenant(), "long")
    async with world.running(app, drain_seconds=0):
        await world.until(
            "select count(*) = 3 * 29 from reactor.history where outcome = 'handled'", within=20
        )
        await world.until("select count(*) = 3 from reactor.dead_events", within=20)
        await world.until("select count(*) = 43 from public.ledger", within=20)
    assert await world.count("reactor.events") == 1
    assert asked == []


async def test_a_server_that_ends_idle_sessions_soon_lets_the_listener_be(world: World) -> None:
    name = await world.conn.fetchval("select current_database()")
    await world.conn.execute("set idle_session_timeout = 0")
    await world.conn.execute(f"alter database {name} set idle_session_timeout = '500ms'")
    with capture_logs() as said:
        async with world.running(Reactor(), canary_seconds=0):
            await world.until(
                f"select clock_timestamp() - backend_start > interval '2 seconds' "
                f"from pg_stat_activity where pid = ({LISTENERS})"
            )
    assert names.LISTENER_LOST not in [line["event"] for line in said]
