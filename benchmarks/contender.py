"""What every contender can do, as one small program each, so that none shares a process with another.

    CONTENDER setup URL                 make its tables in an empty database
    CONTENDER fill URL COUNT TENANTS    put COUNT no-op jobs in, the way its documents advise for many
    CONTENDER drain URL COUNT           work until COUNT are done; prints the nanoseconds it took
    CONTENDER serve URL COUNT           print a line when ready, handle COUNT jobs, print their latencies
    CONTENDER send URL COUNT PAUSE      put COUNT jobs in one by one, PAUSE seconds apart on average

A job of ``send`` carries the time just before the call that enqueues it, by CLOCK_MONOTONIC, which all
processes of a machine share; its latency ends at the handler's first line. Results are lines of JSON.
"""

import asyncio
import json
import random
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Protocol


class Contender(Protocol):
    """A peer, or ourselves."""

    async def setup(self, url: str) -> None: ...

    async def fill(self, url: str, count: int, tenants: int) -> None: ...

    async def work(self, url: str, handle: Callable[[int | None], None], done: asyncio.Event) -> None:
        """Run one worker until ``done``; each job first calls ``handle`` with its ``sent`` or None."""

    async def sender(self, url: str) -> Callable[[int], Awaitable[None]]:
        """A function that enqueues one job with this ``sent``."""


class Count:
    """Counts what is handled, and notes latencies."""

    def __init__(self, expected: int) -> None:
        self.expected = expected
        self.seen = 0
        self.latencies: list[float] = []
        self.first = 0
        self.last = 0
        self.done = asyncio.Event()

    def handle(self, sent: int | None) -> None:
        now = time.monotonic_ns()
        if sent is not None:
            self.latencies.append((now - sent) / 1e6)
        self.first = self.first or now
        self.seen += 1
        if self.seen == self.expected:
            self.last = now
            self.done.set()


def say(**result: object) -> None:
    print(json.dumps(result), flush=True)


async def run(contender: Contender, arguments: list[str]) -> None:
    match arguments:
        case ["setup", url]:
            await contender.setup(url)
        case ["fill", url, count, tenants]:
            await contender.fill(url, int(count), int(tenants))
        case ["drain", url, expected]:
            count_ = Count(int(expected))
            began = time.monotonic_ns()
            await contender.work(url, count_.handle, count_.done)
            say(seconds=(count_.last - began) / 1e9, from_first=(count_.last - count_.first) / 1e9)
        case ["serve", url, expected]:
            count_ = Count(int(expected))
            say(ready=True)
            await contender.work(url, count_.handle, count_.done)
            say(latencies_ms=count_.latencies)
        case ["send", url, count, pause]:
            await _send(await contender.sender(url), int(count), float(pause))
        case _:
            sys.exit(__doc__)


async def _send(send: Callable[[int], Awaitable[None]], count: int, pause: float) -> None:
    """Poisson arrivals, kept on their times: a slow call is followed by a shorter wait."""
    rng = random.Random(7)
    due = time.monotonic()

    for _ in range(count):
        due += rng.expovariate(1 / pause)
        wait = due - time.monotonic()
        if wait > 0:
            await asyncio.sleep(wait)
        await send(time.monotonic_ns())


def main(contender: Contender) -> None:
    try:
        import uvloop
    except ImportError:
        asyncio.run(run(contender, sys.argv[1:]))
    else:
        uvloop.run(run(contender, sys.argv[1:]))
