"""What a process does that is the reactor's alone, as `reactor run` is."""

import gc
import os
import signal
import sys
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import chain, repeat
from typing import Any

import structlog

from reactor.telemetry import names

#: Handlers and events, as the log has them.
InHand = list[dict[str, Any]]

log = structlog.get_logger("reactor.process")

#: New objects until the youngest are looked through, and how often the older ones are. A claim alone makes
#: thousands that are gone, by counting, milliseconds later; looking for circles among them was a third of
#: the work.
_THRESHOLD = (20_000, 20, 50)
#: The exit code of a process that was ended in the middle of something.
CUT_SHORT = 4
#: Signals that ask it to end, and the seconds from a second one to its end.
SIGNALS = (signal.SIGTERM, signal.SIGINT)
_AT_ONCE = 1.0
#: … of which the drain has so many.
HURRIED = 0.8
#: Seconds that its last words may take: nobody may be reading them.
_LAST_WORDS = 0.5


def tune() -> None:
    """Call it when everything is imported: what exists then is never collected again."""
    gc.freeze()
    gc.set_threshold(*_THRESHOLD)


@asynccontextmanager
async def last_resort(in_hand: Callable[[], InHand]) -> AsyncIterator[Callable[[float], None]]:
    """Gives :func:`end_within` for as long as the block lasts: when it has ended, nothing is left to end."""
    timers: list[threading.Timer] = []
    try:
        yield lambda seconds: timers.append(end_within(seconds, in_hand))
    finally:
        for timer in timers:
            timer.cancel()


def heed_signals(seconds: float, end_within: Callable[[float], None]) -> None:
    """From the first signal the process has so many seconds, from a second one hardly any.

    Called when the event loop listens for them, which it goes on doing: this is heard also while a handler
    keeps the loop from hearing anything.
    """
    allowed = chain([seconds], repeat(_AT_ONCE))
    for number in SIGNALS:
        signal.signal(number, lambda *_: end_within(next(allowed)))


def end_within(seconds: float, in_hand: Callable[[], InHand] = list) -> threading.Timer:
    """End the process hard so many seconds from now, if it still is there and the timer was not cancelled.

    Nothing gentler ends a thread, nor a task that swallows its cancellation. It is a thread itself, because
    the event loop may be what stands still. ``in_hand``: what is being done, asked then, for its last words.
    """
    timer = threading.Timer(seconds, _end, (in_hand,))
    timer.daemon = True
    timer.start()
    return timer


def _end(in_hand: Callable[[], InHand]) -> None:
    speaker = threading.Thread(target=_say, args=(in_hand,), daemon=True)
    speaker.start()
    speaker.join(_LAST_WORDS)
    os._exit(CUT_SHORT)


def _say(in_hand: Callable[[], InHand]) -> None:
    threads = [thread.name for thread in threading.enumerate() if not thread.daemon]
    log.error(
        names.ENDED_HARD,
        runs=in_hand(),
        threads=threads,
        hint="a handler or job that did not end is named before this, or is in one of the threads; a lease "
        "that was not given back runs out",
    )
    sys.stdout.flush()
    sys.stderr.flush()
