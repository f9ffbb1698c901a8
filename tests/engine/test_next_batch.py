"""A run with a long backlog has the next batch in hand while the last one is being settled."""

import asyncio
from collections import Counter
from typing import Any

import asyncpg
import pytest

from reactor import Context, Event, Reactor
from reactor.db import calls
from reactor.engine import caller, settler
from reactor.errors import ScopeBroken
from tests.engine.conftest import World, enter

BATCH = 20


async def test_a_long_backlog_is_handled_once_and_in_order(world: World) -> None:
    app = Reactor()
    seen: list[int] = []

    @app.on("step")
    async def step(event: Event[Any], ctx: Context) -> None:
        seen.append(event.payload["n"])

    await world.flood(await world.tenant(), "step", 1_010)
    await world.drain(app, batch_size=BATCH)
    assert seen == list(range(1, 1_011))
    assert await world.count("reactor.history where outcome = 'handled'") == 1_010
    assert await world.count("public.agent_tenant_locks") == 0


async def test_a_batch_is_handled_while_the_one_before_is_settled(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The settlement that has events ahead waits, in the server's place, until one of those was handled."""
    monkeypatch.setattr(caller, "_LONGEST_SEGMENT", 60)  # on a machine that is slow just now, too
    app = Reactor()
    held: set[int] = set()
    sent, handled = asyncio.Event(), asyncio.Event()
    overlapped: list[bool] = []
    settle = calls.settle

    async def slow(connection: calls.Connection, settlement: calls.Settlement, **rest: Any) -> Any:
        if settlement.ahead and not sent.is_set():
            held.update(settlement.ahead)
            sent.set()
            await asyncio.wait_for(handled.wait(), 60)
            overlapped.append(True)
        return await settle(connection, settlement, **rest)

    @app.on("step")
    async def step(event: Event[Any], ctx: Context) -> None:
        # One batch was claimed, and two came with its settlement: what follows is ahead of the next one, and
        # must not be done before that is on its way.
        if event.payload["n"] > 2 * BATCH:
            await asyncio.wait_for(sent.wait(), 60)
        if event.id in held:
            handled.set()

    monkeypatch.setattr(calls, "settle", slow)
    await world.flood(await world.tenant(), "step", 10 * BATCH)
    await world.drain(app, batch_size=BATCH)
    assert overlapped == [True]
    assert await world.count("reactor.history") == 10 * BATCH


async def test_what_handlers_write_is_committed_in_order(world: World) -> None:
    """Most events write nothing, and are settled ahead; every seventh writes."""
    app = Reactor()

    @app.on("step")
    async def step(event: Event[Any], ctx: Context) -> None:
        n = event.payload["n"]
        if n % 7 == 0:
            done = await ctx.db.fetchval("select count(*) from public.ledger")
            await enter(event, ctx, f"{n} after {done}")

    tenant = await world.tenant()
    await world.flood(tenant, "step", 700)
    await world.drain(app, batch_size=BATCH)
    assert await world.notes(tenant) == [f"{n} after {n // 7 - 1}" for n in range(7, 701, 7)]
    assert await world.count("reactor.history") == 700


async def test_a_checkpoint_waits_for_the_settlement_of_what_came_before(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = Reactor()
    unsettled: list[int] = []
    settle = calls.settle

    async def slow(connection: calls.Connection, settlement: calls.Settlement, **rest: Any) -> Any:
        if settlement.ahead:
            # The server's place: every handler that does not wait for it is done meanwhile.
            await asyncio.sleep(0.05)
        return await settle(connection, settlement, **rest)

    @app.on("step")
    async def step(event: Event[Any], ctx: Context) -> None:
        if event.payload["n"] % BATCH == 3 and event.payload["n"] > BATCH:
            await enter(event, ctx)
            await ctx.checkpoint()
            before = "reactor.events where id <= $1"
            unsettled.append(await world.count(before, event.id - 3))

    monkeypatch.setattr(calls, "settle", slow)
    await world.flood(await world.tenant(), "step", 6 * BATCH)
    await world.drain(app, batch_size=BATCH)
    assert len(unsettled) == 5
    assert set(unsettled) == {0}
    assert await world.count("reactor.history") == 6 * BATCH


async def test_a_checkpoint_that_waited_while_its_handler_returned_commits_nothing_of_the_next(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A task that a handler left behind is in the middle of it when the settlement before it is over."""
    monkeypatch.setattr(caller, "_LONGEST_SEGMENT", 60)  # on a machine that is slow just now, too
    app = Reactor()
    sent, answer = asyncio.Event(), asyncio.Event()
    settle = calls.settle
    left: list[asyncio.Task[None]] = []
    refused: list[BaseException | None] = []

    async def held(connection: calls.Connection, settlement: calls.Settlement, **rest: Any) -> Any:
        if settlement.ahead and not sent.is_set():
            sent.set()
            await asyncio.wait_for(answer.wait(), 60)
        return await settle(connection, settlement, **rest)

    @app.on("step", max_attempts=1)
    async def step(event: Event[Any], ctx: Context) -> None:
        n = event.payload["n"]
        if n > 2 * BATCH:
            await asyncio.wait_for(sent.wait(), 60)
        if n == 2 * BATCH + 3:
            await enter(event, ctx, "returned too early")
            left.append(asyncio.create_task(ctx.checkpoint()))
            await asyncio.sleep(0)
        if n == 2 * BATCH + 4:
            await enter(event, ctx, "half done")
            answer.set()
            await asyncio.wait(left)
            refused.append(left[0].exception())
            assert await world.count("public.ledger") == 0, "committed before its handler was done"

    monkeypatch.setattr(calls, "settle", held)
    await world.flood(await world.tenant(), "step", 8 * BATCH)
    await world.drain(app, batch_size=BATCH)
    assert [type(error) for error in refused] == [ScopeBroken]
    # Whoever left it has failed, and nobody else.
    assert await world.notes() == ["half done"]
    assert "returned before ctx.checkpoint() had ended" in (await world.dead())[0]["reason"]
    assert await world.count("reactor.history where attempts = 0") >= 8 * BATCH - 1
    assert await world.count("reactor.dead_events") == 1


async def test_what_a_handler_holds_is_let_go_before_a_lease_is_given_back_that_can_acknowledge_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody removed an event by hand that was being settled, so the settlement is refused while the lease
    is ours; and the handler that came after it has locked its own run."""
    monkeypatch.setattr(caller, "_LONGEST_SEGMENT", 60)  # on a machine that is slow just now, too
    app = Reactor()
    sent, answer = asyncio.Event(), asyncio.Event()
    settle = calls.settle
    removed: list[int] = []

    async def held(connection: calls.Connection, settlement: calls.Settlement, **rest: Any) -> Any:
        if settlement.ahead and not sent.is_set():
            removed.append(settlement.done[0])
            sent.set()
            await asyncio.wait_for(answer.wait(), 60)
        return await settle(connection, settlement, **rest)

    @app.on("step")
    async def step(event: Event[Any], ctx: Context) -> None:
        if event.payload["n"] > 2 * BATCH and not answer.is_set():
            await asyncio.wait_for(sent.wait(), 60)
            await enter(event, ctx)
            await ctx.db.execute(
                "select from public.agent_autonomous_runs where id = $1 for update", ctx.run_id
            )
            await world.conn.execute("delete from reactor.events where id = $1", removed[0])
            answer.set()

    monkeypatch.setattr(calls, "settle", held)
    await world.flood(await world.tenant(), "step", 8 * BATCH)
    # With an hour's lease, waiting for its end would be too long.
    await world.drain(app, batch_size=BATCH, lease_seconds=3600)
    assert await world.notes() == []
    assert await world.count("reactor.history where attempts = 0") == 8 * BATCH - 1


async def test_an_urgent_event_overtakes_all_but_what_is_in_hand(world: World) -> None:
    """That is the list that is being handled and the one after it, of two batches each at most."""
    app = Reactor()
    seen: list[str] = []
    tenant = await world.tenant()

    @app.on("step")
    async def step(event: Event[Any], ctx: Context) -> None:
        seen.append("step")
        if len(seen) == 5 * BATCH:
            await world.emit(tenant, "urgent", priority=-1)

    @app.on("urgent")
    async def urgent(event: Event[Any], ctx: Context) -> None:
        seen.append("urgent")

    await world.flood(tenant, "step", 50 * BATCH)
    await world.drain(app, batch_size=BATCH)
    assert 5 * BATCH <= seen.index("urgent") <= 9 * BATCH


async def test_failures_among_them_are_retried_and_the_rest_is_done(world: World) -> None:
    app = Reactor()
    tries: Counter[int] = Counter()

    @app.on("step", max_attempts=2)
    async def step(event: Event[Any], ctx: Context) -> None:
        n = event.payload["n"]
        tries[n] += 1
        if n % 50 == 0:
            raise ValueError(f"{n} is round")

    await world.flood(await world.tenant(), "step", 500)
    async with world.running(app, batch_size=BATCH):
        await world.until("select count(*) = 0 from reactor.events", within=30)
    assert await world.count("reactor.history where outcome = 'handled'") == 490
    assert len(await world.dead()) == 10
    assert {n: t for n, t in tries.items() if t != 1} == dict.fromkeys(range(50, 501, 50), 2)


async def test_a_run_that_lost_its_lease_settles_neither_batch(world: World) -> None:
    """Another holder takes the tenant while a settlement waits and the next batch is in a handler."""
    app = Reactor()
    tenant = await world.tenant()
    effects: Counter[int] = Counter()
    stolen = False

    @app.on("step")
    async def step(event: Event[Any], ctx: Context) -> None:
        nonlocal stolen
        effects[event.id] += 1
        if len(effects) == 5 * BATCH + 3 and not stolen:
            stolen = True
            await world.conn.execute("delete from public.agent_tenant_locks where tenant_id = $1", tenant)
        if event.payload["n"] % 10 == 0:
            await enter(event, ctx)

    await world.flood(tenant, "step", 10 * BATCH)
    async with world.running(app, batch_size=BATCH):
        await world.until("select count(*) = 0 from reactor.events", within=30)
    assert stolen
    twice = await world.conn.fetch("select event_id from public.ledger group by 1 having count(*) > 1")
    assert twice == []
    assert await world.count("public.ledger") == BATCH
    assert await world.count("reactor.history") == 10 * BATCH
    assert all(times <= 2 for times in effects.values())


async def test_what_a_run_has_in_hand_stays_noted(world: World) -> None:
    """The SQL by itself: kept events stay in flight, are not returned again, and rescue marks them all."""
    tenant = await world.tenant()
    await world.flood(tenant, "step", 6)
    claim = "select * from reactor.claim('r', 1, 4, '30 seconds', null, '{}')"
    rows: list[asyncpg.Record] = await world.conn.fetch(claim)
    run, ids = rows[0]["run_id"], [row["id"] for row in rows]
    settle = (
        "select * from reactor.settle(array[$1::uuid], array[$2::uuid], '{true}', $3, null, null, $4, "
        "'30 seconds', '{}', null, $5)"
    )
    came = await world.conn.fetch(settle, tenant, run, ids[:2], 1, ids[2:])
    assert [row["id"] for row in came] == [ids[3] + 1]
    noted = "select array(select unnest(ids) order by 1) from reactor.in_flight where run_id = $1"
    assert await world.conn.fetchval(noted, run) == [*ids[2:], ids[3] + 1]

    # Nothing more to bring: the run goes on with what it has in hand, and ends with it.
    came = await world.conn.fetch(settle, tenant, run, [ids[3] + 1], 4, [*ids[2:], ids[3] + 2])
    assert came == []
    assert await world.conn.fetchval(noted, run) == ids[2:]
    assert await world.count("public.agent_tenant_locks") == 1

    await world.conn.execute(
        "update public.agent_tenant_locks set expires_at = now() - interval '1 second' where run_id = $1", run
    )
    await world.conn.fetch("select * from reactor.rescue()")
    marks = await world.conn.fetch("select id, interruptions from reactor.events order by id")
    assert [tuple(row) for row in marks] == [(ids[2], 1), (ids[3], 1), (ids[3] + 2, 0)]


async def test_what_one_settling_task_leaves_the_other_takes(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when it came in one go, and nothing follows that would wake the other."""
    app = Reactor()
    settle = calls.settle
    both = asyncio.Event()
    at_work: list[int] = []
    alone: list[int] = []

    @app.on("step")
    async def step(event: Event[Any], ctx: Context) -> None:
        pass

    async def together(connection: Any, settlement: calls.Settlement, **rest: Any) -> Any:
        at_work.append(len(settlement.runs))
        if len(at_work) == 2:
            both.set()
        try:
            await asyncio.wait_for(both.wait(), 5)
        except TimeoutError:
            alone.append(at_work[-1])
            both.set()
        return await settle(connection, settlement, **rest)

    monkeypatch.setattr(calls, "settle", together)
    monkeypatch.setattr(settler, "_GROUP", 2)
    for _ in range(6):
        await world.emit(await world.tenant(), "step")
    await world.drain(app)
    assert alone == []
    assert await world.count("reactor.history") == 6


async def test_a_batch_that_its_handler_takes_apart_is_acknowledged_all_the_same(world: World) -> None:
    app = Reactor()
    seen: list[int] = []

    @app.on("step", batch=4)
    async def step(events: list[Event[Any]], ctx: Context) -> None:
        while events:
            seen.append(events.pop().id)

    await world.flood(await world.tenant(), "step", 8)
    async with world.running(app):
        await world.until("select count(*) = 8 from reactor.history")
    assert len(seen) == len(set(seen)) == 8
