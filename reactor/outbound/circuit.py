"""A circuit breaker: after repeated failures it stops asking for a while.

    closed ──failures reach the threshold──▶ open ──its time is over──▶ half open
      ▲                                       ▲                            │
      └──────────────success──────────────────┼────────────────────────────┤
                                              └───────────failure──────────┘

Half open lets one request through; its result decides. Each opening lasts
twice as long as the one before, up to a ceiling. One breaker belongs to one
provider in one replica, and its clock is monotonic: it measures how long,
never when.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum


class CircuitState(StrEnum):
    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


@dataclass(slots=True)
class Circuit:
    """Ask `wait()` before a request and report what came of it: succeeded(), failed() or abandoned()."""

    threshold: int = 5
    first_pause: timedelta = timedelta(seconds=30)
    longest_pause: timedelta = timedelta(minutes=15)
    clock: Callable[[], float] = time.monotonic
    _failures: int = field(default=0, init=False)
    _openings: int = field(default=0, init=False)
    _opened_at: float = field(default=0.0, init=False)
    _pause: timedelta = field(default=timedelta(0), init=False)
    _probing: bool = field(default=False, init=False)

    @property
    def state(self) -> CircuitState:
        if not self._pause:
            return CircuitState.CLOSED
        if self._remaining() > timedelta(0):
            return CircuitState.OPEN
        return CircuitState.HALF_OPEN

    def wait(self) -> timedelta | None:
        """None: go ahead (and report back). A duration: do not ask before it has passed."""
        match self.state:
            case CircuitState.CLOSED:
                return None
            case CircuitState.OPEN:
                return self._remaining()
            case CircuitState.HALF_OPEN:
                if self._probing:
                    return timedelta(seconds=5)  # another request is finding out
                self._probing = True
                return None

    @property
    def remaining(self) -> timedelta | None:
        """How long it stays open; None when it is not open."""
        return self._remaining() if self.state is CircuitState.OPEN else None

    def succeeded(self) -> None:
        self._failures = self._openings = 0
        self._pause = timedelta(0)
        self._probing = False

    def abandoned(self) -> None:
        """The request neither worked nor failed (it was cancelled): the next one may probe."""
        self._probing = False

    def failed(self, *, at_once: bool = False) -> bool:
        """True when this failure opened the circuit. at_once: more of the same is certain."""
        state = self.state
        self._failures += 1
        self._probing = False
        if state is CircuitState.OPEN and not at_once:
            return False  # it was on its way before: the opening is no news, and is not made longer by it
        if not (at_once or state is CircuitState.HALF_OPEN or self._failures >= self.threshold):
            return False
        self._openings += 1
        self._opened_at = self.clock()
        longest = self.longest_pause
        doubled = self.first_pause * 2 ** min(self._openings - 1, 16)
        self._pause = longest if at_once else min(doubled, longest)
        return True

    def _remaining(self) -> timedelta:
        return self._pause - timedelta(seconds=self.clock() - self._opened_at)
