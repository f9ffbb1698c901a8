"""The backlog in the metrics: by whoever leads, by nobody else, and never for longer than it is known."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import asyncpg
import pytest
import structlog

from reactor import Context, Event, Reactor
from reactor.db import pool
from reactor.db.pool import name_database
from reactor.telemetry import backlog as gauges
from reactor.telemetry import metrics, names
from reactor.upkeep import backlog
from reactor.upkeep.backlog import Backlog
from tests.conftest import Server
from tests.engine.conftest import World, until


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backlog, "_EVERY", 0.02)


@pytest.fixture
def other(server: Server, template: str) -> Iterator[str]:
    """The URL of a second database."""
    name = server.create(template)
    yield server.url(name)
    server.drop(name)


def shown(url: str, name: str = "events_ready") -> float | None:
    """What a scrape would find at this moment of a database; None: no such series."""
    return metrics.REGISTRY.get_sample_value(f"reactor_{name}", {"database": name_database(url)})


async def comes_to(url: str, value: float | None, name: str = "events_ready") -> None:
    async def is_so() -> bool:
        return shown(url, name) == value

    await until(is_so, what=f"{name} is {value}")


async def test_a_backlog_is_seen_to_grow_and_to_go(world: World) -> None:
    app, go_on = Reactor(), asyncio.Event()

    @app.on("work")
    async def work(event: Event[Any], ctx: Context) -> None:
        await go_on.wait()

    one, another = [await world.tenant(name) for name in ("one", "another")]
    async with world.running(app, concurrency=1, batch_size=2):
        await comes_to(world.url, 0)
        assert shown(world.url, "events_oldest_seconds") == 0
        await world.flood(one, "work", 10)
        await comes_to(world.url, 2, "events_in_flight")
        await comes_to(world.url, 8)
        await world.flood(another, "work", 5)
        await comes_to(world.url, 13)
        await comes_to(world.url, 1, "tenants_waiting")
        await world.emit(one, "work", delay=timedelta(hours=1))
        await comes_to(world.url, 1, "events_delayed")
        age = shown(world.url, "events_oldest_seconds")
        assert age is not None
        assert 0 < age < 60
        go_on.set()
        await comes_to(world.url, 0)
        await comes_to(world.url, 0, "events_oldest_seconds")
        await comes_to(world.url, 0, "tenants_waiting")


async def test_who_leads_no_more_shows_nothing_of_what_was_measured(world: World) -> None:
    async with world.running(Reactor()):
        await comes_to(world.url, 0)
        # Another replica leads from now on, as after a night in which this one could not be reached.
        await world.conn.execute(
            "update reactor.leadership "
            "set term = term + 1, leader = 'another', expires_at = now() + interval '1 h'"
        )
        for name in ("events_ready", "events_oldest_seconds", "tenants_waiting"):
            await comes_to(world.url, None, name)
        await world.conn.execute("update reactor.leadership set expires_at = now()")
        await comes_to(world.url, 0)
    assert shown(world.url) is None


async def test_each_of_several_databases_has_its_own(world: World, other: str) -> None:
    connection = await asyncpg.connect(other)
    await connection.execute(
        "with t as (insert into public.tenants (name) values ('x') returning id) "
        "select reactor.emit(t.id, 'work', delay => '1 h') from t"
    )
    await connection.close()
    async with world.running(Reactor(), databases=f"{world.url},{other}"):
        await comes_to(world.url, 0, "events_delayed")
        await comes_to(other, 1, "events_delayed")


@asynccontextmanager
async def measuring(url: str) -> AsyncIterator[asyncpg.Pool]:
    """The duty alone, with the pool that it has."""
    made = await pool.create_pool(url, size=2, name="test", pooler="none", keep_session=True)
    duty = asyncio.create_task(Backlog(pool=made, database=name_database(url)).run())
    try:
        yield made
        assert not duty.done()
    finally:
        duty.cancel()
        made.terminate()


async def pids_of(engine: asyncpg.Pool) -> set[int]:
    async with engine.acquire() as one, engine.acquire() as two:
        return {each.get_server_pid() for each in (one, two)}


async def is_said(logged: list[Any], error: str) -> None:
    async def is_so() -> bool:
        return bool(logged)

    await until(is_so, what=error)
    assert [(line["event"], line["log_level"], line["error"]) for line in logged] == [
        (names.BACKLOG_UNKNOWN, "warning", error)
    ]


async def test_what_cannot_be_measured_is_said_once_and_is_shown_no_longer(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gauges, "_BELIEVED", 1.0)
    async with measuring(world.url), pool.connected(world.url) as owner:
        await comes_to(world.url, 0)
        with structlog.testing.capture_logs() as logged:
            async with owner.transaction():
                await owner.execute("lock table reactor.events in access exclusive mode")
                await comes_to(world.url, None)
            await comes_to(world.url, 0)
            await is_said(logged, "canceling statement due to lock timeout")


async def test_one_that_takes_too_long_is_ended_by_the_server_and_costs_no_connection(world: World) -> None:
    async with measuring(world.url) as engine:
        await comes_to(world.url, 0)
        before = await pids_of(engine)
        with structlog.testing.capture_logs() as logged:
            await world.conn.execute(
                "create or replace function reactor.now() returns timestamptz language plpgsql as "
                "$$ begin perform pg_sleep(60); return clock_timestamp(); end $$"
            )
            await is_said(logged, "canceling statement due to statement timeout")
        assert await pids_of(engine) == before


async def test_a_measurement_that_fails_ends_no_term(world: World) -> None:
    await world.conn.execute("alter function reactor.backlog(int, int) rename to real_backlog")
    with structlog.testing.capture_logs() as logged:
        async with world.running(Reactor()):

            async def is_unknown() -> bool:
                return any(line["event"] == names.BACKLOG_UNKNOWN for line in logged)

            await until(is_unknown)
            await world.conn.execute("alter function reactor.real_backlog(int, int) rename to backlog")
            await comes_to(world.url, 0)
            assert [line["term"] for line in logged if line["event"] == names.LEADER_ELECTED] == [1]
            assert names.LEADER_LOST not in [line["event"] for line in logged]
