"""A periodic job that fails in any way is noted as failed and run again; the replica goes on."""

import asyncio
from datetime import timedelta
from typing import Any

import asyncpg
import pytest
from structlog.testing import capture_logs

from reactor import Context, Event, JobContext, Reactor
from reactor.db import calls
from reactor.errors import BadArgument
from reactor.telemetry import names
from tests.engine.conftest import World, enter


class Unreadable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


class Base(BaseException): ...


async def a_cancelled_task() -> None:
    asked = asyncio.ensure_future(asyncio.sleep(9))
    asked.cancel()
    await asked


MISTAKES: dict[str, tuple[Any, str]] = {
    "a NUL": (ValueError("a\0b"), "a\N{REPLACEMENT CHARACTER}b"),
    "half of a surrogate pair": (ValueError("a\ud800b"), "a?b"),
    "no text": (Unreadable(), "(its text cannot be read: RuntimeError)"),
    "sys.exit": (SystemExit(2), "2"),
    "a BaseException": (Base("own"), "own"),
    "a cancelled task": (a_cancelled_task, "CancelledError"),
}


@pytest.mark.parametrize("kind", MISTAKES)
async def test_whatever_a_job_raises_is_noted_and_the_job_is_run_again(world: World, kind: str) -> None:
    app = Reactor()
    mistake, expected = MISTAKES[kind]
    runs: list[int] = []

    @app.every("100ms", name="wrong")
    async def wrong(ctx: JobContext) -> None:
        runs.append(ctx.term)
        if len(runs) > 2:
            await asyncio.sleep(3600)
        if isinstance(mistake, BaseException):
            raise mistake
        await mistake()

    async with world.running(app):
        await world.until("select last_error is not null from reactor.schedules where name = 'wrong'")
        assert expected == await world.conn.fetchval(
            "select last_error from reactor.schedules where name = 'wrong'"
        )
        await world.until("select failures = 2 from reactor.schedules where name = 'wrong'")
    # All in one term: nothing else failed.
    assert len(set(runs)) == 1


async def test_a_job_that_gives_back_what_it_should_await_is_noted_as_failed(world: World) -> None:
    app = Reactor()

    async def work(ctx: JobContext) -> None: ...

    @app.every("100ms", name="forgets")
    async def forgets(ctx: JobContext) -> Any:
        return work(ctx)

    async with world.running(app):
        told = await world.until("select last_error from reactor.schedules where name = 'forgets'")
    assert told == "job forgets returned a coroutine that nobody awaits, so its work is not done"


async def test_how_a_job_ended_is_said_until_the_server_hears_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = Reactor()
    finish, refusals = calls.finish_job, [OSError("cut"), asyncpg.TooManyConnectionsError("full")]
    runs: list[int] = []

    async def refuse(connection: Any, term: int, name: str, error: str | None) -> None:
        if name == "wrong" and refusals:
            raise refusals.pop()
        await finish(connection, term, name, error)

    monkeypatch.setattr(calls, "finish_job", refuse)

    @app.every("100ms", name="wrong")
    async def wrong(ctx: JobContext) -> None:
        runs.append(ctx.term)
        raise ValueError("fails")

    async with world.running(app):
        await world.until("select failures >= 2 from reactor.schedules where name = 'wrong'")
    assert not refusals
    assert len(set(runs)) == 1


async def test_a_timeout_longer_than_the_server_counts_does_not_fail_the_job(world: World) -> None:
    app = Reactor()

    @app.every("100ms", name="patient", timeout="30d")
    async def patient(ctx: JobContext) -> None:
        await ctx.db.execute("select 1")

    done = (
        "select finished_at is not null and last_error is null from reactor.schedules where name = 'patient'"
    )
    async with world.running(app):
        await world.until(done)


def test_an_interval_beyond_every_calendar_is_refused_where_it_is_declared() -> None:
    app = Reactor()
    for wrong in (timedelta.max, timedelta(days=3654), "4000d"):
        with pytest.raises(BadArgument, match="at most ten years"):
            app.every(wrong)
    app.every("3650d")


async def test_a_job_of_the_longest_interval_stops_nothing(world: World) -> None:
    app = Reactor()

    @app.every("3653d", name="once in a decade")
    async def seldom(ctx: JobContext) -> None: ...

    @app.on("late")
    async def late(event: Event[Any], ctx: Context) -> None:
        await enter(event, ctx)

    await world.emit(await world.tenant(), "late", delay=timedelta(seconds=0.2))
    async with world.running(app, poll_seconds=60):
        await world.until("select count(*) = 1 from public.ledger", within=10)
        assert await world.count("reactor.schedules where name = 'once in a decade'") == 1


async def test_a_leader_whose_duties_fail_rests_for_longer_each_time(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = Reactor()
    sweep, broken = calls.sweep, [True]

    async def fail(connection: Any, term: int, limit: int) -> Any:
        if broken:
            raise asyncpg.DivisionByZeroError("division by zero")
        return await sweep(connection, term, limit)

    monkeypatch.setattr(calls, "sweep", fail)

    @app.on("late")
    async def late(event: Event[Any], ctx: Context) -> None:
        await enter(event, ctx)

    loop = asyncio.get_running_loop()
    with capture_logs() as said:
        async with world.running(app):
            began = loop.time()
            await world.until("select term >= 4 from reactor.leadership")
            # 0.2 + 0.4 + 0.8 s of rest, each a fifth shorter at most
            assert loop.time() - began > 1.1
            broken.clear()
            await world.emit(await world.tenant(), "late", delay=timedelta(seconds=0.1))
            await world.until("select count(*) = 1 from public.ledger", within=10)
    failed = [line for line in said if line["event"] == names.SWEEP_FAILED]
    assert 3 <= len(failed) <= 5
