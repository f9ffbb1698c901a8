"""Asks the policies before every action: loads what they judge by, and records what they block."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import LiteralString
from uuid import UUID

import asyncpg

from reactor.automation import policies
from reactor.automation.policies import Action, Facts, Slot, Suppressions, Violation
from reactor.automation.tenant_settings import ActionType, AgentSettings
from reactor.context import Context, TenantDb
from reactor.outbound.email import BLANKS, comparable
from reactor.telemetry import metrics, names

_KNOWN = frozenset(ActionType)

_SUPPRESSED: LiteralString = """
select s.contact_id, a.address
from public.email_suppressions s
cross join lateral (select lower(btrim(s.email, $4::text)) as address) a
where s.tenant_id = $1 and (s.contact_id = any ($2) or a.address = any ($3))
"""
_OVERDUE: LiteralString = """
select count(*) from public.engagement_clocks c where c.tenant_id = $1 and c.next_touch_due <= reactor.now()
"""
_RESERVE: LiteralString = """
select r.slot, r.granted, r.delay, r.slot = date_trunc('hour', reactor.now(), 'UTC') as open_now
from reactor.reserve_slots($1, $2, $3, $4, $5, $6) r
"""
_THIS_HOUR: LiteralString = "select date_trunc('hour', reactor.now(), 'UTC')"
_RECORD: LiteralString = """
insert into public.agent_policy_violations
    (tenant_id, run_id, violation_type, action_type, action_data, reason, blocked, created_at)
select $1, $2, v.violation_type, v.action_type, v.action_data, v.reason, true, reactor.now()
from jsonb_to_recordset($3) as v (violation_type text, action_type text, action_data jsonb, reason text)
"""


@dataclass(frozen=True, slots=True)
class Decision:
    """What the policies say about one action. violation None: act now."""

    action: Action
    violation: Violation | None
    # Of a rate-limited action: the hour whose allowance is kept for it, and how long until then.
    slot: datetime | None = None
    delay: timedelta = timedelta(0)

    @property
    def postponed(self) -> bool:
        return self.violation is not None and self.violation.policy == "rate_limit"


async def guard(ctx: Context, settings: AgentSettings, actions: Sequence[Action]) -> list[Decision]:
    """One decision for each action, in their order. Blocked ones are recorded and counted.

    Allowed and postponed actions have taken their place in agent_rate_limits. An action whose `slot` is
    this hour has one already.
    """
    if not actions:
        return []
    facts = await load_facts(ctx.db, ctx.tenant_id, settings, actions)
    found = [policies.check(action, facts) for action in actions]
    decisions: list[Decision | None] = [
        None if violation is None else Decision(action, violation)
        for action, violation in zip(actions, found, strict=True)
    ]
    held = {action.slot for action in actions if action.slot is not None}
    this_hour = await ctx.db.fetchval(_THIS_HOUR) if held else None
    waiting: dict[str, list[int]] = {}
    for index, action in enumerate(actions):
        if decisions[index] is None:
            if this_hour is not None and action.slot == this_hour:
                decisions[index] = Decision(action, None, action.slot)
            else:
                waiting.setdefault(action.type, []).append(index)
    for action_type, indexes in waiting.items():
        places = await _reserve(ctx, settings, action_type, len(indexes))
        for index, (slot, delay) in zip(indexes, places, strict=True):
            violation = policies.rate_limit(actions[index], slot)
            decisions[index] = Decision(actions[index], violation, slot.opens_at, delay)
    decided = [decision for decision in decisions if decision is not None]
    await record(ctx, decided)
    return decided


async def load_facts(
    db: TenantDb, tenant_id: UUID, settings: AgentSettings, actions: Sequence[Action]
) -> Facts:
    """What policies.check judges these actions by."""
    researches = any(action.type == ActionType.RESEARCH for action in actions)
    overdue = int(await db.fetchval(_OVERDUE, tenant_id)) if researches else 0
    return policies.facts_from(settings, overdue, await _suppressions(db, tenant_id, actions))


async def _suppressions(db: TenantDb, tenant_id: UUID, actions: Sequence[Action]) -> Suppressions | None:
    contacts = list({action.contact_id for action in actions if action.contact_id is not None})
    addresses = list({comparable(action.address) for action in actions if action.address})
    if not contacts and not addresses:
        return Suppressions(frozenset(), frozenset())
    try:
        async with db.transaction():
            rows = await db.fetch(_SUPPRESSED, tenant_id, contacts, addresses, BLANKS)
    except (asyncpg.SyntaxOrAccessError, asyncpg.DataError):
        return None  # the application changed its table: nobody is written to
    return Suppressions(
        frozenset(row["contact_id"] for row in rows if row["contact_id"] is not None),
        frozenset(comparable(row["address"]) for row in rows if row["address"] is not None),
    )


async def _reserve(
    ctx: Context, settings: AgentSettings, action_type: str, count: int
) -> list[tuple[Slot, timedelta]]:
    limits = policies.limits_for(action_type, settings)
    rows = await ctx.db.fetch(
        _RESERVE,
        ctx.tenant_id,
        action_type,
        count,
        limits.per_hour,
        limits.per_day,
        limits.actions_per_hour,
    )
    places: list[tuple[Slot, timedelta]] = []
    for row in rows:
        slot = Slot(row["slot"], bool(row["open_now"]), limits.say())
        places += [(slot, row["delay"])] * int(row["granted"])
    return places


async def record(ctx: Context, decisions: Sequence[Decision]) -> None:
    """One row of agent_policy_violations for each blocked action, and the run's counter."""
    blocked = [decision for decision in decisions if decision.violation is not None]
    if not blocked:
        return
    rows = [_row(decision.action, decision.violation) for decision in blocked if decision.violation]
    await ctx.db.execute(_RECORD, ctx.tenant_id, ctx.run_id, rows)
    ctx.run.blocked += len(blocked)
    for row in rows:
        # A user's handler may ask for anything; a label holds what is known only.
        known = row["action_type"] if row["action_type"] in _KNOWN else "other"
        metrics.ACTIONS_BLOCKED.labels(known, row["violation_type"]).inc()
    ctx.log.info(names.ACTIONS_BLOCKED, policies=Counter(str(row["violation_type"]) for row in rows))


def _row(action: Action, violation: Violation) -> dict[str, object]:
    data: dict[str, object] = {
        name: value for name, value in action.payload.items() if name not in ("text", "html")
    }
    data["cause"] = action.cause
    if action.contact_id is not None:
        data["contact_id"] = str(action.contact_id)
    if violation.retry_at is not None:
        data["retry_at"] = violation.retry_at.isoformat()
    return {
        "violation_type": violation.policy,
        "action_type": action.type,
        "action_data": data,
        "reason": violation.reason,
    }
