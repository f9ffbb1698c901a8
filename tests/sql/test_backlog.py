"""reactor.backlog(): what waits, for what and for how long; and what of that ``reactor status`` says, too."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from reactor.db import calls, operations, pool
from reactor.db.operations import Chosen
from reactor.testing import DatabaseClock

STATES = ("ready", "in_flight", "delayed", "parked", "dead")
_DIE = """
    with gone as (delete from reactor.events where id = $1 returning *)
    insert into reactor.dead_events (id, event_id, tenant_id, event_type, payload, priority, attempts,
        interruptions, created_at, died_at, reason)
    select id, event_id, tenant_id, event_type, payload, priority, 1, 0, created_at, reactor.now(), 'no money'
    from gone
"""


async def tenant(conn: pool.Connection, *, enabled: bool = True) -> UUID:
    return await conn.fetchval(
        "insert into public.tenants (name, agent_enabled) values ('Acme', $1) returning id", enabled
    )


async def emit(conn: pool.Connection, to: UUID, **options: Any) -> int:
    named = "".join(f", {name} => ${n}" for n, name in enumerate(options, start=2))
    return await conn.fetchval(f"select reactor.emit($1, 'work'{named})", to, *options.values())


async def measured(conn: pool.Connection, *most: int) -> asyncpg.Record:
    places = ", ".join(f"${n}" for n, _ in enumerate(most, start=1))
    row = await conn.fetchrow(f"select * from reactor.backlog({places})", *most)
    assert row is not None
    return row


async def oldest(conn: pool.Connection) -> float | None:
    """As it is measured, and as `reactor status` has it."""
    found = (await measured(conn))["oldest_seconds"]
    shown = (await operations.status(conn))["events"]["oldest_seconds"]
    assert shown == (None if found is None else pytest.approx(found, abs=1))
    return found


async def claim(conn: pool.Connection, *gated: str, batch: int = 2) -> list[asyncpg.Record]:
    found = await calls.claim(
        conn,
        replica="test",
        tenants=1,
        batch=batch,
        lease=timedelta(minutes=5),
        after=None,
        gated=list(gated),
        peers=None,
    )
    return found.rows


async def test_an_empty_outbox_has_no_oldest_event(rolled_back: pool.Connection) -> None:
    assert dict(await measured(rolled_back)) == dict.fromkeys(STATES, 0) | {
        "oldest_seconds": None,
        "tenants_waiting": 0,
    }


async def test_it_says_what_status_says_by_the_same_names(rolled_back: pool.Connection) -> None:
    conn = rolled_back
    await DatabaseClock(conn).stop()
    held, waits, other = [await tenant(conn) for _ in range(3)]
    for _ in range(5):
        await emit(conn, held)
    assert len(await claim(conn)) == 2
    for each in (waits, waits, other):
        await emit(conn, each)
    await emit(conn, other, delay=timedelta(hours=1))
    await conn.execute(
        "update reactor.events set available_at = 'infinity' where id = $1", await emit(conn, other)
    )
    await conn.execute(_DIE, await emit(conn, other))
    found, shown = await measured(conn), await operations.status(conn)
    assert [found[state] for state in STATES] == [6, 2, 1, 1, 1]
    assert {state: found[state] for state in STATES} == {state: shown["events"][state] for state in STATES}
    assert found["tenants_waiting"] == shown["tenants"]["waiting"] == 2
    await oldest(conn)


async def test_a_delayed_event_is_as_old_as_it_is_due_and_not_as_it_is(rolled_back: pool.Connection) -> None:
    clock = DatabaseClock(rolled_back)
    await clock.stop()
    await emit(rolled_back, await tenant(rolled_back), delay=timedelta(hours=1))
    await clock.advance(timedelta(minutes=59))
    assert await oldest(rolled_back) is None
    # The leader is five minutes late, which is a part of the wait.
    await clock.advance(timedelta(minutes=6))
    term = await calls.lead(rolled_back, "test", timedelta(minutes=5))
    assert term is not None
    assert (await calls.sweep(rolled_back, term, 1000)).events == 1
    assert await oldest(rolled_back) == pytest.approx(300, abs=1)


async def test_an_event_of_a_stopped_tenant_is_not_old_and_begins_anew_when_it_may_go_on(
    rolled_back: pool.Connection,
) -> None:
    clock = DatabaseClock(rolled_back)
    await clock.stop()
    stopped = await tenant(rolled_back, enabled=False)
    await emit(rolled_back, stopped)
    # Until a claim meets it, it is ready as any other.
    assert (await measured(rolled_back))["ready"] == 1
    assert await claim(rolled_back, "work") == []
    await clock.advance(timedelta(days=2))
    found = await measured(rolled_back)
    assert (found["ready"], found["parked"], found["oldest_seconds"], found["tenants_waiting"]) == (
        0,
        1,
        None,
        0,
    )
    await operations.set_kill_switch(rolled_back, on=False)
    await operations.set_tenant_enabled(rolled_back, [stopped], enabled=True)
    assert await calls.unpark(rolled_back, 10) == 1
    await clock.advance(timedelta(seconds=7))
    assert await oldest(rolled_back) == pytest.approx(7, abs=1)


async def test_a_dead_event_that_is_put_back_is_not_as_old_as_it_is(rolled_back: pool.Connection) -> None:
    clock = DatabaseClock(rolled_back)
    await clock.stop()
    event = await emit(rolled_back, await tenant(rolled_back))
    await clock.advance(timedelta(days=1))
    await rolled_back.execute(_DIE, event)
    assert await operations.replay(rolled_back, Chosen(ids=[event]), 1) == [event]
    await clock.advance(timedelta(seconds=7))
    assert await oldest(rolled_back) == pytest.approx(7, abs=1)


async def test_events_of_a_tenant_that_the_application_holds_wait_and_no_replica_would_help(
    rolled_back: pool.Connection,
) -> None:
    clock = DatabaseClock(rolled_back)
    held = await tenant(rolled_back)
    await emit(rolled_back, held)
    await rolled_back.fetchval("select public.acquire_tenant_lock($1, 'the nightly import', 60)", held)
    await clock.advance(timedelta(minutes=10))
    found = await measured(rolled_back)
    assert (found["ready"], found["in_flight"], found["tenants_waiting"]) == (1, 0, 0)
    assert await oldest(rolled_back) == pytest.approx(600, abs=60)


async def fill(conn: pool.Connection, count: int, available_at: str) -> None:
    """Events of one state, of ten tenants, as long as the ids of the table are mixed by those that follow."""
    await conn.execute(
        "insert into reactor.events (tenant_id, event_type, available_at) "
        f"select t.id, 'work', {available_at} from generate_series(1, {count // 10}) n, public.tenants t"
    )


@pytest.mark.parametrize("is_counted", [True, False], ids=["", "after a crash of the server"])
async def test_more_than_are_counted_are_estimated(conn: pool.Connection, is_counted: bool) -> None:
    for _ in range(10):
        await tenant(conn)
    for _ in range(20):
        await fill(conn, 300, "null")
        await fill(conn, 200, "'infinity'")
        await fill(conn, 100, "clock_timestamp() + interval '1 hour'")
    await conn.execute("select pg_stat_force_next_flush()")
    if not is_counted:
        await conn.execute("select pg_stat_reset_single_table_counters('reactor.events'::regclass)")
    found = await measured(conn, 100)
    assert found["ready"] == pytest.approx(6000, rel=0.02)
    assert found["parked"] == pytest.approx(4000, rel=0.02)
    assert found["delayed"] == pytest.approx(2000, rel=0.02)
    # One of them, and then the server's count is enough.
    await conn.execute("delete from reactor.events where available_at is not null")
    await conn.execute("select pg_stat_force_next_flush()")
    assert (await measured(conn, 1000))["ready"] == 6000
    assert (await measured(conn, 6000))["ready"] == 6000
    # With more groups than are looked at none is counted.
    found = await measured(conn, 100, 5)
    assert (found["ready"], found["tenants_waiting"]) == (6000, 5)


async def test_the_oldest_is_found_behind_more_than_are_counted(rolled_back: pool.Connection) -> None:
    clock = DatabaseClock(rolled_back)
    for _ in range(10):
        await tenant(rolled_back)
    last = await rolled_back.fetchval("select max(id::text)::uuid from public.tenants")
    await emit(rolled_back, last, priority=9)
    await clock.advance(timedelta(hours=1))
    await rolled_back.execute("update reactor.events set created_at = created_at - interval '1 hour'")
    await fill(rolled_back, 5000, "null")
    found = await measured(rolled_back, 100)
    assert found["oldest_seconds"] > 7100
    assert found["tenants_waiting"] == 10


async def test_a_replicas_role_may_measure_and_a_handlers_may_not(rolled_back: pool.Connection) -> None:
    await rolled_back.execute("set local role reactor")
    assert (await measured(rolled_back))["ready"] == 0
    await rolled_back.execute("reset role; set local role reactor_handler")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await measured(rolled_back)
