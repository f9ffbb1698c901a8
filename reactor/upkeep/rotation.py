"""Rotation: the outbox is rewritten when it is full of finished events that nothing may remove.

Somebody's old snapshot, anywhere in the database, keeps vacuum from removing them, and claims pass every one.
What reactor.rotate() does about it costs the writers a moment of waiting, so it is done only where it helps.
"""

import asyncio
from contextlib import suppress
from typing import assert_never

import anyio
import structlog

from reactor.db import calls
from reactor.db.borrow import LOST, borrow
from reactor.db.pool import Pool
from reactor.telemetry import metrics, names

log = structlog.get_logger("reactor.rotation")

#: A claim is slow that took so many seconds, and so many for each event that it took …
_SLOW = 0.01
_EACH = 0.00005
#: … and so many in so many seconds are a reason to look; without one it is looked at rarely.
_SEVERAL = 5
_WITHIN = 5.0
_RARELY = 60.0
#: Seconds between two looks: the shortest, up to the longest while something keeps a rotation from happening.
_PAUSE = (4.0, 60.0)
#: With more live events the outbox is left alone: so many are written again in some 60 ms, half of which the
#: new files take, and everybody waits for it.
_MOST_LIVE = 5000


class Rotation:
    """One for a replica. Its claims are told to :meth:`claimed`; :meth:`run` is one of the leader's duties.

    A leader without a free slot does not claim, so it notices nothing. It looks once a minute all the same.
    """

    def __init__(self, *, pool: Pool, dead_rows: int) -> None:
        self._pool = pool
        self._dead_rows = dead_rows
        self._noticed = asyncio.Event()
        self._slow = 0
        self._since = 0.0
        self._said: calls.Rotated | None = None

    @property
    def noticed(self) -> bool:
        """Whether there is a reason to look."""
        return self._noticed.is_set()

    def claimed(self, seconds: float, events: int) -> None:
        """A claim took so long, and took so many events."""
        if seconds < _SLOW + events * _EACH:
            return
        now = asyncio.get_running_loop().time()
        if now - self._since > _WITHIN:
            self._since, self._slow = now, 0
        self._slow += 1
        if self._slow >= _SEVERAL:
            self._noticed.set()

    async def run(self, term: int) -> None:
        """Until cancelled."""
        if not self._dead_rows:
            return
        pause, longest = _PAUSE
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(_RARELY):
                    await self._noticed.wait()
            outcome = await self._turn(term)
            pause = _PAUSE[0] if outcome in ("rotated", "nothing") else min(pause * 2, longest)
            await anyio.sleep(pause)
            self._noticed.clear()

    async def _turn(self, term: int) -> calls.Rotated | None:
        """Look, and rotate if that is called for. None: it failed, which ends nobody's term."""
        clock = asyncio.get_running_loop().time
        began = clock()
        try:
            async with borrow(self._pool) as connection:
                outcome, live, dead = await calls.rotate(
                    connection, term, dead=self._dead_rows, live=_MOST_LIVE
                )
        except LOST as error:
            log.warning(names.ROTATION_FAILED, error=str(error) or type(error).__name__)
            return None
        found = {"live": live, "dead": dead}
        match outcome:
            case "nothing":
                pass
            case "rotated":
                metrics.ROTATIONS.labels(outcome).inc()
                log.info(names.OUTBOX_ROTATED, **found, seconds=round(clock() - began, 3))
            case "held" | "backlog" | "published":
                metrics.ROTATIONS.labels(outcome).inc()
                # It is tried again and again; it is said once.
                if outcome != self._said:
                    log.warning(names.OUTBOX_NOT_ROTATED, reason=outcome, **found)
            case _ as never:
                assert_never(never)
        self._said = outcome
        return outcome
