"""The backlog, measured for the metrics: how much waits, for what, and for how long.

It is one of the leader's duties, so that one replica of a fleet has these series and the others have none:
whoever adds up what all replicas say counts nothing twice.
"""

import anyio
import asyncpg
import structlog

from reactor.db import operations
from reactor.db.borrow import LOST, borrow
from reactor.db.pool import Pool
from reactor.errors import kind_of, text_of
from reactor.telemetry import metrics, names

log = structlog.get_logger("reactor.backlog")

#: Seconds from one measurement to the next.
_EVERY = 15.0


class Backlog:
    """One for a replica; :meth:`run` is one of the leader's duties."""

    def __init__(self, *, pool: Pool, database: str) -> None:
        self._pool = pool
        self._database = database

    async def run(self) -> None:
        """Until cancelled, which takes the series away. No failure ends the term."""
        is_said = False
        try:
            while True:
                failure = await self._measure()
                # It is tried again and again; it is said once.
                if failure is not None and not is_said:
                    log.warning(names.BACKLOG_UNKNOWN, error=text_of(failure) or kind_of(failure))
                is_said = failure is not None
                await anyio.sleep(_EVERY)
        finally:
            metrics.BACKLOG.forget(self._database)

    async def _measure(self) -> Exception | None:
        """None: it was measured. Else what kept it from that."""
        try:
            async with borrow(self._pool) as connection:
                try:
                    found = await operations.backlog(connection)
                except (asyncpg.QueryCanceledError, asyncpg.LockNotAvailableError) as error:
                    # Our own limit, and no fault of the session: beyond this block it would cost the replica
                    # all its connections.
                    return error
        except LOST as error:
            return error
        metrics.BACKLOG.show(self._database, found)
        return None
