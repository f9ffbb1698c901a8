"""Limits of time for tests, on a machine that may be busy with something else."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

#: Seconds of a beat, and what one counts at most: what it took beyond that, others had the machine.
_BEAT = 0.01
_COUNTS = 0.013
#: A limit is stretched by so much at most, and not beyond so many seconds.
_MOST_TIMES = 6
_MOST_SECONDS = 120.0


@asynccontextmanager
async def patience(seconds: float) -> AsyncIterator[None]:
    """As ``asyncio.timeout``, in seconds of a machine that has nothing else to do.

    A limit says which of two facts a test saw: that something came because a bell rang, say, and not when the
    next poll was due. Where twelve processes want two cores, everything takes six times as long, and the
    limit with it. What this process computes itself is counted in full: the reactor is in it.
    """
    clock = asyncio.get_running_loop().time
    most = max(seconds, min(seconds * _MOST_TIMES, _MOST_SECONDS))
    async with asyncio.timeout(most) as limit:

        async def count() -> None:
            left = seconds
            while left > 0:
                began, computed = clock(), time.process_time()
                await asyncio.sleep(_BEAT)
                left -= min(clock() - began, _COUNTS + time.process_time() - computed)
            limit.reschedule(clock())

        counting = asyncio.create_task(count(), name="patience")
        try:
            yield
        finally:
            counting.cancel()
