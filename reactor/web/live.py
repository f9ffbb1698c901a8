"""What all who watch one database see: one look every two seconds, however many they are, and none for
nobody.

There is no task that looks. Whoever wants the latest look takes it when it is due, and the others wait for
that one.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

import structlog

from reactor.db import operations
from reactor.errors import ReactorError
from reactor.telemetry import names, overview
from reactor.telemetry.words import moment
from reactor.web.databases import Database
from reactor.web.refusal import as_refusal

log = structlog.get_logger("reactor.web")

#: Seconds between looks. One that takes long is followed by a pause of so many times its length: a look
#: reads the outbox once, and with a million events in it that is work.
PACE = 2.0
_REST = 20
_LONGEST = 20.0
#: … and after one that failed, which took nobody's time.
_AWAY = 5.0
#: Rates that are kept for the curve, and after how many seconds without a look it begins anew.
_CURVE = 90
_STALE = 90.0


@dataclass(slots=True)
class Look:
    """What was seen, or why nothing was. ``parts``: pieces of the page made of it, for whoever wants them
    next."""

    number: int = 0
    status: dict[str, Any] | None = None
    error: ReactorError | None = None
    before: dict[str, Any] | None = None
    curve: list[tuple[float, float]] = field(default_factory=list)
    parts: dict[str, str] = field(default_factory=dict)


class Live:
    """The looks at one database."""

    def __init__(self, database: Database, *, clock: Callable[[], float] = monotonic) -> None:
        self.database = database
        self._clock = clock
        self._lock = asyncio.Lock()
        self._last = Look()
        self._due = clock()
        self._curve: deque[tuple[float, float]] = deque(maxlen=_CURVE)

    @property
    def pause(self) -> float:
        """Seconds until the next look is due."""
        return max(0.0, self._due - self._clock())

    async def latest(self) -> Look:
        """The last look, or a new one if that is due. Its error is in it: nobody gets an exception."""
        async with self._lock:
            if not self.pause:
                self._last = await self._look()
            return self._last

    def forget(self) -> None:
        """Something was done: what was seen before is not true any more."""
        self._due = self._clock()

    async def _look(self) -> Look:
        began, last = self._clock(), self._last
        look = Look(number=last.number + 1, curve=list(self._curve))
        try:
            async with self.database.look() as connection:
                look.status = await operations.status(connection)
        except Exception as error:
            look.error = as_refusal(error)
            if look.error is None:
                # It would come again with each look: whoever watches is told, and the log has it once.
                if last.error is None:
                    log.exception(names.DASHBOARD_FAILED, what="status")
                look.error = ReactorError("something went wrong in the dashboard; the log says what")
        else:
            self._note_rates(look, last.status)
        took = self._clock() - began
        pause = _AWAY if look.error is not None else min(max(PACE, _REST * took), _LONGEST)
        self._due = self._clock() + pause
        return look

    def _note_rates(self, look: Look, before: dict[str, Any] | None) -> None:
        if look.status is None or before is None:
            return
        seconds = (moment(look.status["at"]) - moment(before["at"])).total_seconds()
        if not 0 < seconds < _STALE:
            self._curve.clear()
            look.curve = []
            return
        look.before = before
        self._curve.append(overview.rates(look.status, before))
        look.curve = list(self._curve)
