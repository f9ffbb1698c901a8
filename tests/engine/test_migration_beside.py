"""A newer build migrates while replicas run: they go on, and one of them that restarts starts beside it."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from reactor import Context, Event, Reactor
from reactor.db import migrate, pool, sqlfiles
from tests.engine.conftest import World

NOTE_RUNS = "reactor.note_runs(uuid[], uuid[], jsonb)"


def later() -> list[sqlfiles.SqlFile]:
    """The files of a later release: all functions are others, and one that others call has another name."""
    return [
        file
        if file.kind != "functions"
        else replace(
            file,
            text=file.text.replace("reactor.note_runs(", "reactor.write_runs(")
            + (
                "\n-- of a later release\n"
                if file.stem != "note_runs"
                else f"\ndrop function if exists {NOTE_RUNS};\n"
            ),
        )
        for file in sqlfiles.load()
    ]


@pytest.mark.parametrize("release", ["999.0", None], ids=["of another release", "of the same release"])
async def test_a_replica_that_runs_meets_the_old_functions_or_the_new_ones(
    world: World, release: str | None
) -> None:
    app, stop = Reactor(), asyncio.Event()
    emitted = 0

    @app.on("work")
    async def work(event: Event[Any], ctx: Context) -> None:
        ctx.run.planned += 1

    async def emit() -> None:
        nonlocal emitted
        tenants = [await world.tenant() for _ in range(4)]
        while not stop.is_set():
            for tenant in tenants:
                await world.emit(tenant, "work")
                emitted += 1
            await asyncio.sleep(0)

    async with asyncio.TaskGroup() as group, world.running(app):
        writing = group.create_task(emit())
        await world.until("select count(*) > 20 from reactor.history")
        report = await migrate.migrate(
            lambda: pool.connect(world.url, name="reactor migrate"), files=later(), release=release
        )
        assert "functions/settle" in [step.name for step in report.applied]
        before = await world.count("reactor.history")
        await world.until("select count(*) > 20 + $1 from reactor.history", before)
        stop.set()
        await writing
        await world.until("select count(*) = $1 from reactor.history", emitted)
    # The one settlement that runs at that instant may still call what goes with the old functions.
    assert await world.count("reactor.history where attempts > 0 or interruptions > 1") == 0
    assert await world.count("reactor.dead_events") == 0

    assert await world.conn.fetchval("select to_regprocedure($1) is null", NOTE_RUNS)
    await migrate.check_migrated(world.conn)
    async with world.running(app):
        event = await world.emit(await world.tenant(), "work")
        await world.until("select exists (select from reactor.history where id = $1)", event)
