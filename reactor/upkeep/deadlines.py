"""The deadline timer: what turns the passing of time into events.

The leader sleeps until the nearest deadline, one index look-up away, and is woken early only when a nearer
one is written. It never polls; a long sleep is cut only as a safety net.
"""

from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

import asyncpg

from reactor.bell import Bell
from reactor.db import calls
from reactor.db.borrow import borrow

if TYPE_CHECKING:
    Pool = asyncpg.Pool[asyncpg.Record]
else:
    Pool = asyncpg.Pool

#: Rows of one kind in one sweep.
_BATCH = 1000
#: When something is due but held by somebody else: look again after, in seconds.
_HELD = 0.05


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

    async def run(self) -> None:
        async with borrow(self._pool) as connection:
            while True:
                self._bell.clear()
                swept = await calls.sweep(connection, self._term, _BATCH)
                if swept.most >= _BATCH:
                    continue
                await self._run_jobs(connection)
                delay = await calls.next_deadline(connection, self._at_most(), self._jobs)
                # A writer that looked at the timer before it was set does not wake us; it is one of these.
                before = await calls.open_writers(connection, timer=True)
                if not before:
                    # One more look, for what committed between the two: it is not open any more.
                    delay = min(delay, await calls.next_deadline(connection, self._at_most(), self._jobs))
                await self._sleep(connection, delay.total_seconds(), before, idle=swept.most == 0)

    async def _sleep(
        self, connection: calls.Connection, seconds: float, before: set[str], *, idle: bool
    ) -> None:
        if seconds <= 0 and idle:
            seconds = _HELD
        wait = 0.002
        while before and wait < seconds:
            if await self._bell.wait(wait):
                return
            seconds -= wait
            wait = min(wait * 2, 0.1)
            before &= await calls.open_writers(connection, timer=True)
            if not before:
                return
        if seconds > 0:
            await self._bell.wait(seconds)
