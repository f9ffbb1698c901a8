"""The backlog, measured for the metrics: how much waits, for what, and for how long.

It is one of the leader's duties, so that one replica of a fleet has these series and the others have none:
whoever adds up what all replicas say counts nothing twice.
"""

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

import anyio
import asyncpg
import structlog

from reactor.db import calls
from reactor.db.borrow import LOST, borrow
from reactor.errors import kind_of, text_of
from reactor.telemetry import metrics, names

if TYPE_CHECKING:
    Pool = asyncpg.Pool[asyncpg.Record]
else:
    Pool = asyncpg.Pool

log = structlog.get_logger("reactor.backlog")

#: Seconds from one measurement to the next, and that one is believed when the next ones fail.
_EVERY = 15.0
_BELIEVED = 30.0


class Backlog:
    """One for a replica; :meth:`run` is one of the leader's duties."""

    def __init__(self, *, pool: Pool, database: str) -> None:
        self._pool = pool
        self._database = database

    async def run(self) -> None:
        """Until cancelled, which takes the series away. No failure ends the term."""
        clock = asyncio.get_running_loop().time
        good_until = clock()
        is_said = False
        try:
            while True:
                failure = await self._measure()
                if failure is None:
                    good_until = clock() + _BELIEVED
                elif clock() > good_until:
                    self._forget()
                # It is tried again and again; it is said once.
                if failure is not None and not is_said:
                    log.warning(names.BACKLOG_UNKNOWN, error=text_of(failure) or kind_of(failure))
                is_said = failure is not None
                await anyio.sleep(_EVERY)
        finally:
            self._forget()

    async def _measure(self) -> Exception | None:
        """None: it was measured. Else what kept it from that."""
        try:
            async with borrow(self._pool) as connection:
                try:
                    found = await calls.backlog(connection)
                except (asyncpg.QueryCanceledError, asyncpg.LockNotAvailableError) as error:
                    # Our own limit, and no fault of the session: beyond this block it would cost the replica
                    # all its connections.
                    return error
        except LOST as error:
            return error
        for name, gauge in metrics.BACKLOG.items():
            gauge.labels(self._database).set(found[name] or 0)
        return None

    def _forget(self) -> None:
        for gauge in metrics.BACKLOG.values():
            with suppress(KeyError):
                gauge.remove(self._database)
