"""Finds handlers' connections that lost their other end: the handler waits for an answer, and the server
knows nothing of a question.

TCP says nothing about this for hours, and the lease would be extended for as long as the handler may take,
since the heartbeat has a connection of its own. So every few seconds the server is asked, over another
connection, what the backends of long waits are doing. One that works is waited for.
"""

import asyncio
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import anyio
import asyncpg
import structlog

from reactor.db import calls
from reactor.db.borrow import LOST, borrow
from reactor.engine.run import Run
from reactor.telemetry import names

if TYPE_CHECKING:
    Pool = asyncpg.Pool[asyncpg.Record]
else:
    Pool = asyncpg.Pool

log = structlog.get_logger("reactor.silence")

#: Seconds between looks, and how long an answer may take before the server is asked.
_LOOK = 1.5
_LONG = 3.0


class Silence:
    """Started by the replica; ends when it is cancelled."""

    def __init__(self, *, pool: Pool, runs: Callable[[], Iterable[Run]]) -> None:
        self._pool = pool
        self._runs = runs
        #: waits that looked idle at the last look: one look may meet the answer on its way
        self._suspects: set[tuple[Run, float]] = set()

    async def run(self) -> None:
        pause = _LOOK
        while True:
            await anyio.sleep(pause)
            pause = _LOOK
            waits = self._long_waits()
            if not waits:
                self._suspects.clear()
                continue
            try:
                busy = await self._busy(list(waits.values()))
            except LOST:
                # Our own connection is silent too, and the next one may be better; or the server is away,
                # and the lease decides.
                pause = _LOOK / 5
                continue
            if busy is None:
                continue
            idle = {wait for wait, pid in waits.items() if pid not in busy}
            for run, asked_at in idle & self._suspects:
                scope = run.scope
                if scope is not None and scope.asked_at == asked_at:
                    log.warning(
                        names.CONNECTION_SILENT,
                        tenant_id=str(run.tenant_id),
                        handler=run.handler,
                        seconds=round(asyncio.get_running_loop().time() - asked_at, 1),
                    )
                    scope.terminate()
            self._suspects = idle

    def _long_waits(self) -> dict[tuple[Run, float], int]:
        now = asyncio.get_running_loop().time()
        waits: dict[tuple[Run, float], int] = {}
        for run in self._runs():
            scope = run.scope
            if scope is None or not scope.asked_at or now - scope.asked_at < _LONG:
                continue
            connection = scope.connection
            if connection is None:
                continue
            try:
                waits[run, scope.asked_at] = connection.get_server_pid()
            except asyncpg.InterfaceError:
                continue  # it ended by itself meanwhile
        return waits

    async def _busy(self, pids: list[int]) -> set[int] | None:
        """Which of these backends are at work. None behind a pooler, which invents the ids."""
        async with borrow(self._pool) as connection:
            own, busy = await calls.busy_backends(connection, pids)
            return busy if own == connection.get_server_pid() else None
