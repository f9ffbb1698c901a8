"""email.send: one recorded email goes out, once.

    queued ─▶ check again ─▶ sending, committed ─▶ the provider ─▶ sent, with the acknowledgement

A process that dies after the commit leaves the email in 'sending', and the
next try finds it there. A provider that remembers keys is asked again with the
same key. With SMTP nobody can know whether it went out: it becomes 'unknown',
a card and an alert ask a person, and it is never sent again in silence
(docs/sending.md).
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any, LiteralString, assert_never

import asyncpg

from reactor.automation import policies
from reactor.automation.engagement import OVERDUE_EVENT
from reactor.automation.guard import Decision, guard, load_facts, record
from reactor.automation.policies import Action, Cause
from reactor.automation.resources import resources_of
from reactor.automation.tenant import load_tenant, raise_alert, say_broken
from reactor.automation.tenant_settings import ActionType, AgentSettings, EmailMode
from reactor.automation.written import count_of, require_written
from reactor.context import Context
from reactor.errors import Discard, Retry, taken_apart
from reactor.events import Event
from reactor.outbound import intents
from reactor.outbound.email import BadAddress, ErrorType, SendFailed, Verdict
from reactor.outbound.intents import Intent
from reactor.outbound.mailer import CircuitOpen, Mailer

# A provider that says "too many" without saying for how long.
RATE_LIMIT_PAUSE = timedelta(minutes=1)

_TOUCH: LiteralString = """
select public.update_engagement_clock($1, $2, (
    select c.contact_id from public.engagement_clocks c where c.tenant_id = $1 and c.contact_id = $3),
    'email', null)
"""
# Whom the email is about may be deleted by now; the card is about them only while they are there.
_CARD: LiteralString = """
insert into public.kanban_cards (
    tenant_id, client_id, contact_id, type, title, description, rationale, priority, state, action_payload,
    due_at)
select $1, l.id, k.id, 'create_task', $4, $5, $6, 'high', 'suggested', $7, reactor.now() + interval '1 day'
from (select $2::uuid as client, $3::uuid as contact) w
left join public.clients l on l.tenant_id = $1 and l.id = w.client
left join public.contacts k on k.tenant_id = $1 and k.id = w.contact
"""


async def send_email(event: Event[Any], ctx: Context) -> None:
    """Handles one email.send; its subject is the row of reactor.email_intents."""
    mailer = resources_of(ctx).mailer
    if event.subject_id is None:
        raise Discard("an email.send event needs the email's id as its subject")
    intent = await intents.load(ctx.db, ctx.tenant_id, event.subject_id)
    if intent is None:
        raise Discard(f"email {event.subject_id} is gone")
    match intent.status:
        case "queued":
            tenant = await load_tenant(ctx)
            if not tenant.loaded.usable:
                wait = await say_broken(ctx, tenant.loaded.problems)
                await ctx.checkpoint()
                raise wait
            if await _is_due_now(ctx, intent, tenant.loaded.settings):
                await _send(ctx, mailer, intent)
        case "sending":
            # An earlier try was cut short between its commit and its acknowledgement.
            if mailer.provider.repeats_safely and intent.is_remembered_by(mailer.provider.name):
                await _send(ctx, mailer, intent)
            else:
                await _ask_a_person(ctx, intent, "the reactor was interrupted while it was being sent")
        case "sent" | "failed" | "unknown" | "blocked" | "cancelled" | "dry_run":
            return
        case _:
            assert_never(intent.status)


async def _is_due_now(ctx: Context, intent: Intent, settings: AgentSettings) -> bool:
    """Hours may have passed since the email was recorded: is it still wanted, allowed, and its turn?"""
    if intent.until_slot is not None and intent.until_slot > timedelta(0):
        raise Retry(intent.until_slot, "its hour has not begun", counts=False)
    if not intent.still_due:
        await intents.settle(ctx.db, intent.id, "cancelled", error="somebody was in touch meanwhile")
        return False
    if settings.email_mode is not EmailMode.SEND or not intent.same_address:
        reason = "the address changed" if not intent.same_address else "email_mode is no longer send"
        await intents.settle(ctx.db, intent.id, "cancelled", error=reason)
        await ctx.emit(OVERDUE_EVENT, subject_id=intent.clock_id)  # plan anew
        return False
    action = Action(
        ActionType.EMAIL_SEND,
        Cause.COMPLIANCE_DEADLINE,
        contact_id=intent.contact_id,
        address=intent.email.to,
        payload={
            "intent_id": str(intent.id),
            "clock_id": str(intent.clock_id),
            "to": intent.email.to,
            "subject": intent.email.subject,
        },
    )
    if intent.slot_is_open:
        facts = await load_facts(ctx.db, ctx.tenant_id, settings, [action])
        decision = Decision(action, policies.check(action, facts))
        await record(ctx, [decision])
    else:  # it comes too late for its hour: the tenant was switched off, or the backlog was long
        [decision] = await guard(ctx, settings, [action])
    if decision.violation is None:
        if decision.slot is not None:
            await intents.move_to_slot(ctx.db, intent.id, decision.slot)
        return True
    if decision.postponed:
        await intents.move_to_slot(ctx.db, intent.id, decision.slot)
        await ctx.checkpoint()
        raise Retry(decision.delay, decision.violation.reason, counts=False)
    if decision.violation.reason == policies.UNREADABLE:
        await ctx.checkpoint()
        raise Retry(reason=policies.UNREADABLE)
    await intents.settle(ctx.db, intent.id, "blocked", error=decision.violation.reason)
    return False


async def _send(ctx: Context, mailer: Mailer, intent: Intent) -> None:
    try:
        # Before it counts as being sent: of a message that cannot be written nobody must ask where it is.
        intent.email.check()
    except BadAddress as error:
        await _give_up(ctx, mailer, intent, _refused(error))
        return
    except SendFailed as error:
        await _give_up(ctx, mailer, intent, error)
        return
    try:
        mailer.check()
    except CircuitOpen as error:
        raise Retry(error.retry_after, str(error), counts=False) from error
    try:
        await intents.begin(ctx.db, intent.id, mailer.provider.name)
        await ctx.checkpoint()
    except BaseException:
        mailer.release()
        raise
    try:
        provider_id = await mailer.send(intent.email)
    except BadAddress as error:
        await _after_failure(ctx, mailer, intent, _refused(error))
        return
    except SendFailed as error:
        await _after_failure(ctx, mailer, intent, error)
        return
    await intents.settle(ctx.db, intent.id, "sent", provider_message_id=provider_id)
    ctx.run.emails_sent += 1
    ctx.run.executed += 1
    if intent.clock_client_id is not None or intent.contact_id is not None:
        await _touch(ctx, intent)


async def _touch(ctx: Context, intent: Intent) -> None:
    """Winds the clocks up. Where the database refuses that, the email is sent all the same, and stays so."""
    try:
        async with ctx.db.transaction():
            await ctx.db.execute(_TOUCH, ctx.tenant_id, intent.clock_client_id, intent.contact_id)
    except asyncpg.PostgresError as error:
        why = taken_apart(str(error))[0]
        await raise_alert(
            ctx,
            "touch_refused",
            "warning",
            f"An email to {intent.email.to} was sent, but its engagement clock could not be wound up: {why}",
            {"intent_id": str(intent.id), "clock_id": str(intent.clock_id), "sqlstate": error.sqlstate},
            same={"clock_id": str(intent.clock_id)},
        )


def _refused(error: BadAddress) -> SendFailed:
    refused = SendFailed(ErrorType.OTHER, Verdict.PERMANENT, str(error))
    refused.__cause__ = error
    return refused


async def _after_failure(ctx: Context, mailer: Mailer, intent: Intent, error: SendFailed) -> None:
    """Decides by what is known; raises Retry when the email is to be tried again."""
    verdict = error.verdict
    # An earlier try may have sent it, whatever became of this one.
    in_doubt = intent.status == "sending"
    match verdict:
        case Verdict.UNKNOWN if mailer.provider.repeats_safely:
            # It stays 'sending': the next try repeats it with the same key.
            await _note_failure(ctx, mailer, error)
            await ctx.checkpoint()
            raise Retry(error.retry_after, str(error)) from error
        case Verdict.RETRY | Verdict.PROVIDER:
            if not in_doubt:
                await intents.settle(ctx.db, intent.id, "queued", error=str(error))
            await _note_failure(ctx, mailer, error)
            await ctx.checkpoint()
            raise _when_again(mailer, error) from error
        case Verdict.PERMANENT if not in_doubt:
            await _give_up(ctx, mailer, intent, error)
        case Verdict.PERMANENT | Verdict.UNKNOWN:
            await _note_failure(ctx, mailer, error)
            await _ask_a_person(ctx, intent, str(error))
        case _:
            assert_never(verdict)


def _when_again(mailer: Mailer, error: SendFailed) -> Retry:
    """Waiting for the provider costs an email none of its tries; a failure of its own does."""
    if error.verdict is Verdict.PROVIDER:
        pause = mailer.circuit.remaining or RATE_LIMIT_PAUSE
        return Retry(pause, str(error), counts=False)
    if error.error_type is ErrorType.RATE_LIMIT:
        return Retry(error.retry_after or RATE_LIMIT_PAUSE, str(error), counts=False)
    return Retry(error.retry_after, str(error))


async def _note_failure(ctx: Context, mailer: Mailer, error: SendFailed) -> None:
    await intents.record_failure(ctx.db, ctx.tenant_id, error, mailer.provider.name)


async def _give_up(ctx: Context, mailer: Mailer, intent: Intent, error: SendFailed) -> None:
    """The provider will never take this email: a person gets it as a task."""
    await intents.settle(ctx.db, intent.id, "failed", error=str(error))
    await _note_failure(ctx, mailer, error)
    if error.error_type is ErrorType.REFUSED or isinstance(error.__cause__, BadAddress):
        title = f"{intent.email.to} cannot be written to"
        description = "Correct the address, or get in touch in another way."
    else:
        title = f"Our email to {intent.email.to} was not accepted"
        description = (
            "The provider accepts neither this message nor its repetition. Look at its sender, "
            f"{intent.email.sender}, and at its text; then get in touch in another way."
        )
    rationale = f"The email provider refused the follow-up: {error}"
    await _make_card(ctx, intent, title=title, description=description, rationale=rationale)


async def _ask_a_person(ctx: Context, intent: Intent, why: str) -> None:
    await intents.settle(ctx.db, intent.id, "unknown", error=why)
    await _make_card(
        ctx,
        intent,
        title=f"Did our email reach {intent.email.to}?",
        description=f"“{intent.email.subject}” ({intent.email.message_id}) may have been sent or not. "
        "Look into the mail server's log, or ask. It will not be sent again by itself.",
        rationale=why,
    )
    await raise_alert(
        ctx,
        "email_unknown",
        "warning",
        f"An email to {intent.email.to} may have been sent or not: {why}",
        {"intent_id": str(intent.id), "message_id": intent.email.message_id},
        same={"intent_id": str(intent.id)},
    )


async def _make_card(ctx: Context, intent: Intent, *, title: str, description: str, rationale: str) -> None:
    payload = {
        "intent_id": str(intent.id),
        "clock_id": str(intent.clock_id),
        "to": intent.email.to,
        "subject": intent.email.subject,
        "text": intent.email.text,
    }
    done = await ctx.db.execute(
        _CARD,
        ctx.tenant_id,
        intent.client_id,
        intent.contact_id,
        title,
        description,
        rationale,
        payload,
    )
    await require_written(ctx.db, "public.kanban_cards", "insert", asked=1, written=count_of(done))
    ctx.run.cards_created += 1
