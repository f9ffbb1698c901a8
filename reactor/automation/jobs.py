"""What the built-in automations do by the clock: periodic jobs of the leader, for all tenants.

They are registered in reactor.builtin, and run in a transaction that the
leader's term fences. A job has no tenant; what needs one becomes an event.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, LiteralString, Protocol

from structlog.typing import FilteringBoundLogger

from reactor.automation.reflections import reflect_missed
from reactor.automation.rules import evaluate_rules
from reactor.telemetry import names

if TYPE_CHECKING:
    from reactor.db.calls import Connection

# Settled emails and alert deliveries are kept so long.
KEEP_OUTBOUND = timedelta(days=90)
_PRUNE_BATCH = 5000

# One event for each tenant whose scores may be out of date; a tenant that has one waiting gets no second.
_SCORE_ALL: LiteralString = """
select reactor.emit(c.tenant_id, 'engagement.score', dedup_key => 'engagement.score')
from (
    select distinct c.tenant_id from public.engagement_clocks c
    where not c.is_compliant or c.priority_score <> 0) c
"""
_PRUNE: LiteralString = "select reactor.prune_outbound($1, $2)"


class JobContext(Protocol):
    """What these jobs need of what a periodic job is given."""

    @property
    def db(self) -> Connection: ...

    @property
    def log(self) -> FilteringBoundLogger: ...


async def reflect(ctx: JobContext) -> None:
    """Every few minutes: hours that ended, late and missed ones too, each once."""
    hours = await reflect_missed(ctx.db)
    if hours:
        ctx.log.info(names.HOURS_REFLECTED, hours=hours)


async def check_rules(ctx: JobContext) -> None:
    """Every few minutes: an alert that a rule raised is not raised again within the hour."""
    raised = await evaluate_rules(ctx.db)
    if raised:
        ctx.log.info(names.RULES_FIRED, alerts=raised)


async def rescore(ctx: JobContext) -> None:
    """Hourly: the days went on, so the priority of overdue clocks did."""
    await ctx.db.execute(_SCORE_ALL)


async def prune(ctx: JobContext) -> None:
    """Hourly: settled emails and alert deliveries that are old."""
    while await ctx.db.fetchval(_PRUNE, KEEP_OUTBOUND, _PRUNE_BATCH) == _PRUNE_BATCH:
        pass
