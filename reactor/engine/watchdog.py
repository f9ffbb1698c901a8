"""Watches handlers: one that takes too long is cancelled, one that swallows that is given up and
named, and one that blocks the event loop is named by a thread.
"""

import asyncio
import sys
import threading
import time
from collections.abc import Callable, Iterable

import anyio
import structlog

from reactor.engine.run import Run
from reactor.frames import where_running, where_suspended
from reactor.telemetry import names

log = structlog.get_logger("reactor.watchdog")

#: How often to look, how long a cancelled handler may clean up, how long the loop may stand still.
_LOOK = 0.2
_GRACE = 5.0
_STALL = 1.0


class Watchdog:
    """Started by the engine: one task in the loop, one thread beside it."""

    def __init__(self, *, runs: Callable[[], Iterable[Run]], give_up: Callable[[Run], None]) -> None:
        self._runs = runs
        self._give_up = give_up
        self._ticked = time.monotonic()
        self._loop_thread = threading.get_ident()
        self._stopped = threading.Event()
        self._cancelled_at: dict[Run, float] = {}

    async def run(self) -> None:
        thread = threading.Thread(target=self._watch_loop, name="reactor watchdog", daemon=True)
        thread.start()
        try:
            while True:
                self._ticked = time.monotonic()
                self._look()
                await anyio.sleep(_LOOK)
        finally:
            self._stopped.set()

    def _look(self) -> None:
        now = asyncio.get_running_loop().time()
        runs = list(self._runs())
        for run in runs:
            if run.task is None:
                continue
            cancelled_at = self._cancelled_at.get(run)
            if cancelled_at is not None:
                if not run.timed_out:
                    del self._cancelled_at[run]
                elif now - cancelled_at > _GRACE and not run.given_up:
                    run.given_up = True
                    log.error(
                        names.HANDLER_IGNORES_CANCELLATION,
                        handler=run.handler,
                        event_id=run.event.id if run.event else None,
                        tenant_id=str(run.tenant_id),
                        where=where_suspended(run.task),
                    )
                    self._give_up(run)
            elif run.calling_since and run.limit and now - run.calling_since > run.limit:
                run.timed_out = True
                self._cancelled_at[run] = now
                log.warning(
                    names.HANDLER_TIMED_OUT,
                    handler=run.handler,
                    event_id=run.event.id if run.event else None,
                    tenant_id=str(run.tenant_id),
                    limit_seconds=run.limit,
                    where=where_suspended(run.task),
                )
                run.task.cancel()
        for run in set(self._cancelled_at) - set(runs):
            del self._cancelled_at[run]

    def _watch_loop(self) -> None:
        """In the thread: say where the loop stands when it stands still."""
        told = 0.0
        while not self._stopped.wait(_LOOK):
            ticked = self._ticked
            if time.monotonic() - ticked < _STALL + _LOOK or ticked == told:
                continue
            told = ticked
            frame = sys._current_frames().get(self._loop_thread)
            handlers = sorted({run.handler for run in list(self._runs()) if run.calling_since})
            log.error(
                names.HANDLER_BLOCKS_LOOP,
                handlers=handlers,
                seconds=round(time.monotonic() - ticked, 1),
                where=where_running(frame) if frame is not None else [],
                hint="a handler must await; run blocking code with anyio.to_thread.run_sync",
            )
