"""A replica that was retired because it was silent comes back and is rung again; so is its successor."""

import asyncio
from datetime import timedelta
from uuid import UUID

import pytest

from reactor import Context, Event, Reactor, testing
from reactor.db import calls, pool
from tests.patience import patience


async def test_a_retired_replica_enlists_again_and_hears_the_bell(
    conn: pool.Connection, database_url: str
) -> None:
    tenant: UUID = await conn.fetchval(
        "insert into tenants (name, agent_enabled) values ('t', true) returning id"
    )
    app = Reactor()
    handled = asyncio.Event()

    @app.on("x")
    async def handle(event: Event, ctx: Context) -> None:
        handled.set()

    async def armed() -> bool:
        return bool(await conn.fetchval("select last_value > 1 from reactor.doorbell"))

    async with testing.running(app, database_url, lease_seconds=1, poll_seconds=600), patience(20):
        while not await armed():
            await asyncio.sleep(0.01)
        await conn.execute("select reactor.retire(replica) from reactor.replicas")
        while not await conn.fetchval("select exists (select from reactor.replicas)"):
            await asyncio.sleep(0.01)
        while not await armed():
            await asyncio.sleep(0.01)
        await conn.fetchval("select reactor.emit($1, 'x')", tenant)
        await handled.wait()


async def test_the_bell_still_rings_for_the_successor_when_a_dead_replica_is_retired(
    conn: pool.Connection,
) -> None:
    """The successor took the slot, and sleeps by its bit, before the leader had noticed the death."""
    enlist = "select reactor.enlist($1, '45 seconds', '1', '{}')"
    slot = await conn.fetchval(enlist, "dead")
    await conn.execute("update reactor.replicas set seen_at = now() - interval '46 seconds'")
    assert await conn.fetchval(enlist, "successor") == slot
    await conn.execute("select reactor.arm($1, true)", slot)
    await conn.execute("select reactor.retire('dead')")
    assert await conn.fetchval("select last_value from reactor.doorbell") == 1 + 2**slot
    # If it was not dead after all, it enlists again, with a bit of its own.
    assert [row["replica"] for row in await conn.fetch("select replica from reactor.replicas")] == [
        "successor"
    ]
    assert await conn.fetchval(enlist, "dead") != slot


async def test_a_replica_that_is_enlisted_anew_while_it_arms_arms_its_new_bit(
    conn: pool.Connection, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    arm = calls.arm
    moved = asyncio.Event()

    async def late(connection: calls.Connection, slot: int, *, armed: bool, process: str) -> None:
        if armed and not moved.is_set():
            moved.set()
            await conn.execute("select reactor.retire(replica) from reactor.replicas")
            await conn.execute("select reactor.enlist('other', '1 hour', '1', '{}')")
            while not await conn.fetchval("select count(*) = 2 from reactor.replicas"):
                await asyncio.sleep(0.01)
        await arm(connection, slot, armed=armed, process=process)

    monkeypatch.setattr(calls, "arm", late)
    async with testing.running(Reactor(), database_url, lease_seconds=1, poll_seconds=600), patience(20):
        await moved.wait()
        while not await conn.fetchval(
            "select d.last_value & (1::bigint << r.slot) > 0 "
            "from reactor.doorbell d, reactor.replicas r where r.replica <> 'other'"
        ):
            await asyncio.sleep(0.01)


async def test_a_replica_that_was_stopped_for_long_leaves_the_bit_to_whoever_has_it_now(
    conn: pool.Connection,
) -> None:
    """It goes on where it was stopped, which may be just before it clears its bit; it enlists anew later."""
    enlist = "select reactor.enlist($1, '45 seconds', '1', jsonb_build_object('process', $1::text))"
    slot = await conn.fetchval(enlist, "stopped")
    await conn.execute("update reactor.replicas set seen_at = now() - interval '46 seconds'")
    assert await conn.fetchval(enlist, "successor") == slot
    bell = "select last_value from reactor.doorbell"
    await calls.arm(conn, slot, armed=True, process="successor")
    await calls.arm(conn, slot, armed=False, process="stopped")
    assert await conn.fetchval(bell) == 1 + 2**slot, "its successor sleeps, and nobody would ring"
    await calls.arm(conn, slot, armed=False, process="successor")
    await calls.arm(conn, slot, armed=True, process="stopped")
    assert await conn.fetchval(bell) == 1, "its successor works, and writers would ring for nobody"
    await conn.execute("delete from reactor.replicas where replica = 'successor'")
    await calls.arm(conn, slot, armed=True, process="stopped")
    assert await conn.fetchval(bell) == 1 + 2**slot


async def test_no_bit_stays_set_that_is_nobodys(conn: pool.Connection) -> None:
    """Writers would notify for ever, at each commit, for a replica that will not come."""
    bell = "select last_value from reactor.doorbell"

    async def enlist(name: str) -> int:
        slot = await calls.enlist(conn, name, patience=timedelta(seconds=45), version="1", info={"types": []})
        await calls.arm(conn, slot, armed=True)
        return slot

    async def silent(seconds: int) -> None:
        await conn.execute(
            "update reactor.replicas set seen_at = seen_at - make_interval(secs => $1)", float(seconds)
        )

    async def clean() -> int:
        term = await calls.lead(conn, "leader", timedelta(hours=1))
        await conn.execute("select reactor.clean_fleet($1)", term)
        return await conn.fetchval(bell)

    # A day without the reactor: whoever starts then removes the rows of the dead.
    assert [await enlist(name) for name in ("one", "two", "three")] == [1, 2, 3]
    await silent(2 * 86400)
    assert await enlist("four") == 1
    assert await clean() == 1 + 2**1
    # A process that was killed, and whose successor of the same name has another slot.
    assert await enlist("five") == 2
    await silent(60)
    assert await enlist("five") == 1
    assert await clean() == 1 + 2**1
    # More replicas than there are bits: the last of these takes theirs with it.
    await conn.execute("delete from reactor.replicas")
    assert [await enlist(f"r{n}") for n in range(63)] == [*range(1, 62), 62, 62]
    await calls.retire(conn, "r62")
    assert await clean() == 2**63 - 1
    await calls.retire(conn, "r61")
    assert await clean() == 2**62 - 1
