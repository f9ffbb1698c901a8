"""Decides when to look for work: the doorbell, the pace under load, the poll.

Asleep: the replica's bit in the doorbell is set, and the next writer's commit notifies. Before sleeping it
looks once more, and again while a writer that may have read the bell before it was set is still open; so
no event is missed, and no writer ever waits. Busy (most looks find work): the bit is cleared, writers do not
notify at all, and the replica looks every millisecond and a half instead, then less often, until it has
been quiet for a while. A claim that took all there was is followed by a pause, the longer the more tenants
it found and the longer it took: what comes meanwhile is claimed together, and a server that is short of
time has it for those who write.

Those who notify commit one after the other, so where a flush takes long they come no faster than a replica is
done with each, and look like work that comes now and then. So one that is woken again and again asks whether
commits wait for each other, and if so is busy as well.

Tenants that the application itself holds for a moment (a row lock, a lease in a transaction that goes on) are
passed over, and looked at again soon: what ends there does not ring.

With several replicas every sleeper hears the bell. One that is woken in vain again and again (another is
serving the load) dozes: it clears its bit and looks less and less often, at least five times a second.
"""

import math
from collections.abc import Callable
from enum import Enum
from typing import Literal, assert_never

Notify = Literal["armed", "always", "off"]

#: So many more looks that found work than looks in vain are a stream, and make the replica busy.
_BUSY_AFTER = 12
#: Looking again while busy, at first, and how long without work until it is quiet, in seconds.
_BUSY_LOOK = 0.0015
_QUIET_AFTER = 0.1
#: Work that comes closer together than that, in seconds, makes it ask whether writers wait; so often at most.
_CLOSE = 0.05
#: The poll when notifications cannot be relied on.
_FAST_POLL = 1.0
#: The pause for each tenant of a claim that took all there was, in seconds: at least; while busy at most …
_GATHER = 0.00025
_GATHER_BUSY = 0.001
#: … between those as many times as long as the look took. And the longest for all of them.
_DUTY = 4.0
_LONGEST_GATHER = 0.05
_LONGEST_DOZE = 0.2
#: When to look again after tenants that the application held, in seconds: at first, and at the latest.
_AGAIN = 0.02
_LATEST_AGAIN = 1.0


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
        self._is_close = False
        #: the last look left nothing behind, and what came after it rings
        self.hears_all = False
        #: look again after so many seconds, whoever rings or not
        self.again = math.inf
        self._stream = 0
        self._in_vain = 0
        self._asked_at = self._ask_at = 0.0

    def passed_over(self, some: bool) -> None:
        """Whether a look met tenants that a transaction of the application holds."""
        if not some:
            self.again = math.inf
        elif math.isinf(self.again):
            self.again = _AGAIN
        else:
            self.again = min(2 * self.again, _LATEST_AGAIN)

    def found(self, now: float, *, tenants: int, room: int, took: float) -> float:
        """A look found work of so many tenants, and there was room for so many; the pause before the next."""
        # Counted by looks, not by time: on a crowded machine a look takes long, and then whoever writes
        # would wait for notifications that hold up all commits.
        self._stream = min(self._stream + 1, _BUSY_AFTER)
        self._is_close = now - self.last_work < _CLOSE
        self.last_work = now
        self._in_vain = 0
        if self._stream >= _BUSY_AFTER and self.mode == "armed":
            self.busy = True
        self.hears_all = tenants < room and self.armed and not self.busy
        if tenants >= room:
            return 0.0
        least, most = tenants * _GATHER, tenants * (_GATHER_BUSY if self.busy else _GATHER)
        return min(_LONGEST_GATHER, max(least, min(most, took * _DUTY)))

    def is_to_ask(self, now: float) -> bool:
        """Work was found: whether to ask if those who wrote it had to wait for each other's notifications."""
        if not self._is_close or not self.armed or self.busy or self.mode != "armed" or now < self._ask_at:
            return False
        self._asked_at = now
        return True

    def answered(self, now: float, *, they_wait: bool) -> None:
        """They had to, or not. A server with very many locks takes long to say so and is asked less often."""
        self._ask_at = max(self._asked_at + _CLOSE, now + 20 * (now - self._asked_at))
        if they_wait:
            self.busy = True
            self.hears_all = False

    def woken(self) -> None:
        """The bell rang; found() takes it back when there was something."""
        self._in_vain += 1

    def rest(self, now: float) -> tuple[Rest, float]:
        """After a look that left nothing: what to do, and how long to wait first (seconds)."""
        self._stream = max(0, self._stream - 1)
        match self.mode:
            case "off":
                return Rest.LOOK, 0.0
            case "always":
                return (Rest.LOOK if self.armed else Rest.ARM), 0.0
            case "armed":
                silence = now - self.last_work
                if self.busy and silence < _QUIET_AFTER:
                    return (Rest.DISARM if self.armed else Rest.LOOK), max(_BUSY_LOOK, silence / 4)
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
