"""Two processes that were given one name: each works, leads and is rung under a name of its own."""

import asyncio
from datetime import timedelta
from typing import Any

from structlog.testing import capture_logs

from reactor import Context, Event, Reactor
from reactor.cli.health import health
from reactor.db import calls, pool
from tests.engine.conftest import World, enter, until


def simple() -> Reactor:
    app = Reactor()

    @app.on("work")
    async def work(event: Event[Any], ctx: Context) -> None:
        await enter(event, ctx)

    return app


async def test_two_live_replicas_of_one_name_are_told_apart(world: World) -> None:
    with capture_logs() as said:
        async with world.running(simple(), replica="same"), world.running(simple(), replica="same"):
            names = [row["replica"] for row in await world.conn.fetch("select replica from reactor.replicas")]
            assert len(names) == 2
            assert "same" in names
            assert all(name.startswith("same") for name in names)
            assert await world.count("(select distinct slot from reactor.replicas) s") == 2
            # Both sleep, each with its own bit; the events are handled, once.
            await world.until("select last_value = 1 | (1 << 1) | (1 << 2) from reactor.doorbell")
            tenants = [await world.tenant() for _ in range(10)]
            for tenant in tenants:
                await world.emit(tenant, "work")
            await world.until("select count(*) = 10 from reactor.history")
            assert len([line for line in said if line["event"] == "leader_elected"]) == 1
    assert await world.count("public.ledger") == 10
    (warning,) = [
        line for line in said if line["log_level"] == "warning" and line["event"] == "replica_renamed"
    ]
    assert warning["replica"] in names
    assert "REACTOR_REPLICA" in warning["hint"]


async def test_of_two_that_start_at_once_only_one_gets_the_name(world: World) -> None:
    async def take(process: str) -> str:
        async with pool.connected(world.url) as connection, connection.transaction():
            name = await calls.free_name(connection, "same", process)
            await connection.execute(
                "select reactor.enlist($1, '1 minute', '1', jsonb_build_object('process', $2::text))",
                name,
                process,
            )
            return name

    names = await asyncio.gather(*(take(f"process{n}"[::-1]) for n in range(4)))
    assert len(set(names)) == 4
    assert "same" in names


async def test_a_process_that_is_stopped_while_it_takes_its_name_keeps_no_other_from_starting(
    world: World,
) -> None:
    async with pool.connected(world.url) as stopped:
        await stopped.execute("begin")
        assert await calls.free_name(stopped, "same", "stopped") == "same"
        # The server ends it, sooner than the others' patience does.
        async with world.running(simple(), replica="same"):
            assert await world.conn.fetchval("select array_agg(replica) from reactor.replicas") == ["same"]
        assert stopped.is_closed()


async def test_a_name_is_free_again_when_its_process_has_drained_or_is_dead(world: World) -> None:
    for _ in range(2):
        async with world.running(simple(), replica="same"):
            assert await world.conn.fetchval("select replica from reactor.replicas") == "same"
    async with world.running(simple(), replica="same"):
        await world.conn.execute("update reactor.replicas set seen_at = seen_at - interval '1 hour'")
        async with world.running(simple(), replica="same"):
            assert await world.conn.fetchval("select array_agg(replica) from reactor.replicas") == ["same"]


async def test_a_replica_whose_name_was_taken_while_it_was_cut_off_drains(world: World) -> None:
    tenant = await world.tenant()
    app = simple()
    with capture_logs() as said:
        async with world.running(app, replica="same", lease_seconds=1):
            (replica,) = app.replicas
            await world.conn.execute('update reactor.replicas set info = info || \'{"process": "another"}\'')

            async def drains() -> bool:
                return replica.health.draining

            await until(drains)
            await world.emit(tenant, "work")
    assert [line["log_level"] for line in said if line["event"] == "replica_renamed"] == ["warning"]
    assert await world.count("reactor.events") == 1, "it claimed on under a name that is not its own"


async def test_a_replica_whose_name_was_taken_signs_off_nobody_else(world: World) -> None:
    """The other one sleeps by its bit, and leads in its term."""
    app = simple()
    async with world.running(app, replica="same", lease_seconds=1):
        await world.until("select leader = 'same' from reactor.leadership")
        await world.until("select last_value > 1 from reactor.doorbell")
        (replica,) = app.replicas
        await world.conn.execute(
            'update reactor.replicas set info = info || \'{"process": "another"}\', '
            "seen_at = now() + interval '1 hour'; "
            "update reactor.leadership set term = term + 1, expires_at = now() + interval '1 hour'"
        )
        led = await world.conn.fetchrow("select term, expires_at from reactor.leadership")

        async def drains() -> bool:
            return replica.health.draining

        await until(drains)
    assert await world.count("reactor.replicas where replica = 'same'") == 1
    assert await world.conn.fetchrow("select term, expires_at from reactor.leadership") == led
    assert await world.conn.fetchval("select last_value > 1 from reactor.doorbell")


async def test_a_process_whose_name_was_taken_does_not_lead_in_the_others_term(world: World) -> None:
    async with pool.connected(world.url) as connection:
        enlist = "select reactor.enlist('same', '1 minute', '1', jsonb_build_object('process', $1::text))"
        minute = timedelta(minutes=1)
        await connection.execute(enlist, "first")
        term = await calls.lead(connection, "same", minute, process="first")
        assert term is not None
        assert await calls.lead(connection, "same", minute, process="first") == term
        await connection.execute(enlist, "second")
        assert await calls.lead(connection, "same", minute, process="second") == term + 1
        assert await calls.lead(connection, "same", minute, process="first") is None
        # Nor when nobody leads: it has no name to lead under.
        await calls.resign(connection, term + 1)
        assert await calls.lead(connection, "same", minute, process="first") is None


async def test_the_health_of_a_renamed_replica_is_found_by_the_name_it_was_given(
    world: World, monkeypatch: Any
) -> None:
    monkeypatch.setenv("REACTOR_DATABASE_URL", world.url)
    monkeypatch.setenv("REACTOR_REPLICA", "same")
    async with world.running(simple(), replica="same"), world.running(simple(), replica="same"):
        await world.conn.execute(
            "update reactor.replicas set seen_at = now() - interval '1 hour' where replica = 'same'"
        )
        assert await health(via="database") == 0
