"""The app of replicas that run as processes of their own: ``python -m tests.engine.fleet_app``.

Settings come from the environment. It says on standard output what the tests wait for.
"""

import asyncio
import os
from typing import Any

import anyio

from reactor import Context, Event, Reactor, Settings

app = Reactor()
QUICK = os.environ.get("FLEET_QUICK") == "1"


def say(text: str) -> None:
    print(text, flush=True)


async def enter(event: Event[Any], ctx: Context, note: str) -> None:
    await ctx.db.execute(
        "insert into public.ledger (tenant_id, event_id, note) values ($1, $2, $3)",
        ctx.tenant_id,
        event.id,
        note,
    )


@app.on("held")
async def held(event: Event[Any], ctx: Context) -> None:
    """Stays in the middle until it is told otherwise; a quick replica does not stay."""
    when = event.payload.get("write", "before")
    if when == "before":
        await enter(event, ctx, "effect")
    say(f"inside {event.id}")
    while not QUICK and not await anyio.Path(event.payload["until"]).exists():
        await asyncio.sleep(0.02)
    if when == "after":
        await enter(event, ctx, "effect")
    await enter(event, ctx, "end")
    say(f"returned {event.id}")


@app.on("good")
async def good(event: Event[Any], ctx: Context) -> None:
    await enter(event, ctx, "good")


@app.on("raises", max_attempts=2)
async def raises(event: Event[Any], ctx: Context) -> None:
    await enter(event, ctx, "raises")
    raise RuntimeError("poison")


@app.on("exits", max_attempts=2)
async def exits(event: Event[Any], ctx: Context) -> None:
    await enter(event, ctx, "exits")
    os._exit(7)


@app.on("hangs", max_attempts=2, timeout="300ms")
async def hangs(event: Event[Any], ctx: Context) -> None:
    await enter(event, ctx, "hangs")
    await asyncio.Event().wait()


async def main() -> None:
    async with anyio.create_task_group() as group:

        async def run(*, task_status: anyio.abc.TaskStatus[None]) -> None:
            await app.run(Settings(), task_status=task_status)

        await group.start(run)
        say("ready")


if __name__ == "__main__":
    anyio.run(main)
