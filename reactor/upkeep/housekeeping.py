"""Housekeeping: partitions, retention, the fleet's list, clocks that stay overdue, parked events.

Each job works in small steps, every one fenced by the leader's term and committed by itself.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

import asyncpg
import structlog

from reactor.db import calls
from reactor.handlers import Job
from reactor.settings import Settings
from reactor.telemetry import names
from reactor.upkeep.schedule import JobContext

if TYPE_CHECKING:
    Pool = asyncpg.Pool[asyncpg.Record]
else:
    Pool = asyncpg.Pool

log = structlog.get_logger("reactor.housekeeping")

_BATCH = 1000


class Housekeeping:
    """One term's housekeeping."""

    def __init__(self, *, pool: Pool, term: int, settings: Settings) -> None:
        self._pool = pool
        self._term = term
        self._settings = settings

    @property
    def jobs(self) -> Sequence[Job]:
        return [
            Job("reactor.fleet", self._fleet, timedelta(minutes=1), in_transaction=False),
            Job("reactor.clocks", self._clocks, timedelta(hours=1), in_transaction=False),
            Job("reactor.partitions", self._partitions, timedelta(hours=1), in_transaction=False),
            Job("reactor.retention", self._retention, timedelta(hours=1), in_transaction=False),
        ]

    async def unpark(self, connection: calls.Connection) -> None:
        """A gate moved: events of tenants that may act again go on."""
        total = 0
        while count := await calls.unpark(connection, _BATCH * 5):
            total += count
        if total:
            log.info(names.UNPARKED, events=total)

    async def _fleet(self, ctx: JobContext) -> None:
        await ctx.db.execute("select reactor.clean_fleet($1)", self._term)
        # In case the notification of a gate was lost.
        await self.unpark(ctx.db)

    async def _clocks(self, ctx: JobContext) -> None:
        while await ctx.db.fetchval("select reactor.reevaluate_clocks($1, $2)", self._term, _BATCH) == _BATCH:
            pass

    async def _partitions(self, ctx: JobContext) -> None:
        await ctx.db.execute("select reactor.require_leader($1)", self._term)
        await ctx.db.execute("select reactor.ensure_partitions()")

    async def _retention(self, ctx: JobContext) -> None:
        await ctx.db.execute(
            "select reactor.keep_history($1, $2)",
            self._term,
            timedelta(days=self._settings.retention_events_days),
        )
