"""What a handler asks for without awaiting it is never done, so its event is not acknowledged."""

import asyncio
import contextlib
import gc
from collections.abc import Awaitable, Callable, Iterator
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from reactor import Context, Event, JobContext, Reactor
from tests.engine.conftest import World, enter

pytestmark = pytest.mark.filterwarnings("ignore:coroutine .* was never awaited")

Call = Callable[[Context], Any]
NOBODY = UUID(int=1)

#: Kept, so that nothing of it is collected while it is at work.
LEFT: list[asyncio.Future[Any]] = []


@pytest.fixture(autouse=True)
def warned_of_here() -> Iterator[None]:
    """Python warns of such a coroutine when it is collected, which may be in another test."""
    yield
    gc.collect()


FORGOTTEN: dict[str, tuple[str, Call]] = {
    "execute": ("ctx.db.execute()", lambda ctx: ctx.db.execute("insert into public.nowhere values (1)")),
    "executemany": ("ctx.db.executemany()", lambda ctx: ctx.db.executemany("select $1::int", [(1,)])),
    "fetchval": ("ctx.db.fetchval()", lambda ctx: ctx.db.fetchval("select public.pay()")),
    "emit": ("ctx.emit()", lambda ctx: ctx.emit("never")),
    "checkpoint": ("ctx.checkpoint()", lambda ctx: ctx.checkpoint()),
    "task": ("ctx.db.fetchrow()", lambda ctx: asyncio.create_task(ctx.db.fetchrow("select 1"))),
}


async def test_a_handler_that_does_not_await_what_it_asked_for_has_failed(world: World) -> None:
    app = Reactor()
    tenant = await world.tenant()

    def register(kind: str, call: Call) -> None:
        @app.on(kind, max_attempts=1, name=kind)
        async def forgetful(event: Event[Any], ctx: Context) -> None:
            await enter(event, ctx)
            call(ctx)

    for kind, (_, call) in FORGOTTEN.items():
        register(kind, call)
        await world.emit(tenant, kind)
    await world.drain(app)

    assert await world.notes() == []
    dead = {row["event_type"]: row["reason"] for row in await world.dead()}
    assert dead.keys() == FORGOTTEN.keys()
    for kind, (called, _) in FORGOTTEN.items():
        assert f"{kind} did not await {called}" in dead[kind]


@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited")
async def test_so_has_one_of_a_batch_or_behind_a_middleware(world: World) -> None:
    app = Reactor()

    @app.middleware
    async def layer(events: Any, ctx: Context, call_next: Callable[[], Awaitable[None]]) -> None:
        await call_next()
        if events[0].type == "layered":
            ctx.emit("never")

    @app.on("layered", max_attempts=1)
    async def layered(event: Event[Any], ctx: Context) -> None:
        await enter(event, ctx)

    @app.on("batch", batch=10, max_attempts=1)
    async def batch(events: list[Event[Any]], ctx: Context) -> None:
        for event in events:
            await enter(event, ctx)
        if len(events) > 1 or events[0].payload["n"] == 1:
            ctx.emit("never")

    tenant = await world.tenant()
    await world.emit(tenant, "layered")
    for n in range(3):
        await world.emit(tenant, "batch", {"n": n})
    await world.drain(app)

    # A batch that failed is done again one by one.
    assert await world.notes() == ["batch", "batch"]
    assert sorted(row["event_type"] for row in await world.dead()) == ["batch", "layered"]


async def emits_in_a_task(_event: Event[Any], ctx: Context) -> None:
    task = asyncio.create_task(ctx.emit("never"))
    await asyncio.sleep(0)
    LEFT.append(task)


async def gathers(event: Event[Any], ctx: Context) -> None:
    await enter(event, ctx)
    LEFT.append(asyncio.gather(ctx.emit("never"), ctx.emit("never")))
    await asyncio.sleep(0)


async def leaves_what_timed_out(_event: Event[Any], ctx: Context) -> None:
    task = asyncio.create_task(ctx.db.execute("select pg_sleep(1)"))
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(asyncio.shield(task), 0.01)
    LEFT.append(task)


async def leaves_a_block(event: Event[Any], ctx: Context) -> None:
    async def block() -> None:
        async with ctx.db.transaction():
            await enter(event, ctx)

    LEFT.append(asyncio.create_task(block()))
    await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("leave", "called"),
    [
        (emits_in_a_task, "ctx.emit()"),
        (gathers, "ctx.emit()"),
        (leaves_what_timed_out, "ctx.db.execute()"),
        (leaves_a_block, "ctx.db.transaction()"),
    ],
    ids=lambda each: getattr(each, "__name__", ""),
)
async def test_a_handler_that_returns_before_something_of_its_own_has_ended_has_failed(
    world: World, leave: Callable[[Event[Any], Context], Awaitable[None]], called: str
) -> None:
    """What is left can be carried out no more, and nobody would do it again."""
    app = Reactor()

    @app.on("work", max_attempts=1, name="hasty")
    async def hasty(event: Event[Any], ctx: Context) -> None:
        await leave(event, ctx)

    for _ in range(2):
        await world.emit(await world.tenant(), "work")
    await world.drain(app)
    assert await world.notes() == []
    reasons = [row["reason"] for row in await world.dead()]
    assert len(reasons) == 2
    assert all(f"hasty returned before {called} had ended" in reason for reason in reasons)
    await asyncio.gather(*LEFT, return_exceptions=True)
    LEFT.clear()


async def test_a_middleware_that_returns_while_the_handler_is_at_work_has_failed(world: World) -> None:
    app = Reactor()

    @app.middleware
    async def impatient(events: Any, ctx: Context, call_next: Callable[[], Awaitable[None]]) -> None:
        task = asyncio.ensure_future(call_next())
        await asyncio.wait([task], timeout=0.01)
        LEFT.append(task)

    @app.on("work", max_attempts=1)
    async def work(event: Event[Any], ctx: Context) -> None:
        await asyncio.sleep(0.1)
        await enter(event, ctx)

    await world.emit(await world.tenant(), "work")
    await world.drain(app)
    assert await world.notes() == []
    (dead,) = await world.dead()
    assert "a middleware returned before call_next() had ended" in dead["reason"]
    await asyncio.gather(*LEFT, return_exceptions=True)
    LEFT.clear()


async def test_what_was_begun_or_given_up_is_no_mistake(world: World) -> None:
    app = Reactor()

    @app.on("sound", max_attempts=1)
    async def sound(event: Event[Any], ctx: Context) -> None:
        # More of them at once than are looked through one by one, and awaited only later.
        several = [ctx.emit("heard", {"n": n}) for n in range(100)]
        later = ctx.db.fetchval("select 1")
        for one in several:
            await one
        assert await later == 1
        given_up = asyncio.create_task(ctx.db.execute("insert into public.nowhere values (1)"))
        given_up.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await given_up
        closed = ctx.emit("never")
        closed.close()
        await enter(event, ctx)

    heard: list[int] = []

    @app.on("heard")
    async def hear(event: Event[Any], ctx: Context) -> None:
        heard.append(event.payload["n"])

    await world.emit(await world.tenant(), "sound")
    await world.drain(app)
    assert await world.dead() == []
    assert await world.notes() == ["sound"]
    assert heard == list(range(100))


FORGOTTEN_BY_JOBS: dict[str, tuple[str, Callable[[JobContext], Any]]] = {
    "emits": ("ctx.emit()", lambda ctx: ctx.emit(NOBODY, "never")),
    "executes": ("ctx.db.execute()", lambda ctx: ctx.db.execute("insert into public.nowhere values (1)")),
    "fetches": ("ctx.db.fetchval()", lambda ctx: ctx.db.fetchval("select public.pay()")),
    "copies": (
        "ctx.db.copy_records_to_table()",
        lambda ctx: ctx.db.copy_records_to_table("nowhere", records=[(1,)]),
    ),
}


async def test_a_job_that_does_not_await_what_it_asked_for_has_failed(world: World) -> None:
    app = Reactor()

    def register(name: str, call: Callable[[JobContext], Any]) -> None:
        @app.every("100ms", name=name)
        async def forgetful(ctx: JobContext) -> None:
            call(ctx)

    for name, (_, call) in FORGOTTEN_BY_JOBS.items():
        register(name, call)
    async with world.running(app):
        await world.until(
            "select count(*) = $1 from reactor.schedules where finished_at is not null",
            len(FORGOTTEN_BY_JOBS),
        )
    told = dict(await world.conn.fetch("select name, last_error from reactor.schedules"))
    for name, (called, _) in FORGOTTEN_BY_JOBS.items():
        assert f"job {name} did not await {called}" in str(told[name])


async def test_what_a_job_holds_is_the_drivers_connection_in_all_else(world: World) -> None:
    app = Reactor()
    found: dict[str, object] = {}

    @app.every("100ms", name="thorough")
    async def thorough(ctx: JobContext) -> None:
        assert isinstance(ctx.db, asyncpg.Connection)
        await ctx.db.execute("create temporary table lines (n int)")
        later = [ctx.db.execute("insert into lines values ($1)", n) for n in range(40)]
        for one in later:
            await one
        async with ctx.db.transaction():
            await ctx.db.copy_records_to_table("lines", records=[(n,) for n in range(40, 50)])
        statement = await ctx.db.prepare("select count(*) from lines")
        found["prepared"] = await statement.fetchval()
        found["walked"] = [row["n"] async for row in ctx.db.cursor("select n from lines order by n")]
        found["open"] = (
            ctx.db.is_in_transaction(),
            ctx.db.is_closed(),
            ctx.db.get_server_version().major > 14,
        )

    async with world.running(app):
        done = await world.until(
            "select coalesce(last_error, 'done') from reactor.schedules where finished_at is not null"
        )
    assert done == "done"
    assert found == {"prepared": 50, "walked": list(range(50)), "open": (True, False, True)}
