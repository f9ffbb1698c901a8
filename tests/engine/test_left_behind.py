"""Tasks that a handler did not wait for: what they do is no other handler's and nobody else's fault."""

import asyncio
import os
import random
import signal
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from reactor import Context, Event, Reactor, Retry
from reactor.engine import scope
from reactor.errors import ScopeBroken
from tests.engine.conftest import World, enter


async def test_a_checkpoint_that_was_left_running_gives_the_next_handler_no_other_role(world: World) -> None:
    app = Reactor()
    left: dict[UUID, asyncio.Task[None]] = {}
    seen: set[tuple[str, int]] = set()

    @app.on("leaves")
    async def leaves(event: Event[Any], ctx: Context) -> None:
        await enter(event, ctx)
        if ctx.tenant_id not in left:
            left[ctx.tenant_id] = asyncio.create_task(ctx.checkpoint())
            await asyncio.sleep(0)

    @app.on("next", max_attempts=1)
    async def next_one(event: Event[Any], ctx: Context) -> None:
        # Somewhere between the checkpoint's statements.
        for _ in range(random.randrange(60)):
            await asyncio.sleep(0)
        row = await ctx.db.fetchrow(
            "select current_user::text, (select count(distinct tenant_id) from public.ledger)"
        )
        seen.add(tuple(row))

    for _ in range(150):
        tenant = await world.tenant()
        await world.emit(tenant, "leaves")
        await world.emit(tenant, "next")
    # A try of the one that left it may be cut as well: then that one comes again, later.
    while (await world.drain(app, within=60)).delayed:
        await world.conn.execute("update reactor.events set available_at = reactor.now()")
    await asyncio.gather(*left.values(), return_exceptions=True)
    assert seen <= {("reactor_handler", 0), ("reactor_handler", 1)}
    assert await world.dead() == []
    assert await world.notes() == ["leaves"] * 150


async def test_a_statement_beside_a_checkpoint_is_refused_and_never_another_roles(world: World) -> None:
    app = Reactor()
    users: set[str] = set()
    refused: list[str] = []

    @app.on("both", max_attempts=1)
    async def both(event: Event[Any], ctx: Context) -> None:
        await enter(event, ctx)

        async def beside() -> None:
            for _ in range(200):
                try:
                    users.add(await ctx.db.fetchval("select current_user::text"))
                except Exception as error:
                    refused.append(str(error))
                await asyncio.sleep(0)

        await asyncio.gather(ctx.checkpoint(), beside(), return_exceptions=True)

    for _ in range(20):
        await world.emit(await world.tenant(), "both")
    await world.drain(app)
    assert users <= {"reactor_handler"}
    assert any("while ctx.checkpoint() committed" in told for told in refused)


@pytest.mark.parametrize("earlier", [False, True], ids=["alone", "after another event"])
async def test_a_savepoint_that_was_left_open_costs_its_own_handler_and_no_other(
    world: World, earlier: bool
) -> None:
    app = Reactor()
    blocks: list[asyncio.Task[None]] = []
    over = asyncio.Event()

    @app.on("first")
    async def first(event: Event[Any], ctx: Context) -> None:
        await enter(event, ctx)

    @app.on("bad", max_attempts=1)
    async def bad(event: Event[Any], ctx: Context) -> None:
        opened = asyncio.Event()

        async def block() -> None:
            async with ctx.db.transaction():
                opened.set()
                await over.wait()

        blocks.append(asyncio.create_task(block()))
        await opened.wait()

    @app.on("innocent", max_attempts=1)
    async def innocent(event: Event[Any], ctx: Context) -> None:
        await enter(event, ctx)
        over.set()
        await asyncio.wait(blocks)

    tenant = await world.tenant()
    if earlier:
        await world.emit(tenant, "first")
    await world.emit(tenant, "bad")
    await world.emit(tenant, "innocent")
    await world.drain(app)
    (dead,) = await world.dead()
    assert (dead["event_type"], "1 ctx.db.transaction() open" in dead["reason"]) == ("bad", True)
    assert await world.notes() == (["first", "innocent"] if earlier else ["innocent"])


async def test_what_a_left_behind_statement_opened_is_not_the_next_events_cause(world: World) -> None:
    app = Reactor()
    left: list[asyncio.Task[Any]] = []
    causes: dict[int, int | None] = {}

    @app.on("first")
    async def first(event: Event[Any], ctx: Context) -> None:
        await enter(event, ctx)

    @app.on("leaves")
    async def leaves(event: Event[Any], ctx: Context) -> None:
        left.append(asyncio.create_task(ctx.db.fetchval("select 1")))
        await asyncio.sleep(0)

    @app.on("causes", max_attempts=1)
    async def cause(event: Event[Any], ctx: Context) -> None:
        await ctx.emit("caused", {"by": event.id})

    @app.on("caused")
    async def caused(event: Event[Any], ctx: Context) -> None:
        causes[event.payload["by"]] = event.cause_id

    for _ in range(20):
        tenant = await world.tenant()
        for kind in ("first", "leaves", "causes"):
            await world.emit(tenant, kind)
    await world.drain(app)
    await asyncio.gather(*left, return_exceptions=True)
    assert len(causes) == 20
    assert all(event == said for event, said in causes.items())


@pytest.mark.parametrize("then", ["checkpoint", "retry"])
async def test_of_two_statements_on_a_connection_that_fell_silent_neither_goes_on_without_what_was_written(
    world: World, then: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scope, "PATIENCE", 0.5)
    app = Reactor()
    backends: list[int] = []
    tries = 0

    @app.on("good")
    async def good(event: Event[Any], ctx: Context) -> None:
        await enter(event, ctx)
        backends.append(await ctx.db.fetchval("select pg_backend_pid()"))

    @app.on("two", max_attempts=5)
    async def two(event: Event[Any], ctx: Context) -> None:
        nonlocal tries
        tries += 1
        if tries > 1:
            return
        os.kill(backends[-1], signal.SIGSTOP)
        try:
            statements = (ctx.db.fetchval(f"select {n}") for n in range(2))
            await asyncio.gather(*statements, return_exceptions=True)
        finally:
            os.kill(backends[-1], signal.SIGCONT)
        if then == "checkpoint":
            await ctx.checkpoint()
        else:
            raise Retry(timedelta(0))

    tenant = await world.tenant()
    await world.emit(tenant, "good")
    await world.emit(tenant, "two")
    await world.drain(app)
    assert tries > 1
    assert await world.notes() == ["good"]


@pytest.mark.parametrize("uses", ["nothing", "emit"])
async def test_a_task_that_first_asks_when_its_handler_has_returned_writes_nothing_and_keeps_no_connection(
    world: World, uses: str
) -> None:
    app = Reactor()
    goes_on = asyncio.Event()
    left: list[asyncio.Task[Any]] = []

    @app.on("leaves", max_attempts=1)
    async def leaves(event: Event[Any], ctx: Context) -> None:
        async def late() -> None:
            await goes_on.wait()
            if uses == "emit":
                await ctx.emit("never")
            await enter(event, ctx, "late")

        left.append(asyncio.create_task(late()))

    @app.on("next", max_attempts=1)
    async def next_one(event: Event[Any], ctx: Context) -> None:
        await enter(event, ctx)
        if event.payload["lets_go"]:
            goes_on.set()
            await asyncio.wait(left)

    tenant = await world.tenant()
    async with world.running(app):
        # In the middle of another event of the same run, whose transaction is open,
        await world.emit(tenant, "leaves")
        await world.emit(tenant, "next", {"lets_go": True})
        await world.until("select count(*) = 2 from reactor.history")
        # and when the run is over.
        goes_on.clear()
        await world.emit(tenant, "leaves")
        await world.until("select count(*) = 3 from reactor.history")
        await world.until("select not exists (select from public.agent_tenant_locks)")
        goes_on.set()
        refused = await asyncio.gather(*left, return_exceptions=True)
        open_ones = await world.conn.fetchval(
            "select count(*) from pg_stat_activity "
            "where application_name like 'reactor run%' and datname = current_database()"
        )
    assert [type(error) for error in refused] == [ScopeBroken, ScopeBroken]
    assert {str(error).partition("used")[2] for error in refused} == {" ctx.db after it returned"}
    assert open_ones == 0
    assert await world.notes() == ["next"]
    assert await world.conn.fetchval("select count(*) from reactor.history where event_type = 'never'") == 0
