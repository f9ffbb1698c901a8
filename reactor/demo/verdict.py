"""Judges a finished run: was every event handled, is every order's verdict right, has every overdue clock an
outcome, and was nothing done for a tenant that was switched off?
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import LiteralString
from uuid import UUID

from reactor.db.pool import Connection
from reactor.demo.check_orders import check_orders

_LEFT: LiteralString = """
select e.event_type, count(*) as n, case
    when e.available_at is null then 'ready'
    when e.available_at = 'infinity' then 'waits for its tenant'
    else 'waits until later' end as why
from reactor.events e group by 1, 3 order by 1, 3
"""
_WAITING: LiteralString = """
select count(*) filter (where available_at is distinct from 'infinity') as left,
    count(*) filter (where available_at = 'infinity') as parked
from reactor.events
"""
_DEAD: LiteralString = """
select d.event_type, d.reason, count(*) as n from reactor.dead_events d group by 1, 2 order by 1, 2
"""
_HANDLED: LiteralString = """
select h.event_type, h.outcome, count(*) as n from reactor.history h group by 1, 2 order by 1, 2
"""
_NO_VERDICT: LiteralString = """
select o.id from public.orders o
left join public.order_processing_queue q on q.order_id = o.id and q.tenant_id = o.tenant_id
where q.id is null or q.processed_at is null
    or q.status not in ('validated', 'exception', 'skipped')
"""
# What can become of an overdue clock: a card for a person, an email (one that was sent also winds the clock
# up again), or a policy that forbids both.
_NO_OUTCOME: LiteralString = """
select c.id from public.engagement_clocks c
join public.tenants t on t.id = c.tenant_id and t.is_active and t.agent_enabled
where c.next_touch_due <= clock_timestamp()
    and not exists (
        select from public.kanban_cards k
        where k.tenant_id = c.tenant_id and k.action_payload ->> 'clock_id' = c.id::text)
    and not exists (select from reactor.email_intents i where i.tenant_id = c.tenant_id and i.clock_id = c.id)
    and not exists (
        select from public.agent_policy_violations v
        where v.tenant_id = c.tenant_id and v.action_data ->> 'clock_id' = c.id::text)
"""
_DONE_FOR_CLOSED: LiteralString = """
select t.name,
    (select count(*) from public.order_processing_queue q
     where q.tenant_id = t.id and q.status in ('validated', 'exception')) as verdicts,
    (select count(*) from public.kanban_cards k where k.tenant_id = t.id) as cards,
    (select count(*) from reactor.email_intents i where i.tenant_id = t.id) as emails
from public.tenants t
where t.id = any ($1)
"""
_COUNTS: LiteralString = """
select
    (select count(*) from public.orders) as orders,
    (select count(*) from public.order_processing_queue where status = 'validated') as validated,
    (select count(*) from public.order_processing_queue where status = 'exception') as with_exceptions,
    (select count(*) from public.order_processing_queue where auto_fixes <> '[]') as corrected,
    (select count(*) from public.order_processing_exceptions where not resolved) as open_exceptions,
    (select count(*) from public.kanban_cards) as cards,
    (select count(*) from public.engagement_clocks) as clocks,
    (select count(*) from public.engagement_clocks
     where next_touch_due <= clock_timestamp()) as overdue_clocks,
    (select count(*) from reactor.email_intents where status = 'sent') as emails_sent,
    (select count(*) from reactor.email_intents where status = 'dry_run') as emails_dry_run,
    (select count(*) from public.agent_policy_violations) as blocked_actions,
    (select count(*) from public.agent_alerts) as alerts,
    (select count(*) from public.agent_autonomous_runs where status = 'completed') as runs
"""


@dataclass(slots=True)
class Verdict:
    """Counts, and every problem as a sentence; none: all is well."""

    counts: dict[str, int] = field(default_factory=dict)
    handled: dict[str, int] = field(default_factory=dict)
    discarded: int = 0
    left: int = 0
    parked: int = 0
    """Of tenants that are switched off; these are not among those left."""
    dead: int = 0
    problems: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return not self.problems


async def tally(connection: Connection) -> Verdict:
    """Counts only, of a demo that was ended at some moment. A dead event is a problem at any moment."""
    verdict = Verdict()
    row = await connection.fetchrow(_COUNTS)
    assert row is not None
    verdict.counts = dict(row.items())
    for row in await connection.fetch(_HANDLED):
        if row["outcome"] == "handled":
            verdict.handled[row["event_type"]] = row["n"]
        else:
            verdict.discarded += row["n"]
    row = await connection.fetchrow(_WAITING)
    assert row is not None
    verdict.left, verdict.parked = row["left"], row["parked"]
    for row in await connection.fetch(_DEAD):
        verdict.dead += row["n"]
        verdict.problems.append(f"{row['n']} {row['event_type']} dead: {row['reason']}")
    return verdict


async def judge(connection: Connection) -> Verdict:
    """Judges a bounded run, which is over. What was (not) done for closed tenants, :func:`idle_for_closed`
    says before they are switched on."""
    verdict = await tally(connection)
    for row in await connection.fetch(_LEFT):
        verdict.problems.append(f"{row['n']} {row['event_type']} not handled: {row['why']}")
    for what, query in (
        ("orders without a verdict", _NO_VERDICT),
        ("overdue clocks without an outcome", _NO_OUTCOME),
    ):
        ids = [row["id"] for row in await connection.fetch(query)]
        if ids:
            verdict.problems.append(f"{len(ids)} {what}, e.g. {ids[0]}")
    verdict.problems += (await check_orders(connection))[:20]
    return verdict


async def idle_for_closed(connection: Connection, closed: Sequence[UUID]) -> list[str]:
    """What was done for these tenants although they are switched off; nothing is right."""
    problems = []
    for row in await connection.fetch(_DONE_FOR_CLOSED, closed):
        done = ", ".join(f"{row[what]} {what}" for what in ("verdicts", "cards", "emails") if row[what])
        if done:
            problems.append(f"{row['name']} is switched off, and yet there are {done}")
    return problems
