"""Periodic jobs: once in the fleet, missed runs skipped or made good, failures noted."""

import asyncio
from contextlib import AsyncExitStack
from datetime import timedelta

import asyncpg
import pytest
from structlog.testing import capture_logs

from reactor import JobContext, Reactor
from reactor.errors import BadArgument
from reactor.telemetry import names
from reactor.testing import DatabaseClock
from tests.engine.conftest import World, until

NOTE = "insert into public.ledger (tenant_id, note) values ('00000000-0000-0000-0000-000000000000', $1)"
REGISTERED = "select exists (select from reactor.schedules where name = $1)"


def app_with(*, catch_up: bool = False) -> Reactor:
    app = Reactor()

    @app.every("1h", name="tidy", catch_up=catch_up)
    async def tidy(ctx: JobContext) -> None:
        await ctx.db.execute(NOTE, ctx.due_at.isoformat())

    return app


async def test_a_job_runs_once_in_a_fleet_of_three(world: World) -> None:
    clock = DatabaseClock(world.conn)
    async with AsyncExitStack() as fleet:
        for name in "abc":
            await fleet.enter_async_context(world.running(app_with(), replica=name, lease_seconds=3600))
        await world.until(REGISTERED, "tidy")
        for hours in (1, 2, 3):
            await clock.advance(timedelta(hours=1))
            await world.until("select count(*) = $1 from public.ledger", hours)
            await world.until("select finished_at is not null from reactor.schedules where name = 'tidy'")
    assert len(set(await world.notes())) == 3


async def test_a_job_of_a_short_interval_does_not_wait_for_the_poll(world: World) -> None:
    app = Reactor()

    @app.every("200ms", name="often")
    async def often(ctx: JobContext) -> None:
        await ctx.db.execute(NOTE, "often")

    async with world.running(app, poll_seconds=60):
        await world.until("select count(*) >= 5 from public.ledger", within=10)


async def test_missed_runs_are_skipped(world: World) -> None:
    clock = DatabaseClock(world.conn)
    await world.drain(app_with())
    await clock.advance(timedelta(hours=5, minutes=30))
    await world.drain(app_with())
    assert await world.count("public.ledger") == 1
    next_due = await world.conn.fetchval("select due_at from reactor.schedules where name = 'tidy'")
    assert timedelta(0) < next_due - await clock.now() <= timedelta(hours=1)


async def test_missed_runs_are_made_good_one_by_one_when_asked(world: World) -> None:
    clock = DatabaseClock(world.conn)
    await world.drain(app_with(catch_up=True))
    await clock.advance(timedelta(hours=5, minutes=30))
    await world.drain(app_with(catch_up=True))
    moments = await world.notes()
    assert len(moments) == 5
    assert moments == sorted(set(moments))


async def test_a_failing_job_leaves_nothing_is_noted_and_runs_again_next_time(world: World) -> None:
    app = Reactor()
    fail = True

    @app.every("1h", name="tidy")
    async def tidy(ctx: JobContext) -> None:
        await ctx.db.execute(NOTE, "written")
        if fail:
            raise RuntimeError("no")

    clock = DatabaseClock(world.conn)
    await world.drain(app)
    await clock.advance(timedelta(hours=1))
    await world.drain(app)
    row = await world.conn.fetchrow("select failures, last_error from reactor.schedules where name = 'tidy'")
    assert (row["failures"], row["last_error"]) == (1, "no")
    assert await world.notes() == []
    fail = False
    await clock.advance(timedelta(hours=1))
    await world.drain(app)
    assert await world.notes() == ["written"]
    assert await world.conn.fetchval("select failures from reactor.schedules where name = 'tidy'") == 0


async def test_a_job_that_fails_is_told_with_its_line_and_in_the_status_until_it_works(world: World) -> None:
    app = Reactor()
    fail = True

    @app.every("1h", name="tidy")
    async def tidy(ctx: JobContext) -> None:
        if fail:
            raise asyncpg.InsufficientPrivilegeError("permission denied for table tickets")

    clock = DatabaseClock(world.conn)
    await world.drain(app)
    failing = "select reactor.status() -> 'jobs_failing'"
    for failures in (1, 2):
        await clock.advance(timedelta(hours=1))
        with capture_logs() as lines:
            await world.drain(app)
        (line,) = (line for line in lines if line["event"] == names.JOB_FAILED)
        assert line["where"][-1].endswith(".tidy")
        assert "role reactor" in line["hint"]
        (told,) = await world.conn.fetchval(failing)
        assert (told["name"], told["failures"]) == ("tidy", failures)
        assert told["last_error"] == "permission denied for table tickets"
    fail = False
    await clock.advance(timedelta(hours=1))
    await world.drain(app)
    assert await world.conn.fetchval(failing) == []


async def test_a_job_that_the_app_has_no_more_is_no_failing_one(world: World) -> None:
    await world.conn.execute(
        "insert into reactor.schedules (name, every, due_at, failures, last_error) "
        "values ('gone', '1 hour', reactor.now() - interval '61 minutes', 3, 'no'), "
        "('late', '1 hour', reactor.now() - interval '59 minutes', 3, 'no')"
    )
    told = await world.conn.fetchval("select reactor.status() -> 'jobs_failing'")
    assert [job["name"] for job in told] == ["late"]


async def test_a_job_cut_short_by_the_loss_of_its_leader_is_done_again_by_the_next(world: World) -> None:
    app, heir = Reactor(), app_with()
    inside = asyncio.Event()

    @app.every("1h", name="tidy")
    async def tidy(ctx: JobContext) -> None:
        await ctx.db.execute(NOTE, "half")
        inside.set()
        await asyncio.sleep(60)

    clock = DatabaseClock(world.conn)
    await world.drain(heir)
    await clock.advance(timedelta(hours=1))
    async with world.running(app):
        await asyncio.wait_for(inside.wait(), 10)
    await world.drain(heir)
    notes = await world.notes()
    assert len(notes) == 1
    assert notes[0] != "half"


async def test_a_former_leaders_job_can_commit_nothing(world: World) -> None:
    app = Reactor()
    inside, go = asyncio.Event(), asyncio.Event()

    @app.every("1h", name="tidy")
    async def tidy(ctx: JobContext) -> None:
        await ctx.db.execute(NOTE, f"term {ctx.term}")
        inside.set()
        await go.wait()

    clock = DatabaseClock(world.conn)
    await world.drain(app_with())
    await clock.advance(timedelta(hours=1))

    async def has_ended() -> bool:
        """By the fence at its end, or before it, because the leader heard that it leads no more."""
        return any(line["event"] in (names.JOB_FAILED, names.LEADER_LOST) for line in said)

    with capture_logs() as said:
        async with world.running(app):
            await asyncio.wait_for(inside.wait(), 10)
            await world.conn.execute(
                "update reactor.leadership set term = term + 1, leader = 'somebody else', "
                "expires_at = reactor.now() + interval '1 hour'"
            )
            go.set()
            await until(has_ended)
    assert await world.notes() == []


def test_two_jobs_of_one_name_and_no_interval_at_all_are_refused() -> None:
    app = app_with()
    with pytest.raises(BadArgument, match="twice"):
        app.include(app_with())
    for wrong in ("0s", "soon", ""):
        with pytest.raises(BadArgument):
            app.every(wrong)


async def test_what_a_job_left_in_its_session_is_gone_when_the_engine_has_it_again(world: World) -> None:
    app = Reactor()

    @app.every("200ms", name="untidy")
    async def untidy(ctx: JobContext) -> None:
        left = await ctx.db.fetchrow(
            "select current_setting('statement_timeout') as setting, "
            "to_regclass('pg_temp.left_over') as relation, "
            "(select count(*) from pg_locks where locktype = 'advisory' and objid = 4711) as locks"
        )
        assert left is not None
        await ctx.db.execute(NOTE, f"{left['setting']} {left['relation']} {left['locks']}")
        # Neither of the three ends with the transaction.
        await ctx.db.execute("set statement_timeout = '1h'")
        await ctx.db.execute("create temporary table left_over (i int) on commit preserve rows")
        await ctx.db.execute("select pg_advisory_lock(4711)")

    async with world.running(app):
        await world.until("select count(*) >= 4 from public.ledger", within=15)
        await world.until(
            "select not exists (select from pg_locks where locktype = 'advisory' and objid = 4711)"
        )
    assert set(await world.notes()) == {"0 None 0"}
