"""Decides when to look for work: the doorbell, the pace under load, the poll.

Asleep: the replica's bit in the doorbell is set, and the next writer's commit notifies. Before sleeping it
looks once more, and again while a writer that may have read the bell before it was set is still open; so
no event is missed, and no writer ever waits. Busy (work at more than a few hundred commits a second): the
bit is cleared, writers do not notify at all, and the replica looks every millisecond and a half instead,
until it gets quiet. A claim that took all there was is followed by a pause, the longer the more tenants it
found: their next events are then claimed together, and the server has time for those who write them.

With several replicas every sleeper hears the bell. One that is woken in vain again and again (another is
serving the load) dozes: it clears its bit and looks less and less often, at least five times a second.
"""

from collections.abc import Callable
from enum import Enum
from typing import Literal, assert_never

Notify = Literal["armed", "always", "off"]

#: Claims that found work with no more than so many seconds between them are a stream …
_STREAM = 0.003
#: … and so many in a row make the replica busy.
_BUSY_AFTER = 12
#: Looking again while busy, and how long without work until it is quiet, in seconds.
_BUSY_LOOK = 0.0015
_QUIET_AFTER = 0.03
#: The poll when notifications cannot be relied on.
_FAST_POLL = 1.0
#: The pause for each tenant of a claim that took all there was, and the longest, in seconds.
_GATHER = 0.00025
_LONGEST_GATHER = 0.025
_LONGEST_DOZE = 0.2


class Rest(Enum):
    """What the claimer does next, after a look that found nothing."""

    ARM = "arm"
    DISARM = "disarm"
    LOOK = "look"


class Pace:
    """The decisions, without a clock or a connection of their own; times are loop seconds."""

    def __init__(self, mode: Notify) -> None:
        self.mode = mode
        self.armed = False
        self.busy = False
        self.last_work = 0.0
        self._stream = 0
        self._in_vain = 0
        self._gathering = 0.0

    def found(self, began: float, now: float, *, tenants: int, room: int) -> float:
        """A look found work of so many tenants, and there was room for so many; the pause before the next."""
        # From one look's end to the next one's beginning: a look at many tenants takes longer by itself.
        self._stream = self._stream + 1 if began - self.last_work - self._gathering < _STREAM else 0
        self.last_work = now
        self._in_vain = 0
        if self._stream >= _BUSY_AFTER and self.mode == "armed":
            self.busy = True
        self._gathering = min(_LONGEST_GATHER, tenants * _GATHER) if tenants < room else 0.0
        return self._gathering

    def woken(self) -> None:
        """The bell rang; found() takes it back when there was something."""
        self._in_vain += 1

    def rest(self, now: float) -> tuple[Rest, float]:
        """After a look that found nothing: what to do, and how long to wait first (seconds)."""
        match self.mode:
            case "off":
                return Rest.LOOK, 0.0
            case "always":
                return (Rest.LOOK if self.armed else Rest.ARM), 0.0
            case "armed":
                if self.busy and now - self.last_work < _QUIET_AFTER:
                    return (Rest.DISARM if self.armed else Rest.LOOK), _BUSY_LOOK
                self.busy = False
                if self._in_vain >= 4:
                    doze = min(_LONGEST_DOZE, 0.005 * 2.0 ** (self._in_vain - 4))
                    if self.armed:
                        return Rest.DISARM, doze
                    self._in_vain += 1
                    if doze < _LONGEST_DOZE:
                        return Rest.LOOK, doze
                    self._in_vain = 2
                return (Rest.LOOK if self.armed else Rest.ARM), 0.0
            case _ as never:
                assert_never(never)


def poll_seconds(slow: float, *, mode: Notify, listener_healthy: Callable[[], bool]) -> float:
    """How long to sleep at most: slowly while notifications arrive, else every second."""
    if mode == "off" or not listener_healthy():
        return min(slow, _FAST_POLL)
    return slow
