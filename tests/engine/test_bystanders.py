"""The application may hold what is one tenant's in an open transaction: only that tenant waits."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from reactor import Context, Event, Reactor
from tests.engine.conftest import World, enter

FIRST = UUID("00000000-0000-4000-8000-000000000001")
LAST = UUID("f0000000-0000-4000-8000-000000000001")
ASLEEP = "select last_value > 1 from reactor.doorbell"
SERVED = "select exists (select from public.ledger where tenant_id = $1)"


def simple() -> Reactor:
    app = Reactor()

    @app.on("work")
    async def work(event: Event[Any], ctx: Context) -> None:
        await enter(event, ctx)

    return app


@pytest.fixture
async def application(world: World) -> AsyncIterator[asyncpg.Connection]:
    """Another session, in a transaction that is rolled back in the end."""
    connection = await asyncpg.connect(world.url)
    await connection.execute("begin")
    yield connection
    await connection.close()


async def test_an_event_that_dies_while_its_tenant_is_locked_holds_up_no_settlement(
    world: World, application: asyncpg.Connection
) -> None:
    """Its alert refers to the tenant's row; it is raised when that is free again."""
    app, inside, go = Reactor(), asyncio.Semaphore(0), asyncio.Event()

    @app.on("bad", max_attempts=1)
    async def bad(event: Event[Any], ctx: Context) -> None:
        inside.release()
        await go.wait()
        raise ValueError("bad")

    @app.on("quiet")
    async def quiet(event: Event[Any], ctx: Context) -> None:
        inside.release()
        await go.wait()

    held = await world.tenant("held")
    await world.emit(held, "bad")
    for n in range(5):
        await world.emit(await world.tenant(f"other {n}"), "quiet")
    async with world.running(app):
        for _ in range(6):
            await asyncio.wait_for(inside.acquire(), 20)
        await application.execute("select from public.tenants where id = $1 for update", held)
        go.set()
        await world.until("select count(*) = 5 from reactor.history", within=6)
        await world.until("select count(*) = 1 from reactor.dead_events", within=6)
        assert await world.count("reactor.history where interruptions > 0") == 0
        assert await world.count("public.agent_alerts") == 0
        term = await world.conn.fetchval("select term from reactor.leadership")
        await application.execute("rollback")
        for _ in range(2):
            await world.conn.execute("select reactor.clean_fleet($1)", term)
        assert await world.count("public.agent_alerts where tenant_id = $1", held) == 1


async def test_a_run_that_its_holder_updates_does_not_stop_the_clock_for_the_others(
    world: World, application: asyncpg.Connection
) -> None:
    held, other = await world.tenant("held"), await world.tenant("other")
    run = await world.conn.fetchval("select public.acquire_tenant_lock($1, 'job', 1)", held)
    await world.conn.execute("update public.agent_tenant_locks set expires_at = now() - interval '1 second'")
    await application.execute(
        "update public.agent_autonomous_runs set actions_executed = 3 where id = $1", run
    )
    await world.emit(held, "work")
    async with world.running(simple()):
        await world.until(ASLEEP)
        await world.emit(other, "work", delay=timedelta(milliseconds=50))
        await world.until(SERVED, other, within=6)
        assert not await world.conn.fetchval(SERVED, held)
        await application.execute("rollback")
        await world.until(SERVED, held, within=6)


async def test_a_stopped_replicas_handler_that_holds_its_run_is_ended_when_its_lease_is_over(
    world: World,
) -> None:
    """As one that wrote to any other row: the limit for silence is minutes away."""
    held = await world.tenant("held")
    await world.emit(held, "work")
    [row] = await world.conn.fetch("select * from reactor.claim('stopped', 1, 9, '1 hour', null, '{}')")
    stopped = await asyncpg.connect(world.url)
    await stopped.execute(
        "begin; select set_config('role', 'reactor_handler', true), "
        f"set_config('reactor.tenant_id', '{held}', true), "
        f"set_config('application_name', 'reactor run {row['run_id']}', true)"
    )
    done = await stopped.execute(
        "update public.agent_autonomous_runs set phase = 'react' where id = $1", row["run_id"]
    )
    assert done == "UPDATE 1"
    await world.conn.execute("update public.agent_tenant_locks set expires_at = now()")
    async with world.running(simple()):
        await world.until(SERVED, held, within=6)
    assert stopped.is_closed()


async def test_a_lease_that_ran_out_and_is_held_takes_no_slot(
    world: World, application: asyncpg.Connection
) -> None:
    for tenant in (FIRST, LAST):
        await world.conn.execute("insert into public.tenants (id, name) values ($1, 'one')", tenant)
    run = await world.conn.fetchval("select public.acquire_tenant_lock($1, 'job', 1)", FIRST)
    assert await application.fetchval("select public.extend_tenant_lock($1, $2, 30)", FIRST, run)
    # As if the transaction had begun before it ran out: to the others it has the time that they see.
    clock = (
        "create or replace function reactor.now() returns timestamptz language sql volatile parallel safe "
    )
    await world.conn.execute(clock + "return clock_timestamp() + interval '10 minutes'")
    await world.emit(FIRST, "work")
    async with world.running(simple(), concurrency=1):
        await world.until(ASLEEP)
        await world.emit(LAST, "work")
        await world.until(SERVED, LAST, within=6)
        await application.execute("rollback")
        await world.until(SERVED, FIRST, within=6)


@pytest.mark.parametrize(("held", "concurrency"), [(60, 1), (600, 8)])
async def test_however_many_tenants_are_locked_those_behind_them_are_served(
    world: World, application: asyncpg.Connection, held: int, concurrency: int
) -> None:
    await world.conn.execute(
        "insert into public.tenants (id, name) "
        "select ('00000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid, 'held' "
        "from generate_series(1, $1) n",
        held,
    )
    await world.conn.execute("insert into public.tenants (id, name) values ($1, 'free')", LAST)
    await application.execute("select from public.tenants where name = 'held' for update")
    await world.conn.execute(
        "insert into reactor.events (tenant_id, event_type) "
        "select id, 'work' from public.tenants where name = 'held'"
    )
    async with world.running(simple(), concurrency=concurrency):
        await world.until(ASLEEP)
        await world.emit(LAST, "work")
        await world.until(SERVED, LAST, within=6)
        assert await world.count("public.ledger") == 1
        await application.execute("rollback")
        await world.until("select count(*) = $1 from public.ledger", held + 1, within=20)


async def test_a_tenant_of_which_no_claim_can_be_made_stops_no_other(world: World) -> None:
    """A trigger of the application that refuses its runs, say: the whole claim fails with it."""
    app = Reactor()

    @app.on("work")
    async def work(event: Event[Any], ctx: Context) -> None:
        await enter(event, ctx)

    tenants = [await world.tenant() for _ in range(20)]
    await world.conn.execute(
        f"""
        create function public.refuse() returns trigger language plpgsql as $$
        begin
            if new.tenant_id = '{tenants[0]}' then
                raise exception 'this tenant is archived';
            end if;
            return new;
        end $$;
        create trigger refuse before insert on public.agent_autonomous_runs
        for each row execute function public.refuse();
        """
    )
    for tenant in tenants:
        await world.emit(tenant, "work")
    async with world.running(app):
        await world.until("select count(*) = 19 from public.ledger", within=30)
        await world.conn.execute("drop trigger refuse on public.agent_autonomous_runs")
        await world.until("select count(*) = 20 from public.ledger", within=30)
    assert await world.dead() == []


async def test_a_run_that_somebody_holds_keeps_no_tenant_that_is_settled_with_it(world: World) -> None:
    app, go = Reactor(), asyncio.Event()

    @app.on("quiet")
    async def quiet(event: Event[Any], ctx: Context) -> None:
        await go.wait()

    tenants = [await world.tenant() for _ in range(6)]
    for tenant in tenants:
        await world.emit(tenant, "quiet")
    async with world.running(app):
        await world.until("select count(*) = 6 from public.agent_tenant_locks")
        async with world.conn.transaction():
            await world.conn.execute(
                "select from public.agent_autonomous_runs where tenant_id = $1 for update", tenants[0]
            )
            go.set()
            others = "select count(*) = 5 from reactor.history where interruptions = 0 and tenant_id <> $1"
            await world.until(others, tenants[0], within=7)


async def test_runs_that_the_application_lets_nobody_end_keep_no_settling_task(world: World) -> None:
    app = Reactor()

    @app.on("quiet")
    async def quiet(event: Event[Any], ctx: Context) -> None: ...

    stuck = [await world.tenant() for _ in range(3)]
    await world.conn.execute(
        f"""
        create function public.refuse() returns trigger language plpgsql as $$ begin
            if new.tenant_id in ({", ".join(f"'{tenant}'" for tenant in stuck)}) then
                raise division_by_zero;
            end if;
            return new;
        end $$;
        create trigger refuse before update on public.agent_autonomous_runs
            for each row execute function public.refuse()
        """
    )
    async with world.running(app, lease_seconds=60):
        for tenant in stuck:
            await world.emit(tenant, "quiet")
        await world.until("select count(*) = 3 from public.agent_tenant_locks")
        for _ in range(5):
            await world.emit(await world.tenant(), "quiet")
        await world.until("select count(*) = 5 from reactor.history", within=15)
