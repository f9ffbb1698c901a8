"""What a handler does wrong is its event's failure, whatever it is; the replica goes on for all others."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from pydantic import BaseModel, field_validator
from structlog.testing import capture_logs

from reactor import Context, Discard, Event, JobContext, Reactor, Retry
from reactor.db import calls
from reactor.engine.judge import Judge
from reactor.errors import Fenced, ScopeBroken
from reactor.telemetry import names
from tests.engine.conftest import World, enter

Mistake = Callable[[Context], Awaitable[None]]


class Unreadable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


class Untraceable(Exception):
    @property
    def __traceback__(self) -> Any:
        raise RuntimeError("no traceback")


class Unmade(Retry):
    def __init__(self) -> None:
        """Never calls ours, so it has neither ``after`` nor ``counts``."""


class Base(BaseException): ...


def nested(depth: int) -> Exception:
    error: Exception = ValueError("at the bottom")
    for _ in range(depth):
        error = ExceptionGroup("group", [error])
    return error


def raises(make: Callable[[], BaseException]) -> Mistake:
    async def mistake(_ctx: Context) -> None:
        raise make()

    return mistake


async def too_many(ctx: Context) -> None:
    ctx.run.executed += 2**64


async def half_a_thing(ctx: Context) -> None:
    ctx.run.planned = 0.5  # type: ignore[assignment]


async def no_phase(ctx: Context) -> None:
    ctx.run.phase = "\ud800"  # type: ignore[assignment]


async def early_and_too_many(ctx: Context) -> None:
    await ctx.db.execute("select 1")
    ctx.run.executed += 2**64
    await ctx.checkpoint()


MISTAKES: dict[str, tuple[Mistake, str]] = {
    "seconds for a timedelta": (raises(lambda: Retry(5)), "takes a timedelta"),  # type: ignore[arg-type]
    "a discard without a reason": (raises(lambda: Discard(None)), "takes the reason"),  # type: ignore[arg-type]
    "an error without a text": (raises(Unreadable), "cannot be read: RuntimeError"),
    "an error without a traceback": (raises(lambda: Untraceable("a")), "Untraceable: a"),
    "a retry that was never made": (raises(Unmade), "Unmade cannot be read"),
    "groups in groups": (raises(lambda: nested(2000)), "ExceptionGroup: group"),
    "a BaseException": (raises(lambda: Base("own")), "Base: own"),
    "a GeneratorExit": (raises(GeneratorExit), "GeneratorExit"),
    "a group of them": (raises(lambda: BaseExceptionGroup("g", [Base("own")])), "Base: own"),
    "our own error": (raises(lambda: Fenced("says the handler")), "says the handler"),
    "a text that cannot be encoded": (raises(lambda: ValueError("\udc00\0")), "ValueError: ?"),
    "more than a column holds": (too_many, "ctx.run.executed"),
    "more than a column holds, at a checkpoint": (early_and_too_many, "ctx.run.executed"),
    "half a thing": (half_a_thing, "ctx.run.planned must be a whole number"),
    "no phase": (no_phase, "ctx.run.phase"),
}


@pytest.mark.parametrize("writes", [False, True], ids=["", "after it wrote"])
@pytest.mark.parametrize("kind", MISTAKES)
async def test_a_mistake_is_a_failure_of_its_event_and_of_nothing_else(
    world: World, kind: str, writes: bool
) -> None:
    app = Reactor()
    mistake, expected = MISTAKES[kind]

    @app.on("wrong", max_attempts=1)
    async def wrong(event: Event[Any], ctx: Context) -> None:
        if writes:
            await enter(event, ctx, "wrong")
        await mistake(ctx)

    @app.on("right")
    async def right(event: Event[Any], ctx: Context) -> None:
        await enter(event, ctx, "right")

    tenant = await world.tenant()
    await world.emit(tenant, "wrong")
    await world.emit(tenant, "right")
    with capture_logs() as said:
        left = await world.drain(app)
    (dead,) = await world.dead()
    assert left.dead == 1
    assert (dead["attempts"], dead["interruptions"]) == (1, 0)
    assert expected in dead["reason"]
    assert await world.notes() == ["right"]
    assert not [line for line in said if line["event"] in (names.RUN_LOST, names.RUN_INTERRUPTED)]


@pytest.mark.parametrize("given", ["text", ValueError])
async def test_a_member_that_is_failed_with_no_exception_fails_alone_and_says_how(
    world: World, given: Any
) -> None:
    app = Reactor()

    @app.on("item", batch=10, max_attempts=1)
    async def items(events: Sequence[Event[Any]], ctx: Context) -> None:
        for event in events:
            if event.payload["n"] == 2:
                ctx.fail(event, given)
            await enter(event, ctx, str(event.payload["n"]))

    await world.flood(await world.tenant(), "item", 3)
    await world.drain(app)
    (dead,) = await world.dead()
    assert "ctx.fail(event, error) takes an exception" in dead["reason"]
    assert await world.notes() == ["1", "3"]


async def test_what_a_handler_takes_out_of_a_payload_is_there_the_next_time(world: World) -> None:
    app = Reactor()

    @app.on("taken", batch=10)
    async def takes(events: Sequence[Event[Any]], ctx: Context) -> None:
        for event in events:
            await enter(event, ctx, str(event.payload.pop("n", "nothing")))
        if len(events) > 1:
            raise RuntimeError("one of them is bad")

    @app.on("shared", name="first", priority=1)
    @app.on("shared", name="second", priority=2)
    async def shares(event: Event[Any], ctx: Context) -> None:
        await enter(event, ctx, str(event.payload.pop("n", "nothing")))

    tenant = await world.tenant()
    await world.flood(tenant, "taken", 3)
    await world.drain(app)
    assert await world.notes() == ["1", "2", "3"]
    await world.flood(tenant, "shared", 1)
    await world.drain(app)
    assert await world.notes() == ["1", "2", "3", "1", "1"]


async def test_what_a_handler_or_a_middleware_gives_back_instead_of_awaiting_it_is_no_work_done(
    world: World,
) -> None:
    async def write(event: Event[Any], ctx: Context) -> None:
        await enter(event, ctx)

    app, layered = Reactor(), Reactor()

    @app.on("forgotten", max_attempts=1, name="forgets")
    async def forgets(event: Event[Any], ctx: Context) -> Any:
        return write(event, ctx)

    @app.on("task", max_attempts=1, name="leaves a task")
    async def leaves(event: Event[Any], ctx: Context) -> Any:
        return asyncio.ensure_future(asyncio.sleep(0))

    @app.on("value")
    async def gives(event: Event[Any], ctx: Context) -> Any:
        await enter(event, ctx)
        return {"done": 1}

    @app.on("ended", max_attempts=1)
    async def ends(event: Event[Any], ctx: Context) -> Any:
        task = asyncio.ensure_future(write(event, ctx))
        await task
        return task

    @layered.middleware
    async def outer(events: Any, ctx: Context, call_next: Any) -> None:
        await call_next()

    @layered.middleware
    async def inner(events: Any, ctx: Context, call_next: Any) -> Any:
        return call_next()

    layered.on("layered", max_attempts=1)(write)
    app.include(layered)
    tenant = await world.tenant()
    for kind in ("forgotten", "task", "value", "ended", "layered"):
        await world.emit(tenant, kind)
    await world.drain(app)

    assert await world.notes() == ["value", "ended"]
    reasons = {dead["event_type"]: dead["reason"] for dead in await world.dead()}
    assert reasons.keys() == {"forgotten", "task", "layered"}
    assert "forgets returned a coroutine that nobody awaits" in reasons["forgotten"]
    assert "leaves a task returned a Task that nobody awaits" in reasons["task"]
    assert "inner returned a coroutine that nobody awaits" in reasons["layered"]


@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited")
async def test_a_middleware_that_calls_the_next_one_without_awaiting_it_has_failed(world: World) -> None:
    app = Reactor()

    @app.middleware
    async def outer(events: Any, ctx: Context, call_next: Any) -> None:
        if events[0].type == "outer":
            call_next()
        else:
            await call_next()

    @app.middleware
    async def inner(events: Any, ctx: Context, call_next: Any) -> None:
        match events[0].type:
            case "inner":
                call_next()
            case "skipped":
                pass
            case "swallowed":
                with contextlib.suppress(ValueError):
                    await call_next()
            case _:
                await call_next()

    async def handle(event: Event[Any], ctx: Context) -> None:
        await enter(event, ctx)
        if event.type == "swallowed":
            raise ValueError("never mind")

    kinds = ("outer", "inner", "skipped", "swallowed", "sound")
    tenant = await world.tenant()
    for kind in kinds:
        app.on(kind, max_attempts=1)(handle)
        await world.emit(tenant, kind)
    await world.drain(app)

    assert await world.notes() == ["swallowed", "sound"]
    dead = {row["event_type"]: row["reason"] for row in await world.dead()}
    assert dead.keys() == {"outer", "inner"}
    assert "did not await call_next()" in dead["inner"]


async def test_a_password_in_an_errors_text_is_not_kept_with_the_event(world: World) -> None:
    app = Reactor()
    text = "cannot reach postgresql://me:sesame@db/crm, resend://sesame@mail or host=db password=sesame"

    @app.on("wrong", max_attempts=1)
    async def wrong(event: Event[Any], ctx: Context) -> None:
        raise RuntimeError(text)

    @app.on("group", max_attempts=1)
    async def group(event: Event[Any], ctx: Context) -> None:
        raise ExceptionGroup("several", [RuntimeError(text)])

    @app.on("later")
    async def later(event: Event[Any], ctx: Context) -> None:
        raise Retry(timedelta(hours=1), text)

    @app.on("discarded")
    async def discarded(event: Event[Any], ctx: Context) -> None:
        raise Discard(text)

    @app.every("100ms", name="job")
    async def job(ctx: JobContext) -> None:
        raise RuntimeError(text)

    tenant = await world.tenant()
    for kind in ("wrong", "group", "later", "discarded"):
        await world.emit(tenant, kind)
    async with world.running(app):
        await world.until("select count(*) = 2 from reactor.dead_events")
        await world.until("select true from reactor.history where event_type = 'discarded'")
        await world.until("select true from reactor.events where event_type = 'later' and attempts > 0")
        await world.until("select true from reactor.schedules where last_error is not null")
    kept = [
        await world.conn.fetchval(f"select string_agg(t::text, ' ') from {table} t")
        for table in ("reactor.dead_events", "reactor.history", "reactor.events", "reactor.schedules")
    ]
    for rows in kept:
        assert "cannot reach" in rows
        assert "sesame" not in rows
    alerts = await world.conn.fetchval("select string_agg(a::text, ' ') from agent_alerts a")
    assert "sesame" not in alerts


class Faulty(BaseModel):
    n: int

    @field_validator("n")
    @classmethod
    def looks_up(cls, n: int) -> int:
        return {1: 1}[n]


async def test_a_models_own_error_is_the_failure_of_its_event_and_names_its_handler(world: World) -> None:
    app = Reactor()
    calls_made: list[int] = []

    @app.on("model", model=Faulty, batch=10, max_attempts=1, name="with a model")
    async def handle(events: Sequence[Event[Faulty]], ctx: Context) -> None:
        calls_made.append(len(events))

    tenant = await world.tenant()
    await world.conn.execute(
        "select reactor.emit($1, 'model', jsonb_build_object('n', n)) from unnest('{1,2,1}'::int[]) n", tenant
    )
    await world.drain(app)
    assert calls_made == [2]
    [dead] = await world.dead()
    assert (dead["errors"][0]["kind"], dead["errors"][0]["handler"]) == ("KeyError", "with a model")


async def test_a_delay_below_zero_is_none_at_all(world: World) -> None:
    app = Reactor()

    @app.on("hurried", max_attempts=2)
    async def hurried(event: Event[Any], ctx: Context) -> None:
        raise Retry(timedelta.min, "at once")

    await world.emit(await world.tenant(), "hurried")
    async with world.running(app):
        await world.until("select count(*) = 1 from reactor.dead_events")
    assert (await world.dead())[0]["reason"] == "failed 2 times, last: at once"


async def test_a_lease_that_a_checkpoint_finds_lost_stays_lost_when_the_handler_keeps_it_to_itself(
    world: World,
) -> None:
    app = Reactor()

    @app.on("work")
    async def work(event: Event[Any], ctx: Context) -> None:
        await enter(event, ctx, f"try {event.interruptions}")
        if event.interruptions == 0:
            await world.conn.execute(
                "update public.agent_tenant_locks set expires_at = '-infinity' where tenant_id = $1",
                ctx.tenant_id,
            )
            try:
                await ctx.checkpoint()
            except Fenced as error:
                raise ValueError("hidden") from error

    event_id = await world.emit(await world.tenant(), "work")
    with capture_logs() as said:
        async with world.running(app):
            await world.until("select true from reactor.history where id = $1", event_id)
    past = await world.history(event_id)
    assert past is not None
    assert past["attempts"] == 0
    assert await world.notes() == ["try 1"]
    assert [line for line in said if line["event"] == names.RUN_LOST]


async def test_an_error_of_ours_in_judging_costs_the_turn_and_not_the_replica(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = Reactor()
    fail, slips = Judge.failed, [True]

    def slip(*arguments: Any) -> None:
        if slips:
            slips.pop()
            raise KeyError("nobody thought of it")
        fail(*arguments)

    monkeypatch.setattr(Judge, "failed", slip)

    @app.on("work")
    async def work(event: Event[Any], ctx: Context) -> None:
        await enter(event, ctx, f"try {event.interruptions}")
        if event.interruptions == 0:
            raise ValueError("fails")

    event_id = await world.emit(await world.tenant(), "work")
    with capture_logs() as said:
        async with world.running(app):
            await world.until("select true from reactor.history where id = $1", event_id)
    past = await world.history(event_id)
    assert past is not None
    assert (past["attempts"], past["interruptions"]) == (0, 1)
    assert await world.notes() == ["try 1"]
    (told,) = [line for line in said if line["event"] == names.RUN_INTERRUPTED]
    assert "nobody thought of it" in told["error"]
    assert "Traceback" in told["exception"]


@pytest.mark.parametrize("committed", [False, True], ids=["before", "after the commit"])
async def test_an_error_of_ours_in_settling_is_not_the_others_and_acknowledges_nothing_that_was_not_settled(
    world: World, monkeypatch: pytest.MonkeyPatch, committed: bool
) -> None:
    app = Reactor()
    settle, slips = calls.settle, [0]
    handled: list[int] = []

    async def slip(connection: Any, settlement: calls.Settlement, **rest: Any) -> Any:
        rows = await settle(connection, settlement, **rest) if committed else []
        if slips[0] < 3:
            slips[0] += 1
            raise KeyError("nobody thought of it")
        return rows if committed else await settle(connection, settlement, **rest)

    monkeypatch.setattr(calls, "settle", slip)

    @app.on("quiet")
    async def quiet(event: Event[Any], ctx: Context) -> None:
        handled.append(event.id)

    for _ in range(8):
        await world.flood(await world.tenant(), "quiet", 5)
    async with world.running(app, batch_size=3, lease_seconds=3600):
        await world.until("select count(*) = 40 from reactor.history", within=20)
        await world.until("select count(*) = 0 from public.agent_tenant_locks")
    assert slips == [3]
    assert await world.count("reactor.history where attempts > 0") == 0
    # What was committed is not done again.
    assert (len(handled) == 40) == committed
    assert set(handled) == {row["id"] for row in await world.conn.fetch("select id from reactor.history")}


async def test_what_cannot_be_said_is_left_out_and_the_others_of_its_group_are_settled(world: World) -> None:
    """The way in is closed; should there be another one, it must not reach the other tenants."""
    app = Reactor()
    spoilt: list[UUID] = []

    @app.on("quiet")
    async def quiet(event: Event[Any], ctx: Context) -> None:
        if ctx.tenant_id in spoilt and event.interruptions == 0:
            run = next(r for r in app.replicas[0]._dispatcher.active if r.tenant_id == ctx.tenant_id)  # type: ignore[index]
            assert run.segment is not None
            run.segment.counters.phase = "\ud800"  # type: ignore[assignment]

    tenants = [await world.tenant() for _ in range(8)]
    spoilt.append(tenants[3])
    ids = [await world.emit(tenant, "quiet") for tenant in tenants]
    async with world.running(app, lease_seconds=3600):
        await world.until("select count(*) = 8 from reactor.history", within=20)
    past = await world.conn.fetch("select id from reactor.history where interruptions > 0")
    assert [row["id"] for row in past] == [ids[3]]


async def test_a_driver_that_is_killed_inside_a_handler_is_known_by_its_connection(world: World) -> None:
    """The closed connection says so, at whatever moment the session ends."""
    app = Reactor()

    @app.on("work")
    async def work(event: Event[Any], ctx: Context) -> None:
        await enter(event, ctx)
        if event.interruptions >= 5:
            return
        pid = await ctx.db.fetchval("select pg_backend_pid()")
        asked = asyncio.create_task(ctx.db.fetchval("select pg_sleep(0.05)"))
        if event.interruptions % 2:
            await asyncio.sleep(0)
        else:
            await asked
        await world.conn.fetchval("select pg_terminate_backend($1)", pid)
        await asked
        await ctx.db.fetchval("select pg_sleep(5)")

    event_id = await world.emit(await world.tenant(), "work")
    async with world.running(app):
        await world.until("select true from reactor.history where id = $1", event_id)
    past = await world.history(event_id)
    assert past is not None
    assert (past["attempts"], past["interruptions"]) == (0, 5)
    assert await world.notes() == ["work"]


#: sessions of handlers whose transaction is open and does nothing
_LEFT_OPEN = (
    "select count(*) = 0 from pg_stat_activity "
    "where datname = current_database() and application_name like 'reactor run%' and state like 'idle in%'"
)


async def test_two_statements_at_once_as_a_handlers_first_are_of_one_transaction_or_refused(
    world: World,
) -> None:
    app = Reactor()

    @app.on("gather", max_attempts=1)
    async def gather(event: Event[Any], ctx: Context) -> None:
        await asyncio.gather(*(enter(event, ctx, note) for note in "ab"))

    @app.on("other")
    async def other(event: Event[Any], ctx: Context) -> None:
        await enter(event, ctx)

    careless = await world.tenant()
    for _ in range(20):
        await world.emit(careless, "gather")
    async with world.running(app):
        await world.until("select not exists (select from reactor.events where event_type = 'gather')")
        # No connection of the pool is left out.
        await world.until(_LEFT_OPEN)
        await world.emit(await world.tenant(), "other")
        await world.until("select exists (select from public.ledger where note = 'other')", within=5)
    whole = await world.count("reactor.history where event_type = 'gather'")
    assert whole + len(await world.dead()) == 20
    assert await world.count("public.ledger where note in ('a', 'b')") == 2 * whole


async def test_two_statements_at_once_behind_another_event_are_one_savepoints_or_refused(
    world: World,
) -> None:
    app = Reactor()

    @app.on("before")
    async def before(event: Event[Any], ctx: Context) -> None:
        await enter(event, ctx)

    @app.on("gather", max_attempts=1)
    async def gather(event: Event[Any], ctx: Context) -> None:
        await asyncio.gather(*(enter(event, ctx, note) for note in "ab"))

    tenant = await world.tenant()
    for _ in range(5):
        await world.emit(tenant, "before")
        await world.emit(tenant, "gather")
    async with world.running(app):
        await world.until("select not exists (select from reactor.events)")
        await world.until(_LEFT_OPEN)
    assert (await world.notes()).count("before") == 5
    whole = await world.count("reactor.history where event_type = 'gather'")
    assert whole + len(await world.dead()) == 5
    assert await world.count("public.ledger where note in ('a', 'b')") == 2 * whole


async def test_a_task_that_is_left_behind_while_it_opens_the_transaction_writes_nothing(world: World) -> None:
    app = Reactor()
    left: list[asyncio.Task[None]] = []

    @app.on("work", max_attempts=1)
    async def work(event: Event[Any], ctx: Context) -> None:
        left.append(asyncio.create_task(enter(event, ctx)))
        await asyncio.sleep(0)

    await world.emit(await world.tenant(), "work")
    async with world.running(app):
        await world.until("select exists (select from reactor.dead_events)")
        with pytest.raises(ScopeBroken, match="after it returned"):
            await left[0]
        await world.until(_LEFT_OPEN)
    assert await world.notes() == []


async def test_a_task_that_is_left_behind_checks_nothing_of_the_next_handlers_in(world: World) -> None:
    app = Reactor()
    go = asyncio.Event()
    left: list[asyncio.Task[None]] = []

    @app.on("first")
    async def first(event: Event[Any], ctx: Context) -> None:
        async def later() -> None:
            await go.wait()
            await ctx.checkpoint()

        left.append(asyncio.create_task(later()))

    @app.on("second")
    async def second(event: Event[Any], ctx: Context) -> None:
        await enter(event, ctx, f"try {event.attempts}")
        if not event.attempts:
            go.set()
            with pytest.raises(ScopeBroken, match="after it returned"):
                await left[0]
            raise Retry(timedelta(0))

    tenant = await world.tenant()
    await world.emit(tenant, "first")
    await world.emit(tenant, "second")
    await world.drain(app)
    assert await world.notes() == ["try 1"]


async def test_a_query_that_is_left_running_is_not_the_fault_of_the_event_before(world: World) -> None:
    app = Reactor()
    left: list[asyncio.Task[str]] = []

    @app.on("good", max_attempts=1)
    async def good(event: Event[Any], ctx: Context) -> None:
        await enter(event, ctx)

    @app.on("bad", max_attempts=1)
    async def bad(event: Event[Any], ctx: Context) -> None:
        await ctx.db.fetchval("select 1")
        left.append(asyncio.create_task(ctx.db.execute("select pg_sleep(1)")))
        for _ in range(3):
            await asyncio.sleep(0)
        raise ValueError("bad")

    tenant = await world.tenant()
    await world.emit(tenant, "good")
    await world.emit(tenant, "bad")
    await world.drain(app)
    assert [row["event_type"] for row in await world.dead()] == ["bad"]
    assert await world.notes() == ["good"]
