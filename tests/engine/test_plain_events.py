"""Most events are handled in a stretch; what is out of the ordinary about one is seen all the same."""

import asyncio
from collections import Counter
from typing import Any
from uuid import UUID

import pytest

from reactor import Context, Event, Reactor
from tests.engine.conftest import World, enter


async def test_a_handler_of_one_event_may_name_it_as_failed(world: World) -> None:
    app = Reactor()

    @app.on("item", max_attempts=1)
    async def item(event: Event[Any], ctx: Context) -> None:
        await enter(event, ctx, str(event.payload["n"]))
        if event.payload["n"] == 2:
            ctx.fail(event, ValueError("two is wrong"))

    await world.flood(await world.tenant(), "item", 3)
    await world.drain(app)
    # What it wrote stays, as in a batch: it said so itself, instead of raising.
    assert await world.notes() == ["1", "2", "3"]
    (dead,) = await world.dead()
    assert dead["reason"].endswith("two is wrong")


@pytest.mark.parametrize(
    ("column", "count", "reason"),
    [
        ("attempts", 3, "failed 3 times"),
        ("interruptions", 3, "interrupted 3 times"),
        ("depth", 17, "a chain of 17 events caused one another: a loop"),
    ],
)
async def test_one_between_others_that_may_not_be_tried_again_is_dead(
    world: World, column: str, count: int, reason: str
) -> None:
    app = Reactor()
    called: list[int] = []

    @app.on("item")
    async def item(event: Event[Any], ctx: Context) -> None:
        called.append(event.payload["n"])

    await world.flood(await world.tenant(), "item", 5)
    await world.conn.execute(
        f"update reactor.events set {column} = $1 where payload = '{{\"n\": 3}}'",
        count,
    )
    await world.drain(app, max_attempts=3, max_interruptions=3)
    assert sorted(called) == [1, 2, 4, 5]
    (dead,) = await world.dead()
    assert dead["payload"] == {"n": 3}
    assert dead["reason"].startswith(reason)


async def test_a_run_whose_lease_was_lost_calls_no_other_handler_though_this_one_would_not_end(
    world: World,
) -> None:
    app = Reactor()
    calls: list[tuple[int, UUID]] = []
    cancelled = asyncio.Event()

    @app.on("item")
    async def item(event: Event[Any], ctx: Context) -> None:
        calls.append((event.payload["n"], ctx.run_id))
        if len(calls) > 1:
            return
        await world.conn.execute("select reactor.break_lock($1, 'lost', true)", ctx.tenant_id)
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()

    await world.flood(await world.tenant(), "item", 3)
    async with world.running(app, lease_seconds=1):
        await world.until("select count(*) = 3 from reactor.history")
    assert cancelled.is_set()
    (_, first), *others = calls
    # The next holder of the lease handled all three.
    assert sorted(n for n, run in others) == [1, 2, 3]
    assert first not in {run for _, run in others}


async def test_one_of_many_quick_ones_that_cannot_be_committed_is_found_one_by_one(world: World) -> None:
    await world.conn.execute(
        "create table public.pairs (tenant_id uuid not null, n int primary key, "
        "other int references public.pairs deferrable initially deferred); "
        "select reactor.protect('public.pairs')"
    )
    app = Reactor()
    calls: Counter[int] = Counter()

    @app.on("item", max_attempts=1)
    async def item(event: Event[Any], ctx: Context) -> None:
        n = event.payload["n"]
        calls[n] += 1
        # Only this one writes: the others are so quick that a stretch has it among them.
        if n == 3:
            await ctx.db.execute("insert into public.pairs values ($1, 3, 4)", ctx.tenant_id)

    await world.flood(await world.tenant(), "item", 5)
    await world.drain(app)
    (dead,) = await world.dead()
    assert dead["payload"] == {"n": 3}
    assert "violates foreign key constraint" in dead["reason"]
    # All together once, then each by itself.
    assert calls == Counter({1: 2, 2: 2, 3: 2, 4: 2, 5: 2})
