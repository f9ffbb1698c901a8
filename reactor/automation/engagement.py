"""engagement.overdue: somebody should be in touch with these contacts. Plan, act, react, reflect.

A whole batch of a tenant's overdue clocks is loaded with one query, judged by
pure functions (followup.py, policies.py) and written back with one statement a
kind. In mode 'send' nothing is sent here: an email becomes an intent and an
event email.send in this transaction, and sending.py does the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, LiteralString
from uuid import UUID

from reactor.automation.followup import OverdueClock, Proposal, as_text, card_for, propose
from reactor.automation.guard import Decision, guard
from reactor.automation.policies import UNREADABLE
from reactor.automation.resources import resources_of
from reactor.automation.tenant import load_tenant, say_broken
from reactor.automation.tenant_settings import ActionType, AgentSettings, EmailMode
from reactor.automation.written import count_of, require_written
from reactor.context import Context
from reactor.errors import Discard, Retry
from reactor.events import Event
from reactor.outbound import intents
from reactor.outbound.email import BLANKS, trimmed

SEND_EVENT = "email.send"
OVERDUE_EVENT = "engagement.overdue"
SCORE_EVENT = "engagement.score"
# An email to the same person is on its way for another clock: look again when it has gone.
SAME_PERSON_PAUSE = timedelta(hours=1)

# Each look-up is a lateral that cannot be flattened (`offset 0`), after the ids it is for were worked out. A
# join on coalesce(…) has no index; a hundred clocks would read all contacts and emails of the tenant.
_LOAD: LiteralString = """
with asked as materialized (
    select c.id, c.client_id, c.contact_id, c.next_touch_due,
        case when isfinite(c.next_touch_due) then
            floor(extract(epoch from reactor.now() - c.next_touch_due) / 86400)::int
        else 0 end as days_overdue
    from public.engagement_clocks c
    where c.tenant_id = $1 and c.id = any ($2)
),
faced as materialized (
    select a.*, coalesce(a.contact_id, f.id) as person_id
    from asked a
    left join lateral (
        select k.id
        from public.contacts k
        where a.contact_id is null and k.tenant_id = $1 and k.client_id = a.client_id
        order by k.is_primary desc nulls last, (btrim(coalesce(k.email::text, ''), $3) <> '') desc, k.id
        limit 1) f on true
),
people as materialized (
    select a.id, a.next_touch_due, a.days_overdue, a.contact_id is null as is_the_clients,
        coalesce(a.client_id, k.client_id) as client_id,
        k.id as contact_id, k.first_name, k.last_name, k.email, k.title, k.is_primary
    from faced a
    left join lateral (
        select k.* from public.contacts k where k.tenant_id = $1 and k.id = a.person_id offset 0) k on true
)
select p.id, p.days_overdue, reactor.now() as now, p.next_touch_due <= reactor.now() as overdue,
    p.is_the_clients, p.client_id, p.contact_id,
    coalesce(p.first_name, '') as first_name, coalesce(p.last_name, '') as last_name,
    p.email::text as email, coalesce(p.title, '') as title,
    coalesce(l.company_name, '') as company_name,
    reactor.engagement_score(p.days_overdue, p.is_primary, p.title)::float8 as score,
    exists (
        select from reactor.email_intents i
        where i.tenant_id = $1 and i.contact_id = p.contact_id and i.status = 'sent'
            and i.settled_at >= p.next_touch_due) as written_since
from people p
left join lateral (
    select l.company_name
    from public.clients l
    where l.tenant_id = $1 and l.id = p.client_id
    offset 0) l on true
"""
# A card about a clock is about its client or contact, and found by them: row level security would not let a
# handler use an index of the payload.
_OPEN_CARDS: LiteralString = """
select distinct k.action_payload ->> 'clock_id'
from public.kanban_cards k
where k.tenant_id = $1 and (k.client_id = any ($3) or k.contact_id = any ($4))
    and k.state in ('suggested', 'in_review', 'approved', 'executing')
    and k.action_payload ->> 'clock_id' = any ($2)
"""
_CARDS: LiteralString = """
insert into public.kanban_cards (
    tenant_id, client_id, contact_id, type, title, description, rationale, priority, state, action_payload,
    due_at)
select $1, c.client_id, c.contact_id, c.type, c.title, c.description, c.rationale, c.priority, 'suggested',
    c.action_payload, reactor.now() + interval '1 day'
from jsonb_to_recordset($2) as c (
    client_id uuid, contact_id uuid, type text, title text, description text, rationale text, priority text,
    action_payload jsonb)
"""
_SCORE: LiteralString = "select reactor.score_clocks($1)"
_TOUCH: LiteralString = "select public.update_engagement_clock($1, $2, $3, 'email', null)"


async def handle_overdue(events: Sequence[Event[Any]], ctx: Context) -> None:
    """A batch of one tenant's engagement.overdue events; each event's subject is a clock."""
    ctx.run.phase = "plan"
    tenant = await load_tenant(ctx)
    if not tenant.loaded.usable:
        wait = await say_broken(ctx, tenant.loaded.problems)
        for event in events:
            ctx.fail(event, wait)
        return
    settings = tenant.loaded.settings
    mailer = resources_of(ctx).mailer
    sender_name = settings.email_from_name or mailer.sender_name or tenant.name

    by_clock: dict[UUID, Event[Any]] = {}
    for event in events:
        if event.subject_id is None:
            ctx.fail(event, Discard("an engagement.overdue event needs the clock's id as its subject"))
        else:
            by_clock[event.subject_id] = event
    clocks = await _load_clocks(ctx, by_clock)
    open_cards = await _open_cards(ctx, clocks)
    proposals = [
        propose(clock, settings, tenant_name=tenant.name, sender_name=sender_name)
        for clock in sorted(clocks, key=lambda c: (-c.score, c.id))
        if str(clock.id) not in open_cards
    ]
    ctx.run.planned += len(proposals)

    ctx.run.phase = "act"
    decisions = await guard(ctx, settings, [proposal.action for proposal in proposals])
    decided = list(zip(proposals, decisions, strict=True))
    for proposal, decision in decided:
        if decision.postponed and proposal.action.type != ActionType.EMAIL_SEND:
            await _postpone(ctx, proposal, decision)
    await _make_cards(
        ctx,
        [p for p, d in decided if d.violation is None and p.action.type != ActionType.EMAIL_SEND],
    )
    emails = [
        (proposal, decision)
        for proposal, decision in decided
        if proposal.action.type == ActionType.EMAIL_SEND
        and (decision.violation is None or decision.postponed)
    ]
    busy = await _queue_emails(ctx, settings, emails, mailer.sender, sender_name)
    for clock in busy:
        wait = Retry(SAME_PERSON_PAUSE, "an email to this contact is waiting", counts=False)
        ctx.fail(by_clock[clock.id], wait)
    for proposal, decision in decided:
        if decision.violation is not None and decision.violation.reason == UNREADABLE:
            ctx.fail(by_clock[proposal.clock.id], Retry(reason=UNREADABLE))
    ctx.run.phase = "reflect"


async def score_clocks(event: Event[Any], ctx: Context) -> None:
    """Handles engagement.score: priority_score of the tenant's overdue clocks, set-based."""
    await ctx.db.execute(_SCORE, ctx.tenant_id)


async def _load_clocks(ctx: Context, by_clock: dict[UUID, Event[Any]]) -> list[OverdueClock]:
    rows = await ctx.db.fetch(_LOAD, ctx.tenant_id, list(by_clock), BLANKS)
    found = {row["id"] for row in rows}
    for clock_id, event in by_clock.items():
        if clock_id not in found:
            ctx.fail(event, Discard(f"clock {clock_id} is gone"))
    clocks: list[OverdueClock] = []
    for row in rows:
        if not row["overdue"]:
            continue  # somebody was in touch meanwhile
        if row["is_the_clients"] and row["written_since"]:
            # The client's contact got an email for a clock of their own after this deadline: that counts.
            await ctx.db.execute(_TOUCH, ctx.tenant_id, row["client_id"], None)
            continue
        slot = _held_slot(by_clock[row["id"]])
        if slot is not None and slot > row["now"]:
            wait = Retry(slot - row["now"], "the hour it has a place in has not begun", counts=False)
            ctx.fail(by_clock[row["id"]], wait)
            continue
        clocks.append(
            OverdueClock(
                id=row["id"],
                days_overdue=row["days_overdue"],
                score=row["score"],
                client_id=row["client_id"],
                contact_id=row["contact_id"],
                first_name=row["first_name"],
                last_name=row["last_name"],
                email=trimmed(row["email"]),
                title=row["title"],
                company_name=row["company_name"],
                slot=slot,
            )
        )
    return clocks


def _held_slot(event: Event[Any]) -> datetime | None:
    """The place in a later hour that an earlier try of ours noted in the payload."""
    payload: object = event.payload
    noted = payload.get("slot") if isinstance(payload, dict) else None
    try:
        slot = datetime.fromisoformat(noted) if isinstance(noted, str) else None
    except ValueError:
        return None
    return None if slot is None or slot.tzinfo is None else slot


async def _open_cards(ctx: Context, clocks: Sequence[OverdueClock]) -> set[str]:
    """Clocks about which a person has a card already: a second one would only be noise."""
    if not clocks:
        return set()
    rows = await ctx.db.fetch(
        _OPEN_CARDS,
        ctx.tenant_id,
        [str(clock.id) for clock in clocks],
        list({clock.client_id for clock in clocks if clock.client_id is not None}),
        list({clock.contact_id for clock in clocks if clock.contact_id is not None}),
    )
    return {str(row[0]) for row in rows}


async def _postpone(ctx: Context, proposal: Proposal, decision: Decision) -> None:
    slot = None if decision.slot is None else decision.slot.isoformat()
    await ctx.emit(OVERDUE_EVENT, {"slot": slot}, subject_id=proposal.clock.id, delay=decision.delay)


async def _make_cards(ctx: Context, proposals: Sequence[Proposal]) -> None:
    if not proposals:
        return
    done = await ctx.db.execute(_CARDS, ctx.tenant_id, [card_for(proposal) for proposal in proposals])
    asked = len(proposals)
    await require_written(ctx.db, "public.kanban_cards", "insert", asked=asked, written=count_of(done))
    ctx.run.cards_created += len(proposals)
    ctx.run.executed += len(proposals)


async def _queue_emails(
    ctx: Context,
    settings: AgentSettings,
    emails: Sequence[tuple[Proposal, Decision]],
    sender: str,
    sender_name: str,
) -> list[OverdueClock]:
    """Record intents and emit email.send; returns the clocks whose person has an unsent email already."""
    if not emails:
        return []
    dry = settings.email_mode is EmailMode.DRY_RUN
    drafts: list[dict[str, object]] = [
        {
            "clock_id": str(proposal.clock.id),
            "client_id": as_text(proposal.clock.client_id),
            "contact_id": as_text(proposal.clock.contact_id),
            "status": "dry_run" if dry else "queued",
            "sender": settings.email_from or sender,
            "sender_name": sender_name,
            "recipient": proposal.action.address,
            "recipient_name": proposal.clock.name,
            "subject": proposal.letter.subject,
            "body_text": proposal.letter.text,
            "body_html": proposal.letter.html,
            "reply_to": settings.email_reply_to,
            "unsubscribe": settings.unsubscribe_url,
            "tone": proposal.tone,
            "days_overdue": proposal.clock.days_overdue,
            "slot": decision.slot,
        }
        for proposal, decision in emails
        if proposal.letter is not None
    ]
    recorded = await intents.record(ctx.db, ctx.tenant_id, drafts)
    busy: list[OverdueClock] = []
    for proposal, decision in emails:
        intent_id = recorded.get(proposal.clock.id)
        if intent_id is None:
            busy.append(proposal.clock)
        elif not dry:
            await _emit_send(ctx, intent_id, decision.delay)
    contacts = [clock.contact_id for clock in busy if clock.contact_id is not None]
    if contacts:
        # Usually their events exist, and this does nothing; one that died and was discarded is made anew.
        for intent_id in (await intents.waiting_for(ctx.db, ctx.tenant_id, contacts)).values():
            await _emit_send(ctx, intent_id, timedelta(0))
    return busy


async def _emit_send(ctx: Context, intent_id: UUID, delay: timedelta) -> None:
    await ctx.emit(SEND_EVENT, subject_id=intent_id, delay=delay, dedup_key=f"{SEND_EVENT}:{intent_id}")
