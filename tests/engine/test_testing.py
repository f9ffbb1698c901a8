"""What an application's own tests are given, used as they would use it."""

import asyncio
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import anyio
import pytest
from pydantic import BaseModel

from reactor import Context, Event, JobContext, Reactor, ReactorError, Retry
from reactor.errors import BadArgument
from reactor.testing import DatabaseClock, RecordedContext, connected, drain, make_event, running, settled
from reactor.testing.fixtures import application_schema, reactor_database, reactor_template
from tests.conftest import Server

__all__ = ["application_schema", "reactor_database", "reactor_template"]


@pytest.fixture(scope="session")
def reactor_server(server: Server) -> str:
    """The server that the other tests run on, instead of one more."""
    return server.admin_url


@pytest.fixture(scope="session")
def reactor_schema() -> str:
    return (
        "create table public.notes (tenant_id uuid not null, text text); "
        "select reactor.protect('public.notes'); grant insert on public.notes to reactor; "
        "create table public.secrets (tenant_id uuid not null)"
    )


class Greeting(BaseModel):
    name: str


app = Reactor()


@app.on("greet", model=Greeting)
async def greet(event: Event[Greeting], ctx: Context) -> None:
    if event.attempts == 0:
        raise Retry(timedelta(days=2), "later")
    await ctx.db.execute("insert into notes values ($1, $2)", ctx.tenant_id, f"hello {event.payload.name}")
    await ctx.emit("greeted", event.payload, delay=timedelta(hours=1))
    ctx.run.executed += 1


@app.on("greeted")
async def greeted(event: Event[Any], ctx: Context) -> None:
    await ctx.db.execute("insert into notes values ($1, $2)", ctx.tenant_id, "done")


@app.every("6h")
async def job(ctx: JobContext) -> None:
    await ctx.db.execute(
        "insert into public.notes values ($1, 'job')", "00000000-0000-0000-0000-000000000001"
    )


async def test_a_database_with_ones_own_schema_a_clock_and_drain(reactor_database: str) -> None:
    async with connected(reactor_database) as conn:
        clock = DatabaseClock(conn)
        tenant = await conn.fetchval("insert into public.tenants (name) values ('t') returning id")
        await conn.execute("select reactor.emit($1, 'greet', '{\"name\": \"Ann\"}')", tenant)
        left = await drain(app, reactor_database)
        assert (left.delayed, left.dead) == (1, 0)
        assert await conn.fetchval("select count(*) from notes") == 0

        before = await clock.now()
        await clock.advance(timedelta(days=2, hours=2))
        assert await clock.now() - before >= timedelta(days=2, hours=2)
        left = await drain(app, reactor_database)
        notes = await conn.fetch("select text from notes where tenant_id = $1", tenant)
        assert [note["text"] for note in notes] == ["hello Ann"]
        assert left.delayed == 1
        # nine of them were missed, and are skipped
        assert await conn.fetchval("select count(*) from notes where text = 'job'") == 1

        await clock.advance(timedelta(hours=1))
        assert (await drain(app, reactor_database)).delayed == 0
        assert await conn.fetchval("select count(*) from notes where text = 'done'") == 1


async def test_a_job_has_the_rights_of_a_replica_and_no_superusers(reactor_database: str) -> None:
    """What passes here and is refused in production is found too late."""
    prying = Reactor()

    @prying.every("1h", name="pry")
    async def pry(ctx: JobContext) -> None:
        await ctx.db.fetch("select * from public.secrets")

    async with connected(reactor_database) as conn:
        clock = DatabaseClock(conn)
        await drain(prying, reactor_database)
        await clock.advance(timedelta(hours=1))
        await drain(prying, reactor_database)
        told = "select last_error from reactor.schedules where name = 'pry'"
        assert await conn.fetchval(told) == "permission denied for table secrets"
        await conn.execute("grant select on public.secrets to reactor")
        await clock.advance(timedelta(hours=1))
        await drain(prying, reactor_database)
        assert await conn.fetchval(told) is None


async def test_time_stands_still_where_it_is_told_to_until_it_is_moved(reactor_database: str) -> None:
    flaky = Reactor()
    tries = 0

    @flaky.on("flaky")
    async def fail(event: Event[Any], ctx: Context) -> None:
        nonlocal tries
        tries += 1
        raise RuntimeError("not yet")

    noon = datetime(2026, 2, 28, 12, tzinfo=UTC)
    async with connected(reactor_database) as conn:
        clock = DatabaseClock(conn)
        await clock.stop(noon)
        assert await clock.now() == noon
        tenant = await conn.fetchval("insert into public.tenants (name) values ('t') returning id")
        await conn.execute("select reactor.emit($1, 'flaky')", tenant)
        # Its next try is two seconds away at most, and never comes.
        assert (await drain(flaky, reactor_database)).delayed == 1
        assert (await drain(flaky, reactor_database)).delayed == 1
        assert tries == 1
        assert await clock.now() == noon
        await clock.advance(timedelta(seconds=2))
        assert await clock.now() == noon + timedelta(seconds=2)
        await drain(flaky, reactor_database)
        assert tries == 2
        with pytest.raises(ValueError, match="no time zone"):
            await clock.stop(noon.replace(tzinfo=None))


async def test_each_test_has_a_database_of_its_own(reactor_database: str) -> None:
    async with connected(reactor_database) as conn:
        assert await conn.fetchval("select count(*) from notes") == 0


async def test_drain_says_what_is_left_when_it_takes_too_long(reactor_database: str) -> None:
    stuck = Reactor()

    @stuck.on("wait")
    async def wait(event: Event[Any], ctx: Context) -> None:
        await anyio.sleep(60)

    async with connected(reactor_database) as conn:
        tenant = await conn.fetchval("insert into public.tenants (name) values ('t') returning id")
        await conn.execute("select reactor.emit($1, 'wait')", tenant)
    with pytest.raises(ReactorError, match="1 wait"):
        await drain(stuck, reactor_database, within=timedelta(seconds=0.5), drain_seconds=0)


async def test_what_the_block_raises_is_raised_as_it_is(reactor_database: str) -> None:
    with pytest.raises(KeyError):
        async with running(Reactor(), reactor_database):
            raise KeyError("mine")
    async with connected(reactor_database) as conn:
        await settled(conn)


async def test_a_handler_alone_with_a_recorded_context(reactor_database: str) -> None:
    event = make_event("greet", Greeting(name="Bo"), attempts=1)
    async with connected(reactor_database) as conn:
        ctx = RecordedContext(db=conn, events=[event])
        await greet(event, ctx)
        assert (
            await conn.fetchval("select text from notes where tenant_id = $1", event.tenant_id) == "hello Bo"
        )
    (emitted,) = ctx.emitted
    assert (emitted.type, emitted.payload, emitted.delay) == (
        "greeted",
        Greeting(name="Bo"),
        timedelta(hours=1),
    )
    assert ctx.run.executed == 1
    assert ctx.idempotency_key == str(event.event_id)


async def test_a_recorded_context_without_a_database_says_so() -> None:
    ctx = RecordedContext()
    with pytest.raises(ReactorError, match="no database"):
        await ctx.db.execute("select 1")
    ctx.fail(make_event("x", id=7), Retry())
    assert set(ctx.failures) == {7}
    await ctx.checkpoint()
    assert ctx.checkpoints == 1


async def test_a_recorded_context_emits_what_the_real_one_would() -> None:
    ctx = RecordedContext()
    first = await ctx.emit("due", {"n": 1}, dedup_key="k")
    assert await ctx.emit("other") == first + 1
    # The first one is unfinished, so this one is it.
    assert await ctx.emit("due", {"n": 2}, dedup_key="k") == first
    assert [emitted.payload for emitted in ctx.emitted] == [{"n": 1}, {}]

    for wrong in ({"event_type": ""}, {"event_type": "x" * 201}, {"delay": timedelta(seconds=-1)}):
        with pytest.raises(BadArgument):
            await ctx.emit(**{"event_type": "due"} | wrong)
    with pytest.raises(BadArgument):
        await ctx.emit("due", delay=timedelta(days=36600))
    with pytest.raises(BadArgument, match="16777216 bytes"):
        await ctx.emit("due", {"document": "x" * 17_000_000})


async def test_an_app_may_run_several_times_at_once_and_each_ends_by_itself(reactor_database: str) -> None:
    app = Reactor()
    heard: list[int] = []

    @app.on("greet")
    async def hear(event: Event[Any], ctx: Context) -> None:
        heard.append(event.id)

    async with connected(reactor_database) as conn, asyncio.timeout(30):
        tenant = await conn.fetchval("insert into tenants (name) values ('t') returning id")
        async with running(app, reactor_database), running(app, reactor_database):
            assert len(tuple(app.replicas)) == 2
            async with running(app, reactor_database):
                await conn.execute("select reactor.emit($1, 'greet')", tenant)
                await settled(conn)
            # Two go on.
            await conn.execute("select reactor.emit($1, 'greet')", tenant)
            await settled(conn)
        assert len(heard) == 2
        async with running(app, reactor_database):
            assert len(tuple(app.replicas)) == 1


async def test_a_made_events_payload_is_what_json_makes_of_it_or_the_model() -> None:
    amount, when = Decimal("1.10"), datetime(2026, 1, 2, tzinfo=UTC)
    event = make_event("paid", {"amount": amount, "when": when, "tags": ("a",)})
    assert event.payload == {"amount": "1.10", "when": "2026-01-02T00:00:00+00:00", "tags": ["a"]}
    assert make_event("greet", Greeting(name="Bo")).payload == Greeting(name="Bo")
    assert make_event("paid").payload == {}
    assert make_event("paid", depth=3).depth == 3
    with pytest.raises(TypeError, match="attempt"):
        make_event("paid", attempt=3)
