"""An event is handled once, in order, with all of its handlers or none."""

import asyncio
import subprocess
import sys
from collections.abc import Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
import structlog
from pydantic import BaseModel

from reactor import Context, Event, Reactor, Resources, Settings, builtin
from reactor.errors import BadArgument
from tests.engine.conftest import World, enter, enter_all


class Invoice(BaseModel):
    total: Decimal


async def test_an_event_is_handled_once_and_goes_to_the_history(world: World) -> None:
    app = Reactor()

    @app.on("invoice.created", model=Invoice)
    async def remind(event: Event[Invoice], ctx: Context) -> None:
        await enter(event, ctx, str(event.payload.total))

    tenant = await world.tenant()
    subject = await world.conn.fetchval("select gen_random_uuid()")
    event_id = await world.emit(tenant, "invoice.created", {"total": "12.30"}, subject_id=subject)
    left = await world.drain(app)

    assert (left.delayed, left.parked, left.dead) == (0, 0, 0)
    assert await world.notes() == ["12.30"]
    assert await world.event(event_id) is None
    past = await world.history(event_id)
    assert past is not None
    assert (past["outcome"], past["tenant_id"], past["subject_id"]) == ("handled", tenant, subject)
    run = await world.conn.fetchrow(
        "select * from public.agent_autonomous_runs where id = $1", past["run_id"]
    )
    assert (run["status"], run["trigger"]) == ("completed", "event")
    assert await world.count("public.agent_tenant_locks") == 0


async def test_an_amount_of_a_watched_table_is_exact(world: World) -> None:
    await world.conn.execute("""
        create table public.bills (
            id uuid primary key default gen_random_uuid(), tenant_id uuid not null, total numeric(16, 2)
        );
        select reactor.watch('public.bills', 'bill.created', payload_columns => '{total}');
    """)
    app = Reactor()
    totals: list[Decimal] = []
    plain: list[str] = []

    @app.on("bill.created", model=Invoice)
    async def fitted(event: Event[Invoice], ctx: Context) -> None:
        totals.append(event.payload.total)

    @app.on("bill.created")
    async def as_it_is(event: Event[Any], ctx: Context) -> None:
        plain.append(event.payload["total"])

    tenant = await world.tenant()
    await world.conn.execute(
        "insert into public.bills (tenant_id, total) values ($1, 99999999999999.99), ($1, 20.00)", tenant
    )
    await world.drain(app)
    assert totals == [Decimal("99999999999999.99"), Decimal("20.00")]
    assert plain == ["99999999999999.99", "20.00"]


async def test_a_handler_that_writes_nothing_is_settled_too(world: World) -> None:
    app = Reactor()
    seen: list[int] = []

    @app.on("ping")
    async def ping(event: Event[Any], ctx: Context) -> None:
        seen.append(event.payload["n"])

    tenants = [await world.tenant() for _ in range(20)]
    for tenant in tenants:
        await world.flood(tenant, "ping", 30)
    await world.drain(app)
    assert sorted(seen) == sorted(list(range(1, 31)) * 20)
    assert await world.count("reactor.history") == 600


async def test_more_events_than_a_batch_are_all_handled_once_in_order(world: World) -> None:
    """Each has its savepoint, so that one run needs many segments under one lease."""
    app = Reactor()

    @app.on("tick")
    async def tick(event: Event[Any], ctx: Context) -> None:
        await enter(event, ctx, str(event.payload["n"]))

    tenant = await world.tenant()
    await world.flood(tenant, "tick", 300)
    await world.drain(app, batch_size=100)
    assert await world.notes() == [str(n) for n in range(1, 301)]
    lost = await world.count("public.agent_autonomous_runs where status <> 'completed'")
    assert lost == 0


async def test_events_are_handled_by_priority_then_in_the_order_of_writing(world: World) -> None:
    app = Reactor()

    @app.on("job")
    async def job(event: Event[Any], ctx: Context) -> None:
        await enter(event, ctx, event.payload["name"])

    tenant = await world.tenant()
    for name, priority in (("late", 5), ("a", 0), ("b", 0), ("urgent", -1), ("c", 0)):
        await world.emit(tenant, "job", {"name": name}, priority=priority)
    await world.drain(app)
    assert await world.notes() == ["urgent", "a", "b", "c", "late"]


async def test_a_batch_handler_gets_many_events_of_one_tenant_and_never_more_than_it_asked_for(
    world: World,
) -> None:
    app = Reactor()
    sizes: list[int] = []

    @app.on("paid", batch=10)
    async def book(events: Sequence[Event[Any]], ctx: Context) -> None:
        sizes.append(len(events))
        assert {event.tenant_id for event in events} == {ctx.tenant_id}
        await enter_all(events, ctx)

    for _ in range(2):
        await world.flood(await world.tenant(), "paid", 25)
    await world.drain(app)
    assert sorted(sizes) == [5, 5, 10, 10, 10, 10]
    assert await world.count("public.ledger") == 50


async def test_handlers_of_one_type_with_different_batch_sizes_each_get_their_own(world: World) -> None:
    app = Reactor()
    sizes: dict[str, list[int]] = {"ten": [], "four": [], "one": []}

    @app.on("paid", batch=10, priority=1)
    async def ten(events: Sequence[Event[Any]], ctx: Context) -> None:
        sizes["ten"].append(len(events))

    @app.on("paid", batch=4, priority=2)
    async def four(events: Sequence[Event[Any]], ctx: Context) -> None:
        sizes["four"].append(len(events))

    @app.on("paid", priority=3)
    async def one(event: Event[Any], ctx: Context) -> None:
        sizes["one"].append(1)

    await world.flood(await world.tenant(), "paid", 10)
    await world.drain(app)
    assert sizes == {"ten": [10], "four": [4, 4, 2], "one": [1] * 10}


async def test_several_handlers_of_one_type_run_in_order_and_all_or_none(world: World) -> None:
    app = Reactor()
    fail = True

    @app.on("order", priority=2)
    async def second(event: Event[Any], ctx: Context) -> None:
        await enter(event, ctx, "second")
        if fail:
            raise RuntimeError("the second fails")

    @app.on("order", priority=1)
    async def first(event: Event[Any], ctx: Context) -> None:
        await enter(event, ctx, "first")

    tenant = await world.tenant()
    event_id = await world.emit(tenant, "order")
    async with world.running(app):
        await world.until("select attempts > 0 from reactor.events where id = $1", event_id)
        assert await world.notes() == []
        fail = False
        await world.until("select true from reactor.history where id = $1", event_id)
    assert await world.notes() == ["first", "second"]


async def test_two_handlers_one_with_a_model_that_does_not_fit_leave_nothing_behind(world: World) -> None:
    app = Reactor()

    @app.on("order", priority=1)
    async def writes(event: Event[Any], ctx: Context) -> None:
        await enter(event, ctx)

    @app.on("order", priority=2, model=Invoice)
    async def fits(event: Event[Invoice], ctx: Context) -> None:
        await enter(event, ctx)

    tenant = await world.tenant()
    await world.emit(tenant, "order", {"total": "much"})
    await world.drain(app)
    assert await world.notes() == []
    (dead,) = await world.dead()
    assert "total" in dead["reason"]


async def test_an_event_remembers_its_cause_its_depth_and_its_trace(world: World) -> None:
    app = Reactor()

    @app.on("cause")
    async def cause(event: Event[Any], ctx: Context) -> None:
        await ctx.emit("effect", {"of": event.id})

    @app.on("effect")
    async def effect(event: Event[Any], ctx: Context) -> None:
        await enter(event, ctx, f"{event.cause_id} {event.depth} {event.traceparent}")

    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    tenant = await world.tenant()
    async with world.conn.transaction():
        await world.conn.execute("select set_config('reactor.traceparent', $1, true)", trace)
        first = await world.emit(tenant, "cause")
    second = await world.emit(tenant, "cause")
    await world.drain(app)
    assert await world.notes() == [f"{first} 1 {trace}", f"{second} 1 None"]


async def test_events_that_cause_one_another_for_ever_are_stopped(world: World) -> None:
    app = Reactor()

    @app.on("ping")
    async def ping(event: Event[Any], ctx: Context) -> None:
        await enter(event, ctx, str(event.depth))
        await ctx.emit("ping")

    await world.emit(await world.tenant(), "ping")
    await world.drain(app)
    assert await world.notes() == [str(n) for n in range(17)]
    (dead,) = await world.dead()
    assert dead["depth"] == 17
    assert "loop" in dead["reason"]


async def test_a_loop_through_a_watched_table_is_stopped(world: World) -> None:
    app = Reactor()

    @app.on("ledger.written")
    async def again(event: Event[Any], ctx: Context) -> None:
        await enter(event, ctx)

    await world.conn.execute(
        "select reactor.watch('public.ledger', 'ledger.written', subject_column => null)"
    )
    tenant = await world.tenant()
    await world.conn.execute("insert into public.ledger (tenant_id, note) values ($1, 'first')", tenant)
    await world.drain(app)
    assert await world.count("public.ledger") == 1 + 17
    (dead,) = await world.dead()
    assert "loop" in dead["reason"]


async def test_the_second_event_with_a_dedup_key_is_the_first_one(world: World) -> None:
    app = Reactor()

    @app.on("sum")
    async def add(event: Event[Any], ctx: Context) -> None:
        await enter(event, ctx)

    tenant, other = await world.tenant(), await world.tenant()
    first = await world.emit(tenant, "sum", dedup_key="today")
    assert await world.emit(tenant, "sum", dedup_key="today") == first
    assert await world.emit(other, "sum", dedup_key="today") != first
    await world.drain(app)
    assert await world.count("public.ledger") == 2
    # finished: the key is free again
    assert await world.emit(tenant, "sum", dedup_key="today") != first


async def test_what_a_handler_emits_exists_only_if_it_is_acknowledged(world: World) -> None:
    app = Reactor()

    @app.on("cause", max_attempts=1)
    async def cause(event: Event[Any], ctx: Context) -> None:
        await ctx.emit("effect")
        raise RuntimeError("after all, no")

    @app.on("effect")
    async def effect(event: Event[Any], ctx: Context) -> None:
        await enter(event, ctx)

    await world.emit(await world.tenant(), "cause")
    left = await world.drain(app)
    assert left.dead == 1
    assert await world.notes() == []


async def test_a_model_can_be_emitted(world: World) -> None:
    app = Reactor()

    @app.on("cause")
    async def cause(event: Event[Any], ctx: Context) -> None:
        await ctx.emit("effect", Invoice(total=Decimal("0.10")))

    @app.on("effect", model=Invoice)
    async def effect(event: Event[Invoice], ctx: Context) -> None:
        await enter(event, ctx, str(event.payload.total))

    await world.emit(await world.tenant(), "cause")
    await world.drain(app)
    assert await world.notes() == ["0.10"]


async def test_what_is_emitted_arrives_as_what_it_was_or_not_at_all(world: World) -> None:
    app = Reactor()
    arrived = []

    @app.on("cause", max_attempts=1)
    async def cause(event: Event[Any], ctx: Context) -> None:
        row = await ctx.db.fetchrow("select $1::uuid as id, 1.50::numeric as total", ctx.tenant_id)
        kinds = {"row": row, "set": {"tags": {7}}, "bytes": b"x", "object": object(), "method": ctx.emit}
        await ctx.emit("effect", kinds[event.payload["kind"]])

    @app.on("effect")
    async def effect(event: Event[Any], ctx: Context) -> None:
        arrived.append(event.payload)

    tenant = await world.tenant()
    for kind in ("row", "set", "bytes", "object", "method"):
        await world.emit(tenant, "cause", {"kind": kind})
    await world.drain(app)
    assert arrived == [{"id": str(tenant), "total": "1.50"}, {"tags": [7]}]
    assert [dead["payload"]["kind"] for dead in await world.dead()] == ["bytes", "object", "method"]
    assert "TypeError: Type is not JSON serializable: bytes" in (await world.dead())[0]["reason"]


async def test_middleware_wraps_handlers_outermost_first_and_an_included_app_keeps_its_own(
    world: World,
) -> None:
    app, part = Reactor(), Reactor()
    told: list[str] = []

    @app.middleware
    async def outer(events: Sequence[Event[Any]], ctx: Context, call_next: Any) -> None:
        told.append(f"outer {events[0].type}")
        await call_next()
        told.append("out")

    @part.middleware
    async def inner(events: Sequence[Event[Any]], ctx: Context, call_next: Any) -> None:
        told.append("inner")
        await call_next()

    @part.on("a")
    async def a(event: Event[Any], ctx: Context) -> None:
        told.append("a")

    @app.on("b")
    async def b(event: Event[Any], ctx: Context) -> None:
        told.append("b")

    app.include(part)
    tenant = await world.tenant()
    await world.emit(tenant, "a")
    await world.emit(tenant, "b")
    await world.drain(app)
    assert told == ["outer a", "inner", "a", "out", "outer b", "b", "out"]


async def test_what_a_handler_binds_for_its_log_is_in_no_other_tenants_lines(world: World) -> None:
    app = Reactor()
    seen: list[dict[str, Any]] = []

    @app.on("item")
    async def item(event: Event[Any], ctx: Context) -> None:
        seen.append(structlog.contextvars.get_contextvars())
        structlog.contextvars.bind_contextvars(customer=str(ctx.tenant_id))
        if event.payload.get("cancel"):
            # Its worker is replaced, by one that knows nothing of it either.
            task = asyncio.current_task()
            assert task is not None
            asyncio.get_running_loop().call_soon(task.cancel)

    with structlog.contextvars.bound_contextvars(database="one of two"):
        async with world.running(app, concurrency=1):
            for n in range(4):
                await world.emit(await world.tenant(), "item", {"cancel": n == 2})
                await world.until("select not exists (select from reactor.events)")
    assert len(seen) >= 4
    assert all(each == {"database": "one of two"} for each in seen)


async def test_the_resources_of_the_lifespan_reach_handlers_and_are_closed(world: World) -> None:
    class Bank:
        rate = 3

    class Post:
        stamp = "blue"

    told: list[str] = []

    @asynccontextmanager
    async def bank(settings: Settings):
        told.append("open")
        yield Bank()
        told.append("closed")

    @asynccontextmanager
    async def post(settings: Settings):
        yield Post()

    app, part = Reactor(lifespan=bank), Reactor(lifespan=post)

    @part.on("both")
    async def both(event: Event[Any], ctx: Context) -> None:
        assert isinstance(ctx.resources, Resources)
        told.append(f"{ctx.resources.rate} {ctx.resources.stamp} {ctx.resources.of(Post).stamp}")

    app.include(part)
    await world.emit(await world.tenant(), "both")
    await world.drain(app)
    assert told == ["open", "3 blue blue", "closed"]


async def test_at_most_as_many_tenants_as_a_handler_allows_run_it_at_once(world: World) -> None:
    app = Reactor()
    inside, most = 0, 0
    two_waited = asyncio.Event()

    @app.on("heavy", concurrency=2)
    async def heavy(event: Event[Any], ctx: Context) -> None:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        if inside == 2:
            two_waited.set()
        await asyncio.wait_for(two_waited.wait(), 5)
        for _ in range(20):
            await asyncio.sleep(0)
        inside -= 1

    for _ in range(6):
        await world.emit(await world.tenant(), "heavy")
    await world.drain(app)
    assert most == 2
    assert await world.count("reactor.history") == 6


async def test_a_delayed_event_waits_and_then_is_handled(world: World) -> None:
    app = Reactor()

    @app.on("later")
    async def later(event: Event[Any], ctx: Context) -> None:
        await enter(event, ctx)

    event_id = await world.emit(await world.tenant(), "later", delay=timedelta(milliseconds=300))
    async with world.running(app):
        await world.until("select true from reactor.history where id = $1", event_id)
    late = await world.conn.fetchval(
        "select finished_at - created_at from reactor.history where id = $1", event_id
    )
    assert late >= timedelta(milliseconds=300)


async def test_counters_and_phase_are_written_on_the_run(world: World) -> None:
    app = Reactor()

    @app.on("work")
    async def work(event: Event[Any], ctx: Context) -> None:
        ctx.run.planned += 3
        ctx.run.executed += 2
        ctx.run.blocked += 1
        ctx.run.phase = "reflect"

    await world.emit(await world.tenant(), "work")
    await world.drain(app)
    run = await world.conn.fetchrow("select * from public.agent_autonomous_runs")
    assert (run["actions_planned"], run["actions_executed"], run["actions_blocked"]) == (3, 2, 1)
    assert run["status"] == "completed"


def test_what_is_included_is_an_app_or_a_module_that_has_one() -> None:
    whole, part = Reactor(), Reactor()
    whole.include(builtin)
    part.include(builtin.app)
    assert whole.handlers.by_type == part.handlers.by_type
    for wrong in (asyncio, "reactor.builtin", None, Reactor):
        with pytest.raises(BadArgument, match="include"):
            Reactor().include(wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("named", ["reactor.builtin.app", "reactor.testing.drain"])
def test_what_the_documents_name_is_there_with_import_reactor_alone(named: str) -> None:
    done = subprocess.run([sys.executable, "-c", f"import reactor; {named}"], capture_output=True, text=True)
    assert done.stderr == ""


def test_a_handler_must_be_async_and_registered_once() -> None:
    app = Reactor()
    with pytest.raises(BadArgument, match="async"):

        @app.on("a")
        def plain(event: Event[Any], ctx: Context) -> None: ...

    class Handlers:
        def plain(self, event: Event[Any], ctx: Context) -> None: ...
        async def fit(self, event: Event[Any], ctx: Context) -> None: ...

    with pytest.raises(BadArgument, match=r"Handlers\.plain is not async"):
        app.on("c")(Handlers().plain)
    app.on("c")(Handlers().fit)

    async def handler(event: Event[Any], ctx: Context) -> None: ...

    app.on("a")(handler)
    with pytest.raises(BadArgument, match="twice"):
        app.on("a")(handler)
    with pytest.raises(BadArgument, match="gated"):

        @app.on("a", gated=True)
        async def gated(event: Event[Any], ctx: Context) -> None: ...

    for wrong in ({"batch": 0}, {"max_attempts": 0}, {"concurrency": 0}, {"timeout": "soon"}):
        with pytest.raises(BadArgument):
            app.on("b", **wrong)


async def test_a_bulk_insert_into_a_watched_table_is_drained(world: World) -> None:
    app = Reactor()
    seen = 0

    @app.on("reading.made", batch=500)
    async def add(events: Sequence[Event[Any]], ctx: Context) -> None:
        nonlocal seen
        seen += len(events)
        await enter(events[0], ctx, str(len(events)))

    await world.conn.execute(
        "create table public.readings "
        "(id uuid primary key default gen_random_uuid(), tenant_id uuid not null); "
        "select reactor.watch('public.readings', 'reading.made')"
    )
    tenants = [await world.tenant() for _ in range(4)]
    await world.conn.execute(
        "insert into public.readings (tenant_id) "
        "select ($1::uuid[])[1 + n % 4] from generate_series(1, 10000) n",
        tenants,
    )
    await world.drain(app)
    assert seen == 10_000
    assert sum(int(note) for note in await world.notes()) == 10_000
