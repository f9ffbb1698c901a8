"""The deadline timer: what turns the passing of time into events.

The leader sleeps until the nearest deadline, one index look-up away, and is woken early only when a nearer
one is written. It never polls; a long sleep is cut only as a safety net.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta

from reactor.bell import Bell
from reactor.db import calls
from reactor.db.borrow import borrow
from reactor.db.pool import Pool

#: Rows of one kind in one sweep.
_BATCH = 1000
#: When something is due but was not swept, look again after so many seconds: shortly at first, because the
#: timer may have gone off a moment early; the longest is for what somebody else holds.
_HELD = (0.001, 0.05)


class Deadlines:
    """One turn of leadership. ``run_jobs`` starts the periodic jobs that are due."""

    def __init__(
        self,
        *,
        pool: Pool,
        bell: Bell,
        term: int,
        jobs: Sequence[str],
        at_most: Callable[[], timedelta],
        run_jobs: Callable[[calls.Connection], Awaitable[None]],
    ) -> None:
        self._pool = pool
        self._bell = bell
        self._term = term
        self._jobs = jobs
        self._at_most = at_most
        self._run_jobs = run_jobs
        self._in_vain = 0

    async def run(self) -> None:
        async with borrow(self._pool) as connection:
            while True:
                self._bell.clear()
                swept = await calls.sweep(connection, self._term, _BATCH)
                if swept.leases:
                    await calls.cut_off(connection)
                if swept.most >= _BATCH:
                    continue
                await self._run_jobs(connection)
                await self._sleep(connection, idle=swept.most == 0)

    async def _sleep(self, connection: calls.Connection, *, idle: bool) -> None:
        """Until the nearest deadline, or until a nearer one is written."""
        clock = asyncio.get_running_loop().time
        until = clock() + await self._next(connection)
        # A writer that looked at the timer before it was set does not wake us; it is one of these. What
        # they wrote is seen when they have ended.
        before = await calls.open_writers(connection, timer=True)
        wait = 0.002
        while before and clock() < until:
            if await self._bell.wait(min(wait, until - clock())):
                return
            wait = min(wait * 2, 0.1)
            before &= await calls.open_writers(connection, timer=True)
        until = min(until, clock() + await self._next(connection))
        seconds = until - clock()
        if seconds <= 0 and idle:
            # Something is due that was not swept: it came due just now, or somebody else holds it.
            seconds = min(_HELD[0] * 2**self._in_vain, _HELD[1])
            if seconds == _HELD[1]:
                # A handler of a run that is over, in a replica that is stopped, may be what holds it.
                await calls.cut_off(connection)
            self._in_vain = min(self._in_vain + 1, 10)
        else:
            self._in_vain = 0
        if seconds > 0:
            await self._bell.wait(seconds)

    async def _next(self, connection: calls.Connection) -> float:
        return (await calls.next_deadline(connection, self._at_most(), self._jobs)).total_seconds()
