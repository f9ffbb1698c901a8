"""Emails as rows of reactor.email_intents: recorded before they are sent, settled after.

sql/schema/0200_outbound.sql draws their states. All of it happens in the
tenant's scope, so a handler can touch its own tenant's emails only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, LiteralString, get_args
from uuid import UUID

from reactor.context import TenantDb
from reactor.outbound.email import Email, SendFailed, comparable

IntentStatus = Literal["queued", "sending", "sent", "failed", "unknown", "blocked", "cancelled", "dry_run"]

# A provider of the Resend kind forgets a key after 24 hours; then a repetition could be a second email.
KEY_MEMORY = timedelta(hours=23)

_OPEN: LiteralString = """
insert into reactor.email_intents (
    tenant_id, clock_id, client_id, contact_id, status, sender, sender_name, recipient, recipient_name,
    subject, body_text, body_html, reply_to, unsubscribe, tone, days_overdue, slot, created_at, settled_at)
select $1, n.clock_id, n.client_id, n.contact_id, n.status, n.sender, n.sender_name, n.recipient,
    n.recipient_name, n.subject, n.body_text, n.body_html, n.reply_to, n.unsubscribe, n.tone, n.days_overdue,
    n.slot, reactor.now(), case when n.status = 'dry_run' then reactor.now() end
from jsonb_to_recordset($2) as n (
    clock_id uuid, client_id uuid, contact_id uuid, status text, sender text, sender_name text,
    recipient text, recipient_name text, subject text, body_text text, body_html text, reply_to text,
    unsubscribe text, tone text, days_overdue int, slot timestamptz)
on conflict (tenant_id, contact_id)
    where status in ('queued', 'sending') and contact_id is not null do nothing
returning id, clock_id
"""
_WAITING: LiteralString = """
select i.contact_id, i.id
from reactor.email_intents i
where i.tenant_id = $1 and i.contact_id = any ($2) and i.status in ('queued', 'sending')
"""
_LOAD: LiteralString = """
select i.*,
    c.id is not null and c.next_touch_due <= reactor.now() as still_due,
    k.email::text as contact_email,
    coalesce(i.slot, 'infinity') = date_trunc('hour', reactor.now(), 'UTC') as slot_is_open,
    greatest(i.slot - reactor.now(), interval '0') as until_slot,
    reactor.now() - i.sending_at as since_sending,
    c.client_id as clock_client_id
from reactor.email_intents i
left join public.engagement_clocks c on c.tenant_id = i.tenant_id and c.id = i.clock_id
left join public.contacts k on k.tenant_id = i.tenant_id and k.id = i.contact_id
where i.tenant_id = $1 and i.id = $2
for update of i
"""
_MOVE: LiteralString = "update reactor.email_intents set slot = $2 where id = $1 and status = 'queued'"
_BEGIN: LiteralString = "select reactor.begin_email($1, $2)"
_SETTLE: LiteralString = "select reactor.settle_email($1, $2, $3, $4)"
_FAILURE: LiteralString = "select reactor.record_email_failure($1, $2, $3, $4, $5)"


@dataclass(frozen=True, slots=True)
class Intent:
    """One email, and whether it is still wanted."""

    id: UUID
    status: IntentStatus
    email: Email
    clock_id: UUID | None
    client_id: UUID | None
    contact_id: UUID | None
    # Whose clock it is about to wind up: the client's too when the clock names it.
    clock_client_id: UUID | None
    tone: str | None
    days_overdue: int | None
    still_due: bool
    same_address: bool
    slot: datetime | None
    slot_is_open: bool
    # Of an email that was postponed: how long until its hour begins.
    until_slot: timedelta | None
    # Of an email whose sending was interrupted: whom it was handed to, and how long ago the first time.
    provider: str | None
    since_sending: timedelta | None

    def is_remembered_by(self, provider: str) -> bool:
        """Whether this provider was handed the email, recently enough to recognise its key."""
        return (
            self.provider == provider and self.since_sending is not None and self.since_sending < KEY_MEMORY
        )


async def record(db: TenantDb, tenant_id: UUID, drafts: Sequence[dict[str, object]]) -> dict[UUID, UUID]:
    """Record emails; returns their ids by clock id. A contact with an unsent email gets no second one."""
    rows = await db.fetch(_OPEN, tenant_id, list(drafts))
    return {row["clock_id"]: row["id"] for row in rows}


async def waiting_for(db: TenantDb, tenant_id: UUID, contacts: Sequence[UUID]) -> dict[UUID, UUID]:
    """The unsent emails to these contacts, by contact."""
    rows = await db.fetch(_WAITING, tenant_id, list(contacts))
    return {row["contact_id"]: row["id"] for row in rows}


async def load(db: TenantDb, tenant_id: UUID, intent_id: UUID) -> Intent | None:
    """One intent, locked, with what has changed around it since it was recorded."""
    row = await db.fetchrow(_LOAD, tenant_id, intent_id)
    if row is None:
        return None
    email = Email(
        key=str(row["id"]),
        sender=row["sender"],
        sender_name=row["sender_name"],
        to=row["recipient"],
        to_name=row["recipient_name"],
        subject=row["subject"],
        text=row["body_text"],
        html=row["body_html"],
        reply_to=row["reply_to"],
        unsubscribe=row["unsubscribe"],
    )
    status: IntentStatus = row["status"]
    assert status in get_args(IntentStatus)
    return Intent(
        id=row["id"],
        status=status,
        email=email,
        clock_id=row["clock_id"],
        client_id=row["client_id"],
        contact_id=row["contact_id"],
        clock_client_id=row["clock_client_id"],
        tone=row["tone"],
        days_overdue=row["days_overdue"],
        still_due=row["still_due"],
        same_address=row["contact_id"] is None
        or comparable(row["contact_email"]) == comparable(row["recipient"]),
        slot=row["slot"],
        slot_is_open=row["slot_is_open"],
        until_slot=row["until_slot"],
        provider=row["provider"],
        since_sending=row["since_sending"],
    )


async def move_to_slot(db: TenantDb, intent_id: UUID, slot: datetime | None) -> None:
    """The email takes its place in another hour."""
    await db.execute(_MOVE, intent_id, slot)


async def begin(db: TenantDb, intent_id: UUID, provider: str) -> None:
    """queued → sending. Commit it before anything leaves the house."""
    await db.execute(_BEGIN, intent_id, provider)


async def settle(
    db: TenantDb,
    intent_id: UUID,
    status: IntentStatus,
    *,
    provider_message_id: str | None = None,
    error: str | None = None,
) -> None:
    """The step that ends a try, or the email's life."""
    await db.execute(_SETTLE, intent_id, status, provider_message_id, error)


async def record_failure(db: TenantDb, tenant_id: UUID, error: SendFailed, provider: str) -> bool:
    """A row of email_provider_failures; True when it raised the alert provider_failure."""
    facts = (error.error_type, str(error), provider, error.began_outage)
    alert = await db.fetchval(_FAILURE, tenant_id, *facts)
    return alert is not None
