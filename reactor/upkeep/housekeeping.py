"""Housekeeping: partitions, retention, the fleet's list, clocks that stay overdue, parked events.

Each job works in small steps, every one fenced by the leader's term and committed by itself.
"""

from collections.abc import Sequence
from datetime import timedelta

import structlog

from reactor.db import calls
from reactor.db.pool import Pool
from reactor.handlers import Job
from reactor.settings import Settings
from reactor.telemetry import names
from reactor.upkeep.schedule import JobContext

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
        # Until none is left but those that the application refuses: they are counted by no call.
        while await ctx.db.fetchval("select reactor.reevaluate_clocks($1, $2)", self._term, _BATCH):
            pass

    async def _partitions(self, ctx: JobContext) -> None:
        made = await ctx.db.fetchval("select reactor.ensure_partitions($1)", self._term)
        if made:
            log.info(names.PARTITIONS_MADE, partitions=made)

    async def _retention(self, ctx: JobContext) -> None:
        """Forget what is older than its time, in bounded batches, saying how far it is."""
        settings = self._settings
        keep = timedelta(days=settings.retention_events_days)
        await ctx.db.execute("select reactor.keep_history($1, $2)", self._term, keep)
        limit = _BATCH * 5
        while limit <= await ctx.db.fetchval(
            "select reactor.forget_history($1, $2, $3)", self._term, keep, limit
        ):
            pass
        removed: dict[str, int] = {}
        # In the order in which apply_retention() takes them; none: that one is done.
        keeps: dict[str, timedelta | None] = {
            relation: timedelta(days=days)
            for relation, days in (
                ("agent_autonomous_runs", settings.retention_runs_days),
                ("agent_policy_violations", settings.retention_violations_days),
                ("email_provider_failures", settings.retention_email_failures_days),
                ("agent_hourly_reflections", settings.retention_reflections_days),
                ("agent_rate_limits", settings.retention_rate_limits_days),
                ("agent_alerts", settings.retention_alerts_days),
            )
        }
        while any(keeps.values()):
            rows = await ctx.db.fetch(
                "select relation, removed, dropped, more "
                "from reactor.apply_retention($1, $2, $3, $4, $5, $6, $7, $8)",
                self._term,
                limit,
                *keeps.values(),
            )
            for row in rows:
                relation, gone = row["relation"], row["removed"] + row["dropped"]
                removed[relation] = removed.get(relation, 0) + gone
                # What somebody reads, a backup for hours, is for another hour: whoever writes there queues up
                # behind each try.
                if not row["more"] or not gone:
                    keeps[relation] = None
            if any(removed.values()):
                log.info(names.RETENTION, **{k: v for k, v in removed.items() if v})
