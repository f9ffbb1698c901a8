"""What a failure leaves behind for whoever has to mend it: where it was, of what kind, and what to do."""

import asyncio
import threading
import time
from typing import Any

import pytest
from structlog.testing import capture_logs

from reactor import Context, Event, Reactor
from reactor.engine import watchdog
from reactor.errors import ScopeBroken
from reactor.telemetry import names
from tests.engine.conftest import World, enter

GROUPED = "unhandled errors in a TaskGroup (1 sub-exception)"


def functions(where: list[str]) -> list[str]:
    """Their names, innermost last; all of this file."""
    assert all(place.startswith(f"{__file__}:") for place in where)
    return [place.rpartition(".")[2].rpartition(" ")[2] for place in where]


async def test_a_failure_says_where_in_the_handlers_own_code_it_was(world: World) -> None:
    app = Reactor()

    def look_up(payload: dict[str, Any]) -> str:
        return payload["email"]

    @app.on("keyless", max_attempts=2)
    async def keyless(event: Event[Any], ctx: Context) -> None:
        look_up(event.payload)

    @app.on("refused", max_attempts=1)
    async def refused(event: Event[Any], ctx: Context) -> None:
        await ctx.db.execute("select 1 / 0")

    @app.on("asserting", max_attempts=1)
    async def asserting(event: Event[Any], ctx: Context) -> None:
        raise AssertionError

    @app.on("grouped", max_attempts=1)
    async def grouped(event: Event[Any], ctx: Context) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(asyncio.to_thread(look_up, event.payload))

    tenant = await world.tenant()
    kinds = ("keyless", "refused", "asserting", "grouped")
    ids = [await world.emit(tenant, kind, {"secret": "hunter2"}) for kind in kinds]
    with capture_logs() as said:
        async with world.running(app):
            await world.until("select count(*) = 4 from reactor.dead_events")
    dead = {row["id"]: row for row in await world.dead()}
    assert [dead[event]["reason"] for event in ids] == [
        "failed 2 times, last: KeyError: 'email'",
        "failed once, last: DivisionByZeroError: division by zero",
        "failed once, last: AssertionError",
        f"failed once, last: ExceptionGroup: {GROUPED}: KeyError: 'email'",
    ]
    assert [functions(dead[event]["errors"][-1]["where"]) for event in ids] == [
        ["keyless", "look_up"],
        ["refused"],
        ["asserting"],
        ["grouped", "look_up"],
    ]
    # The log says the same, and counts tries as the event does.
    keyless_id = ids[0]
    lines = [entry for entry in said if entry.get("event_id") == keyless_id]
    assert [(entry["event"], entry["attempts"]) for entry in lines] == [
        (names.EVENT_FAILED, 1),
        (names.EVENT_DEAD, dead[keyless_id]["attempts"]),
    ]
    for entry in lines:
        assert entry["error_type"] == "KeyError"
        assert entry["handler"].endswith("keyless")
        assert entry["where"] == dead[keyless_id]["errors"][-1]["where"]
    assert "hunter2" not in str(said)


async def test_a_handler_that_takes_too_long_is_found_where_it_waits(world: World) -> None:
    app = Reactor()

    async def dawdle() -> None:
        await asyncio.sleep(60)

    @app.on("slow", max_attempts=1, timeout="200ms")
    async def slow(event: Event[Any], ctx: Context) -> None:
        await dawdle()

    event = await world.emit(await world.tenant(), "slow")
    with capture_logs() as said:
        await world.drain(app)
    (dead,) = await world.dead()
    assert dead["reason"].startswith("failed once, last: TimeoutError: handler ")
    assert functions(dead["errors"][-1]["where"]) == ["slow", "dawdle"]
    (line,) = (entry for entry in said if entry["event"] == names.HANDLER_TIMED_OUT)
    assert (functions(line["where"]), line["event_id"]) == (["slow", "dawdle"], event)
    (line,) = (entry for entry in said if entry["event"] == names.EVENT_DEAD)
    assert line["attempts"] == dead["attempts"] == 1


async def test_a_handler_that_blocks_the_loop_is_found_in_its_own_code(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = Reactor()
    named = threading.Event()
    told: list[dict[str, Any]] = []

    class Heard:
        """The watchdog's log, which its thread writes while the loop stands still."""

        @staticmethod
        def error(event: str, **fields: Any) -> None:
            told.append({"event": event, **fields})
            named.set()

    monkeypatch.setattr(watchdog, "log", Heard)

    def compute() -> None:
        until = time.monotonic() + 20
        while not named.is_set() and time.monotonic() < until:
            time.sleep(0.05)

    @app.on("blocks")
    async def blocks(event: Event[Any], ctx: Context) -> None:
        compute()

    await world.emit(await world.tenant(), "blocks")
    await world.drain(app)
    (line,) = told
    assert line["event"] == names.HANDLER_BLOCKS_LOOP
    assert functions(line["where"]) == ["blocks", "compute"]


async def test_what_row_level_security_refuses_is_kept_with_what_to_do(world: World) -> None:
    await world.conn.execute('create table public."Odd Name" (tenant_id uuid)')
    app = Reactor()
    other = await world.tenant("other")

    @app.on("unprotected", max_attempts=1)
    async def unprotected(event: Event[Any], ctx: Context) -> None:
        await ctx.db.execute('select from public."Odd Name"')

    @app.on("foreign", max_attempts=1)
    async def foreign(event: Event[Any], ctx: Context) -> None:
        await ctx.db.execute("insert into public.ledger (tenant_id) values ($1)", other)

    @app.on("committing", max_attempts=1)
    async def committing(event: Event[Any], ctx: Context) -> None:
        await ctx.db.execute("commit")

    @app.on("leaving", max_attempts=1)
    async def leaving(event: Event[Any], ctx: Context) -> None:
        await enter(event, ctx)
        await ctx.db.execute(
            "do $$ begin execute format('set local %I.tenant_id = %L', 'reactor', ''); end $$"
        )

    tenant = await world.tenant()
    kinds = ("unprotected", "foreign", "committing", "leaving")
    ids = [await world.emit(tenant, kind) for kind in kinds]
    with capture_logs() as said:
        await world.drain(app)
    dead = {row["id"]: row for row in await world.dead()}
    errors = [dead[event]["errors"][-1] for event in ids]
    assert "select reactor.protect('\"Odd Name\"')" in errors[0]["hint"]
    assert errors[1]["hint"].startswith("the row is of another tenant than the event's")
    for error in errors[2:]:
        assert "ctx.checkpoint()" in error["hint"]
    # What the server finds out at the end names the handler as well.
    assert "leaving: the handler ended its transaction itself" in dead[ids[3]]["reason"]
    hints = {entry["event_id"]: entry["hint"] for entry in said if entry["event"] == names.EVENT_DEAD}
    assert hints == dict(zip(ids, (error["hint"] for error in errors), strict=True))


async def test_what_a_handler_does_after_its_transaction_was_cut_names_it_and_says_what_happens(
    world: World,
) -> None:
    app = Reactor()
    tasks: set[asyncio.Task[Any]] = set()
    told: list[ScopeBroken] = []

    @app.on("work", max_attempts=1)
    async def work(event: Event[Any], ctx: Context) -> None:
        for _ in range(2):
            try:
                await enter(event, ctx, str(event.payload["n"]))
                break
            except ScopeBroken as error:
                told.append(error)
        if event.payload["n"] == 1:
            # What it would commit is no longer its own.
            tasks.add(asyncio.create_task(ctx.checkpoint()))
            await asyncio.sleep(0)

    await world.flood(await world.tenant(), "work", 2)
    await world.drain(app)
    await asyncio.gather(*tasks, return_exceptions=True)
    _, cut = told
    assert "work used ctx.db after its transaction was cut" in cut.message
    assert "one by one" in (cut.hint or "")
    assert await world.notes() == ["2"]
