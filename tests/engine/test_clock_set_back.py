"""The server's clock is set back while a run is at work: nothing is lost, done twice or forgotten."""

import asyncio
from datetime import timedelta
from typing import Any

from structlog.testing import capture_logs

from reactor import Context, Event, JobContext, Reactor
from reactor.testing import DatabaseClock
from tests.engine.conftest import World, enter


def troubles(said: list[Any]) -> list[Any]:
    return [
        line for line in said if line["event"] in ("run_lost_its_lease", "run_interrupted", "event_failed")
    ]


async def test_a_clock_that_is_set_back_within_a_settlement_does_not_cost_the_run_its_lease(
    world: World,
) -> None:
    """What is in flight next is noted at a time before the settlement began."""
    await world.conn.execute(
        "alter table reactor.in_flight alter noted_at set default clock_timestamp() - interval '1 hour'"
    )
    app = Reactor()

    @app.on("work")
    async def work(event: Event[Any], ctx: Context) -> None:
        await enter(event, ctx)

    await world.flood(await world.tenant(), "work", 20)
    with capture_logs() as said:
        await world.drain(app, batch_size=5)
    assert troubles(said) == []
    assert await world.count("public.ledger") == 20
    # One run for all of it: it kept its lease from batch to batch.
    assert await world.count("public.agent_autonomous_runs") == 1


async def test_a_clock_that_is_set_back_while_a_handler_is_at_work_changes_nothing(world: World) -> None:
    app = Reactor()
    inside, leave = asyncio.Event(), asyncio.Event()

    @app.on("work")
    async def work(event: Event[Any], ctx: Context) -> None:
        await enter(event, ctx)
        inside.set()
        await leave.wait()

    tenant = await world.tenant()
    await world.flood(tenant, "work", 20)
    clock = DatabaseClock(world.conn)
    with capture_logs() as said:
        async with world.running(app, batch_size=5, lease_seconds=2):
            await inside.wait()
            await clock.advance(timedelta(hours=-1))
            leave.set()
            await world.until("select count(*) = 20 from reactor.history")
            # And what comes afterwards, by the new time.
            await world.emit(tenant, "work")
            await world.until("select count(*) = 21 from reactor.history")
            await world.until("select not exists (select from public.agent_tenant_locks)")
    assert troubles(said) == []
    assert await world.count("public.ledger") == 21
    assert await world.count("public.agent_autonomous_runs where status <> 'completed'") == 0
    assert await world.dead() == []


async def test_a_clock_that_was_wrong_for_a_while_keeps_no_job_and_no_leader_until_that_time_comes_again(
    world: World,
) -> None:
    """A year ahead, until the server's machine had asked for the time. Its leader died before that."""
    app = Reactor()
    ran = asyncio.Event()

    @app.every("1s", name="tick")
    async def tick(ctx: JobContext) -> None:
        ran.set()

    await world.conn.execute(
        "insert into reactor.schedules (name, every, due_at) "
        "values ('tick', '1 second', now() + interval '1 year'); "
        "update reactor.leadership set leader = 'gone', term = 7, expires_at = now() + interval '1 year'"
    )
    async with world.running(app):
        await asyncio.wait_for(ran.wait(), 15)
        assert await world.conn.fetchval("select term from reactor.leadership") == 8
        # The next time it is this leader's, which goes on.
        await world.conn.execute(
            "update reactor.schedules set due_at = now() + interval '1 year' where finished_at is not null"
        )
        ran.clear()
        await world.conn.execute("select pg_notify('reactor', 'timer')")
        await asyncio.wait_for(ran.wait(), 15)
    assert await world.conn.fetchval("select term from reactor.leadership") == 8
