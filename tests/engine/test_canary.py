"""The canary goes the whole way, leaves nothing behind, and its silence is noticed."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from reactor import Context, Event, Reactor
from reactor.db import calls
from reactor.telemetry import metrics
from tests.engine.conftest import World, until

HEARD = "select heard_at is not null and unheard_since is null from reactor.canary"
SENT = "reactor.events where event_type = 'reactor.canary'"


def heard_here() -> float:
    """How many canaries replicas of this process have handled."""
    return metrics.REGISTRY.get_sample_value("reactor_canary_seconds_count") or 0.0


async def test_a_canary_goes_the_whole_way_with_the_gates_closed_and_its_run_is_removed(world: World) -> None:
    first, second = await world.tenant(), await world.tenant()
    before = heard_here()
    async with world.running(Reactor(), canary_seconds=0.5):
        await world.until(
            "select count(distinct tenant_id) = 2 from reactor.history "
            "where event_type = 'reactor.canary' and outcome = 'handled' and tenant_id in ($1, $2)",
            first,
            second,
        )
        await world.until(HEARD)
        assert heard_here() >= before + 2
        await world.until("select count(*) = 0 from public.agent_autonomous_runs")
    took = await world.conn.fetchval("select extract(epoch from took)::float8 from reactor.canary")
    assert 0 < took < 5


async def test_a_run_that_did_more_than_the_canary_is_kept(world: World) -> None:
    app = Reactor()

    @app.on("work")
    async def work(event: Event[Any], ctx: Context) -> None:
        pass

    tenant = await world.tenant()
    await world.conn.execute("select * from reactor.tend_canary('1 minute')")
    await world.emit(tenant, "work")
    await world.drain(app)
    await world.conn.execute("select * from reactor.tend_canary('1 minute')")
    assert await world.conn.fetchval(HEARD)
    assert await world.count("public.agent_autonomous_runs") == 1


async def test_a_clock_that_was_set_back_delays_no_canary(world: World) -> None:
    """Until the server's clock is there again nobody would hear that events are not handled."""
    await world.tenant()
    await world.conn.execute("select * from reactor.tend_canary('1 minute')")
    await world.drain(Reactor())
    await world.conn.execute("update reactor.canary set sent_at = now() + interval '1 hour'")
    await world.conn.execute("select * from reactor.tend_canary('1 minute')")
    assert await world.count(SENT) == 1


async def test_canaries_never_pile_up(world: World) -> None:
    await world.tenant()
    await world.tenant()
    late = "update reactor.canary set sent_at = sent_at - interval '1 hour'"
    for _ in range(3):
        await world.conn.execute("select * from reactor.tend_canary('1 minute')")
        assert await world.count(SENT) == 1
        await world.conn.execute(late)
    waiting = await world.conn.fetchval("select event_id from reactor.canary")
    # One that failed makes room for another.
    await world.conn.execute(
        "update reactor.events set attempts = 1, available_at = now() + interval '1 hour' where id = $1",
        waiting,
    )
    await world.conn.execute("select * from reactor.tend_canary('1 minute')")
    assert await world.count(SENT) == 1
    assert await world.event(waiting) is None
    silence = await world.conn.fetchval("select now() - unheard_since > now() - sent_at from reactor.canary")
    assert silence, "the silence is counted from the first one that nobody heard"


async def test_without_a_tenant_there_is_no_canary_and_no_complaint(world: World) -> None:
    row = await world.conn.fetchrow("select * from reactor.tend_canary('1 minute')")
    assert row is not None
    assert row["age"] is None
    assert row["silence"] is None


async def test_a_tenant_that_may_act_and_has_nothing_to_do_is_preferred(world: World) -> None:
    await world.tenant()
    busy = await world.tenant(enabled=True)
    idle = await world.tenant(enabled=True)
    await world.emit(busy, "work")
    await world.conn.execute("select * from reactor.tend_canary('1 minute')")
    assert await world.conn.fetchval("select tenant_id from reactor.canary") == idle


async def test_a_replica_with_free_slots_that_hears_no_canary_is_not_ready_until_it_does(
    world: World,
) -> None:
    tenant = await world.tenant()
    held = (
        "insert into public.agent_tenant_locks (tenant_id, expires_at) values ($1, now() + interval '1 hour')"
    )
    await world.conn.execute(held, tenant)
    app = Reactor()
    async with world.running(app, canary_seconds=0.3):
        (replica,) = app.replicas

        async def silence() -> timedelta | None:
            return replica.health.silence

        async def is_heard() -> bool:
            return await silence() is None

        # One that is only on its way is no silence: readiness would flicker with each.
        assert await until(silence) > 3 * timedelta(seconds=0.3)
        assert await world.count(SENT) == 1
        await world.conn.execute("delete from public.agent_tenant_locks")
        await world.conn.execute("select reactor.ring()")
        await until(is_heard)


async def test_a_replica_whose_slots_are_all_taken_stays_ready_whatever_waits(world: World) -> None:
    app = Reactor()
    inside, leave = asyncio.Event(), asyncio.Event()

    @app.on("held")
    async def held(event: Event[Any], ctx: Context) -> None:
        inside.set()
        await leave.wait()

    tenant = await world.tenant()
    await world.emit(tenant, "held")
    async with world.running(app, canary_seconds=0.3, concurrency=1):
        await inside.wait()
        await world.conn.execute("select * from reactor.tend_canary('300 milliseconds')")
        await world.until(
            "select unheard_since < clock_timestamp() - interval '2 seconds' from reactor.canary"
        )
        (replica,) = app.replicas
        assert replica.health.silence is None
        leave.set()
        await world.until(HEARD)


async def test_an_application_sends_no_canary_when_it_is_told_so_and_still_handles_those_of_others(
    world: World,
) -> None:
    await world.tenant()
    async with world.running(Reactor(), canary_seconds=0):
        assert await world.count(SENT) == 0
        await world.conn.execute("select * from reactor.tend_canary('1 minute')")
        await world.until("select count(*) = 1 from reactor.history where event_type = 'reactor.canary'")


async def test_an_application_that_keeps_all_runs_keeps_the_canarys_too(world: World) -> None:
    await world.tenant()
    await world.conn.execute(
        """
        create function public.refuse() returns trigger language plpgsql as $$ begin
            raise exception 'runs are kept for the audit';
        end $$;
        create trigger refuse before delete on public.agent_autonomous_runs
            for each row execute function public.refuse()
        """
    )
    async with world.running(Reactor(), canary_seconds=0.5):
        await world.until("select count(*) > 1 from reactor.history where event_type = 'reactor.canary'")
        await world.until(HEARD)


async def test_a_clock_that_was_set_back_ends_no_replicas_looks(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another replica is at the canary just now, and has not sent one since."""
    looks = 0
    looked_again = asyncio.Event()

    async def tended(connection: calls.Connection, every: timedelta) -> tuple[float, None]:
        nonlocal looks
        looks += 1
        if looks > 1:
            looked_again.set()
        return -365 * 86400.0, None

    monkeypatch.setattr(calls, "tend_canary", tended)
    async with world.running(Reactor(), canary_seconds=1):
        await asyncio.wait_for(looked_again.wait(), 10)
