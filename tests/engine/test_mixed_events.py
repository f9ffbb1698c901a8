"""Events of which some do anything, between plain ones, in any mixture: each is handled once, or dead.

What is drawn, is drawn from a seed, so that a failure can be had again.
"""

import asyncio
import contextlib
import random
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import asyncpg
import pytest
from pydantic import BaseModel

from reactor import Context, Discard, Event, Reactor, Retry
from tests.engine.conftest import World, enter

PAIRS = """
    create table public.pairs (
        tenant_id uuid not null,
        n bigint primary key,
        other bigint references public.pairs deferrable initially deferred
    );
    select reactor.protect('public.pairs');
"""

Deed = Callable[["Day", Event[Any], Context], Awaitable[None]]


class Task(BaseModel):
    do: str


@dataclass
class Day:
    """What the handlers of one test share."""

    outside: "asyncpg.Pool[asyncpg.Record]"
    tries: Counter[int] = field(default_factory=Counter)

    def is_first_try(self, event: Event[Any]) -> bool:
        return self.tries[event.id] == 1


async def effect(event: Event[Any], ctx: Context) -> None:
    await enter(event, ctx, "effect")


async def nothing(_day: Day, _event: Event[Any], _ctx: Context) -> None:
    """As most do that are settled together."""


async def write(_day: Day, event: Event[Any], ctx: Context) -> None:
    await effect(event, ctx)


async def fail(_day: Day, event: Event[Any], ctx: Context) -> None:
    await effect(event, ctx)
    raise ValueError("always")


async def fail_once(day: Day, event: Event[Any], ctx: Context) -> None:
    await effect(event, ctx)
    if day.is_first_try(event):
        raise ValueError("once")


async def come_later(day: Day, event: Event[Any], ctx: Context) -> None:
    await effect(event, ctx)
    if day.is_first_try(event):
        raise Retry(timedelta(seconds=0.05), counts=False)


async def discard(_day: Day, event: Event[Any], ctx: Context) -> None:
    await effect(event, ctx)
    raise Discard("no")


async def checkpoint(day: Day, event: Event[Any], ctx: Context) -> None:
    await enter(event, ctx, "intent")
    await ctx.checkpoint()
    await effect(event, ctx)
    if day.is_first_try(event):
        raise ValueError("after the checkpoint")


async def emit(day: Day, event: Event[Any], ctx: Context) -> None:
    await ctx.emit("plain", {"do": "write"})
    await effect(event, ctx)
    if day.is_first_try(event):
        raise ValueError("after it emitted")


async def swallow(day: Day, event: Event[Any], ctx: Context) -> None:
    await effect(event, ctx)
    if day.is_first_try(event):
        with contextlib.suppress(asyncpg.PostgresError):
            await ctx.db.execute("select 1 / 0")


async def break_at_commit(day: Day, event: Event[Any], ctx: Context) -> None:
    await effect(event, ctx)
    if day.is_first_try(event):
        await ctx.db.execute("insert into public.pairs values ($1, $2, -1)", ctx.tenant_id, event.id)


async def lose_its_session(day: Day, event: Event[Any], ctx: Context) -> None:
    await effect(event, ctx)
    if day.is_first_try(event):
        pid = await ctx.db.fetchval("select pg_backend_pid()")
        await day.outside.execute("select pg_terminate_backend($1)", pid)


async def lose_its_lease(day: Day, event: Event[Any], ctx: Context) -> None:
    await effect(event, ctx)
    if day.is_first_try(event):
        await day.outside.execute("select reactor.break_lock($1, 'lost', true)", ctx.tenant_id)


async def lose_its_lease_unseen(day: Day, event: Event[Any], ctx: Context) -> None:
    if day.is_first_try(event):
        await day.outside.execute("select reactor.break_lock($1, 'lost', true)", ctx.tenant_id)
    await effect(event, ctx)


async def undo_a_part(_day: Day, event: Event[Any], ctx: Context) -> None:
    with contextlib.suppress(ValueError):
        async with ctx.db.transaction():
            await enter(event, ctx, "undone")
            raise ValueError("a part")
    await effect(event, ctx)


async def take_too_long(day: Day, event: Event[Any], ctx: Context) -> None:
    await effect(event, ctx)
    if day.is_first_try(event):
        await asyncio.sleep(60)


async def cancel(day: Day, event: Event[Any], ctx: Context) -> None:
    await effect(event, ctx)
    if day.is_first_try(event):
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(60)


async def leave_a_block_open(day: Day, event: Event[Any], ctx: Context) -> None:
    await effect(event, ctx)
    if day.is_first_try(event):
        await ctx.db.transaction().__aenter__()


async def leave_something_running(day: Day, event: Event[Any], ctx: Context) -> None:
    await effect(event, ctx)
    if day.is_first_try(event):
        left = asyncio.create_task(ctx.db.execute("select pg_sleep(0.05)"))
        left.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
        await asyncio.sleep(0)


ODD: tuple[Deed, ...] = (
    fail,
    fail_once,
    come_later,
    discard,
    checkpoint,
    emit,
    swallow,
    break_at_commit,
    lose_its_session,
    lose_its_lease,
    lose_its_lease_unseen,
    undo_a_part,
    take_too_long,
    cancel,
    leave_a_block_open,
    leave_something_running,
)
DEEDS: dict[str, Deed] = {deed.__name__: deed for deed in (nothing, write, *ODD)}
#: Of these none is acknowledged.
NEVER = {"fail", "discard"}


def application(day: Day, *, layered: bool) -> Reactor:
    app = Reactor()
    timeout, max_attempts = "700ms", 4

    async def do(name: str, event: Event[Any], ctx: Context) -> None:
        day.tries[event.id] += 1
        await DEEDS[name](day, event, ctx)

    @app.on("plain", timeout=timeout, max_attempts=max_attempts)
    async def plain(event: Event[Any], ctx: Context) -> None:
        await do(event.payload["do"], event, ctx)

    @app.on("capped", concurrency=1, timeout=timeout, max_attempts=max_attempts)
    async def capped(event: Event[Any], ctx: Context) -> None:
        await do(event.payload["do"], event, ctx)

    @app.on("modelled", model=Task, timeout=timeout, max_attempts=max_attempts)
    async def modelled(event: Event[Task], ctx: Context) -> None:
        await do(event.payload.do, event, ctx)

    @app.on("batch", batch=4, timeout=timeout, max_attempts=max_attempts)
    async def batch(events: Sequence[Event[Any]], ctx: Context) -> None:
        for event in events:
            await do(event.payload["do"], event, ctx)

    @app.on("twofold", timeout=timeout, max_attempts=max_attempts)
    async def first(event: Event[Any], ctx: Context) -> None:
        await do(event.payload["do"], event, ctx)

    @app.on("twofold", timeout=timeout, max_attempts=max_attempts)
    async def second(event: Event[Any], ctx: Context) -> None:
        await enter(event, ctx, "second")

    if layered:

        @app.middleware
        async def layer(_events: Any, _ctx: Context, call_next: Callable[[], Awaitable[None]]) -> None:
            await call_next()

    return app


@pytest.fixture
async def day(world: World) -> AsyncIterator[Day]:
    await world.conn.execute(PAIRS)
    async with asyncpg.create_pool(world.url, min_size=1, max_size=2) as outside:
        yield Day(outside)


@pytest.mark.parametrize("seed", range(5))
async def test_whatever_its_neighbours_do_each_event_is_handled_once_or_dead(
    world: World, day: Day, seed: int
) -> None:
    draw = random.Random(seed)
    kinds = draw.choice(
        [["plain"], ["plain", "capped", "modelled"], ["plain", "batch"], ["plain", "batch", "twofold"]]
    )
    odd = [deed.__name__ for deed in draw.sample(ODD, 6)]
    common = ["nothing"] * draw.choice([10, 60]) + ["write"] * draw.choice([1, 20])
    tenants = [await world.tenant() for _ in range(draw.choice([1, 3]))]
    asked: dict[int, tuple[str, str]] = {}

    async def flood(count: int) -> None:
        for _ in range(count):
            kind, deed = draw.choice(kinds), draw.choice([*common, *odd])
            if kind == "batch" and deed == "checkpoint":
                deed = "write"  # it would keep what was written for the others of its batch as well
            priority = draw.choice([0, 0, 0, 1])
            made = await world.emit(draw.choice(tenants), kind, {"do": deed}, priority=priority)
            asked[made] = (kind, deed)

    await flood(80)
    settings = {"batch_size": draw.choice([2, 5, 200]), "concurrency": draw.choice([1, 4])}
    app = application(day, layered=draw.random() < 0.25)
    async with world.running(app, **settings), contextlib.AsyncExitStack() as others:
        if draw.random() < 0.5:
            await others.enter_async_context(world.running(app, **settings))
        await flood(20)
        await world.until(
            "select not exists (select from reactor.events) "
            "and not exists (select from public.agent_tenant_locks)",
            within=60,
        )

    outcomes = {
        row["id"]: row["outcome"] for row in await world.conn.fetch("select id, outcome from reactor.history")
    }
    dead = {row["id"] for row in await world.dead()}
    written: dict[int, Counter[str]] = defaultdict(Counter)
    for row in await world.conn.fetch("select event_id, note from public.ledger"):
        written[row["event_id"]][row["note"]] += 1
    caused = Counter(
        row["cause_id"]
        for row in await world.conn.fetch("select cause_id from reactor.history where event_type = 'plain'")
    )
    assert asked.keys() <= outcomes.keys() | dead
    assert not outcomes.keys() & dead
    for made, (kind, deed) in asked.items():
        told = f"seed {seed}: event {made}, {kind}, {deed}: {dict(written[made])}"
        is_handled = outcomes.get(made) == "handled"
        assert is_handled == (deed not in NEVER), told
        assert (made in dead) == (deed == "fail"), told
        assert written[made]["effect"] == (is_handled and deed != "nothing"), told
        assert written[made]["undone"] == 0, told
        assert written[made]["second"] == (is_handled and kind == "twofold"), told
        assert caused[made] == (deed == "emit"), told
