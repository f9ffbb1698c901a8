"""The canary: an event of our own that goes the whole way, from a writer's commit to the acknowledgement.

Every part may answer for itself while events are handled late or not at all; only an event that arrives says
that they are. Every replica tends the fleet's one canary, see sql/functions/tend_canary.sql: whoever finds it
due sends it, any replica handles it like every other event, and every replica hears what became of it.
"""

import asyncio
import random
from collections.abc import Callable
from datetime import timedelta
from time import time
from typing import TYPE_CHECKING, Any

import asyncpg
import structlog

from reactor.bell import Bell
from reactor.context import Context
from reactor.db import calls
from reactor.db.borrow import LOST, borrow
from reactor.events import Event
from reactor.handlers import HandlerSet, Subscription
from reactor.telemetry import metrics, names

if TYPE_CHECKING:
    Pool = asyncpg.Pool[asyncpg.Record]
else:
    Pool = asyncpg.Pool

log = structlog.get_logger("reactor.canary")

EVENT = "reactor.canary"

#: After so many intervals without one that came through, something is wrong.
_PATIENCE = 3
#: Seconds from the handler to a look at what became of it: its acknowledgement is on its way.
_SETTLING = 0.2
#: While one is under way, it is looked for so often in an interval, and at most so often (seconds).
_LOOKS = 6
_SHORTEST = 0.5


class Canary:
    """Started by the replica, until it drains. An interval of zero: it handles canaries, and sends none."""

    def __init__(self, *, every: timedelta, database: str, is_busy: Callable[[], bool]) -> None:
        self._every = every.total_seconds()
        # A replica whose slots are all taken works, whatever waits behind that.
        self._is_busy = is_busy
        self._heard = Bell()
        self._heard_at = metrics.CANARY_HEARD.labels(database)
        #: loop times: since when none came through (0: the last one did), and since when this replica looks
        self._unheard_since = 0.0
        self._began = 0.0
        self._said = False

    @property
    def silence(self) -> timedelta | None:
        """For how long no canary has come through, when that is too long and this replica could have had it.

        Silence from before this replica's start is not its own.
        """
        if not self._unheard_since or self._is_busy():
            return None
        seconds = asyncio.get_running_loop().time() - max(self._unheard_since, self._began)
        return timedelta(seconds=seconds) if seconds > _PATIENCE * self._every else None

    def added_to(self, handlers: HandlerSet) -> HandlerSet:
        """The app's handlers and the canary's: any replica may be the one that gets it."""
        both = HandlerSet(dict(handlers.by_type), handlers.middleware)
        both.add(Subscription(event_type=EVENT, function=self.hear, name=EVENT))
        return both

    async def hear(self, event: Event[Any], ctx: Context) -> None:
        """The handler: how long after the commit it began, by the server's clock alone. That it asks the
        server makes the handlers' connections a part of the way."""
        seconds: float = await ctx.db.fetchval(
            "select extract(epoch from pg_catalog.clock_timestamp() - $1)::float8", event.created_at
        )
        metrics.CANARY_SECONDS.observe(max(0.0, seconds))
        self._heard.ring()

    async def run(self, pool: Pool) -> None:
        """Until cancelled. Returns at once when the interval is zero."""
        if not self._every:
            return
        clock = asyncio.get_running_loop().time
        self._began = clock()
        while True:
            self._heard.clear()
            try:
                async with borrow(pool) as connection:
                    age, silence = await calls.tend_canary(connection, timedelta(seconds=self._every))
            except LOST:
                # The heartbeat says so already, and readiness with it.
                pause = self._every / _LOOKS
            else:
                self._note(age, silence)
                # One from a time that the server's clock has not come to yet was not sent in the future.
                pause = self._every / _LOOKS if silence is not None else self._every - max(0.0, age or 0.0)
            pause = max(pause, _SHORTEST, self._every / 10) * random.uniform(0.95, 1.0)
            if await self._heard.wait(pause):
                await asyncio.sleep(_SETTLING)

    def _note(self, age: float | None, silence: float | None) -> None:
        if silence is None:
            self._unheard_since = 0.0
            if age is not None:
                self._heard_at.set(time() - age)
            if self._said:
                log.info(names.CANARY_BACK)
                self._said = False
            return
        self._unheard_since = asyncio.get_running_loop().time() - silence
        long = self.silence
        if long is not None and not self._said:
            self._said = True
            log.error(
                names.CANARY_SILENT,
                seconds=round(long.total_seconds(), 1),
                hint="the database answers, but events are not handled: `reactor status` shows what waits",
            )
