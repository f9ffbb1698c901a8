"""Which follow-up an overdue clock calls for: pure decisions.

The person to write to is the clock's contact, or the primary contact of its
client. With a usable address it is an email, else a task for a person.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from reactor.automation.policies import Action, Cause
from reactor.automation.templates import DEFAULTS, Letter, Rendered, Tone, choose, render
from reactor.automation.tenant_settings import ActionType, AgentSettings, EmailMode
from reactor.outbound.email import BadAddress, check_address


@dataclass(frozen=True, slots=True)
class OverdueClock:
    """A clock past its deadline, and whom it is about. days_overdue counts whole days."""

    id: UUID
    days_overdue: int
    score: float
    client_id: UUID | None
    contact_id: UUID | None
    first_name: str
    last_name: str
    email: str
    title: str
    company_name: str
    # The place that was kept for this clock's action when it was postponed.
    slot: datetime | None = None

    @property
    def who(self) -> str:
        person = f"{self.first_name} {self.last_name}".strip()
        if person and self.company_name:
            return f"{person} ({self.company_name})"
        return person or self.company_name or "a contact without a name"

    @property
    def name(self) -> str:
        return f"{self.first_name} {self.last_name}".strip()


@dataclass(frozen=True, slots=True)
class Proposal:
    """An action for a clock. letter and tone are there when it is an email."""

    clock: OverdueClock
    action: Action
    tone: Tone | None = None
    letter: Rendered | None = None


def priority_for(days_overdue: int) -> str:
    if days_overdue > 14:
        return "high"
    return "medium" if days_overdue > 7 else "low"


def propose(clock: OverdueClock, settings: AgentSettings, *, tenant_name: str, sender_name: str) -> Proposal:
    """What to do about one overdue clock."""
    facts: dict[str, object] = {
        "clock_id": str(clock.id),
        "days_overdue": clock.days_overdue,
        "score": clock.score,
    }
    address = _usable(clock.email)
    if address is None:
        return Proposal(
            clock,
            Action(
                ActionType.CREATE_TASK,
                Cause.COMPLIANCE_DEADLINE,
                contact_id=clock.contact_id,
                slot=clock.slot,
                payload=facts,
            ),
        )
    tone, source = choose(settings.templates, clock.days_overdue)
    variables = Letter(
        first_name=clock.first_name,
        last_name=clock.last_name,
        title=clock.title,
        company_name=clock.company_name,
        tenant_name=tenant_name,
        sender_name=sender_name,
        days_overdue=clock.days_overdue,
    )
    try:
        letter = render(source, variables)
    except Exception:
        # A tenant's template can fail in a branch that its validation did not take, in Jinja's words or in
        # Python's: ours says it instead.
        letter = render(DEFAULTS[tone], variables)
    suggests = settings.email_mode is EmailMode.SUGGEST
    action = Action(
        ActionType.EMAIL_SUGGEST if suggests else ActionType.EMAIL_SEND,
        Cause.COMPLIANCE_DEADLINE,
        contact_id=clock.contact_id,
        address=address,
        slot=clock.slot if suggests else None,
        payload={
            **facts,
            "to": address,
            "tone": tone,
            "subject": letter.subject,
            "text": letter.text,
            "html": letter.html,
        },
    )
    return Proposal(clock, action, tone, letter)


def as_text(value: UUID | None) -> str | None:
    """An id for JSON: the driver's own UUID type is not known to the encoder."""
    return None if value is None else str(value)


def _usable(address: str) -> str | None:
    try:
        return check_address(address)
    except BadAddress:
        return None


def card_for(proposal: Proposal) -> dict[str, object]:
    """The columns of the kanban card for a suggested email or a task."""
    clock = proposal.clock
    days = f"{clock.days_overdue} day{'' if clock.days_overdue == 1 else 's'}"
    card: dict[str, object] = {
        "client_id": as_text(clock.client_id),
        "contact_id": as_text(clock.contact_id),
        "priority": priority_for(clock.days_overdue),
        "rationale": f"The last agreed contact is {days} overdue (score {clock.score:g}).",
        "action_payload": dict(proposal.action.payload),
    }
    if proposal.letter is not None:
        return card | {
            "type": "send_email",
            "title": f"Email {clock.who}: {proposal.letter.subject}",
            "description": proposal.letter.text,
        }
    reason = (
        "there is no email address"
        if not clock.email
        else f"{clock.email} is no address that we can write to"
    )
    return card | {
        "type": "create_task",
        "title": f"Get in touch with {clock.who}",
        "description": f"Nobody has been in touch for {days} longer than agreed, and {reason}: please call.",
    }
