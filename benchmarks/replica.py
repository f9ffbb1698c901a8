"""``python -m benchmarks.replica URL REPORT [builtin]``: one replica, which begins when it is told to.

Prints a line when it is ready, begins at the first line of its input, and drains when its input ends. Says
when it has handled REPORT events, and in the end how many there were, when the last was, and the latencies
of those of type ``timed``. With ``builtin`` it runs the built-in app instead of handlers that do nothing.
"""

import asyncio
import logging
import sys
import time

import anyio
import structlog
import uvloop

from benchmarks.contender import say
from reactor import Context, Event, Reactor, Settings, builtin


async def main(url: str, report: int, built_in: bool) -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    app = builtin.app if built_in else Reactor()
    count = last = 0
    latencies: list[float] = []

    def handled() -> None:
        nonlocal count, last
        count += 1
        last = time.monotonic_ns()
        if count == report:
            say(reached=count, at=last)

    if not built_in:

        @app.on("noop")
        async def noop(event: Event, ctx: Context) -> None:
            handled()

        @app.on("timed")
        async def timed(event: Event, ctx: Context) -> None:
            latencies.append((time.monotonic_ns() - event.payload["sent"]) / 1e6)

    say(ready=True)
    await asyncio.to_thread(sys.stdin.readline)
    async with anyio.create_task_group() as group:
        settings = Settings(database_url=url, canary_seconds=0)
        await group.start(
            lambda task_status: app.run(settings, handle_signals=False, task_status=task_status)
        )
        say(running=True)
        await asyncio.to_thread(sys.stdin.readline)
        app.drain()
    say(count=count, last=last, latencies_ms=latencies)


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], int(sys.argv[2]), sys.argv[3:] == ["builtin"]))
