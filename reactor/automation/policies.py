"""What is never done, and what has to wait: asked before every action.

A policy is a pure function of the action and of facts that were loaded
beforehand: it gives the reason to block, or None. The first that blocks is
recorded; rate_limit is asked last, so that what is forbidden anyway takes
nothing from the allowance. To add one: write the function, put it into
POLICIES, load what it needs into Facts (docs/policies.md).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from uuid import UUID

import orjson

from reactor.automation.tenant_settings import ActionType, AgentSettings
from reactor.outbound.email import comparable


class Cause(StrEnum):
    """Why an action is proposed."""

    CLIENT_REQUEST = "client_request"
    COMPLIANCE_DEADLINE = "compliance_deadline"  # an overdue clock is one
    ESCALATION = "escalation"
    INITIATIVE = "initiative"  # nobody asked


@dataclass(frozen=True, slots=True)
class Action:
    """Something the reactor wants to do. type is free text: what nobody knows is blocked."""

    type: str
    cause: Cause
    contact_id: UUID | None = None
    address: str | None = None
    # Of research: what is looked for.
    topic: str | None = None
    # The hour whose allowance was kept for it, when it was rate-limited before.
    slot: datetime | None = None
    payload: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Suppressions:
    """Who must not be written to. Addresses are as comparable() gives them."""

    contact_ids: frozenset[UUID]
    addresses: frozenset[str]


@dataclass(frozen=True, slots=True)
class Slot:
    """When an action's turn is. opens_at None: its limit is zero, so its window never opens."""

    opens_at: datetime | None
    # Whether that window is the one of this moment.
    open_now: bool
    limit: str


@dataclass(frozen=True, slots=True)
class Facts:
    """What the policies judge by, loaded once for many actions."""

    allowed: frozenset[str]
    overdue_clocks: int
    # None: the list could not be read.
    suppressions: Suppressions | None


@dataclass(frozen=True, slots=True)
class Violation:
    """A blocked action: a row of agent_policy_violations."""

    policy: str
    reason: str
    # When it may run after all; None when it may not.
    retry_at: datetime | None = None


Policy = Callable[[Action, Facts], str | None]

# Counted by the hour for all tenants; a tenant sets its own limit for email_send.
FIXED_HOURLY_LIMITS: Mapping[str, int] = MappingProxyType({ActionType.RESEARCH: 10, ActionType.SANDBOX: 5})
SENSITIVE = ("delete_all", "drop_database", "truncate", "mass_delete", "unsubscribe_all")
UNREADABLE = "the suppression list could not be read"
# Whole words: a letter may say that a text was truncated.
_SENSITIVE = re.compile(r"\b(" + "|".join(SENSITIVE) + r")\b")
_JSON_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
_TO_A_RECIPIENT = frozenset({ActionType.EMAIL_SEND, ActionType.EMAIL_SUGGEST})


def facts_from(settings: AgentSettings, overdue_clocks: int, suppressions: Suppressions | None) -> Facts:
    allowed = settings.allowed_action_types
    return Facts(frozenset(ActionType) if allowed is None else allowed, overdue_clocks, suppressions)


def allowed_action_types(action: Action, facts: Facts) -> str | None:
    if action.type not in facts.allowed:
        return f"{action.type} is not among this tenant's allowed action types"
    return None


def sensitive_action(action: Action, facts: Facts) -> str | None:
    for text in (action.type, *_strings(action.payload)):
        if found := _SENSITIVE.search(text.lower()):
            return f"the payload names {found.group()}"
    return None


def _strings(payload: Mapping[str, object]) -> list[str]:
    """A payload's keys and texts, at any depth. In JSON itself a line break is a letter before a word."""
    text = orjson.dumps(dict(payload), default=_simpler, option=orjson.OPT_NON_STR_KEYS).decode()
    return [json.loads(literal) for literal in _JSON_STRING.findall(text)]


def _simpler(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, AbstractSet | Sequence) and not isinstance(value, bytes | bytearray | memoryview):
        return list(value)
    return str(value)


def human_task_no_request(action: Action, facts: Facts) -> str | None:
    if action.type == ActionType.CREATE_TASK and action.cause is Cause.INITIATIVE:
        return "a task for a person needs a client's request, a compliance deadline or an escalation"
    return None


def research_before_exhaustion(action: Action, facts: Facts) -> str | None:
    if action.type != ActionType.RESEARCH or action.topic == "contact_discovery" or not facts.overdue_clocks:
        return None
    are = "1 clock is overdue; it comes" if facts.overdue_clocks == 1 else None
    return f"{are or f'{facts.overdue_clocks} clocks are overdue; they come'} before research"


def suppression(action: Action, facts: Facts) -> str | None:
    if action.type not in _TO_A_RECIPIENT:
        return None
    if facts.suppressions is None:
        return UNREADABLE
    if action.contact_id in facts.suppressions.contact_ids:
        return "the contact is suppressed"
    if action.address is None or comparable(action.address) in facts.suppressions.addresses:
        return "the address is suppressed" if action.address else "there is no address to check"
    return None


# Asked in this order; the names are agent_policy_violations.violation_type.
POLICIES: Mapping[str, Policy] = MappingProxyType(
    {
        "allowed_action_types": allowed_action_types,
        "sensitive_action": sensitive_action,
        "human_task_no_request": human_task_no_request,
        "research_before_exhaustion": research_before_exhaustion,
        "suppression": suppression,
    }
)


def check(action: Action, facts: Facts) -> Violation | None:
    """The first policy that blocks the action, or None. What is left to ask is rate_limit."""
    for name, policy in POLICIES.items():
        reason = policy(action, facts)
        if reason is not None:
            return Violation(name, reason)
    return None


def rate_limit(action: Action, slot: Slot) -> Violation | None:
    """Blocks until the action's window opens. Its slot was reserved: it will not be blocked twice."""
    if slot.open_now:
        return None
    if slot.opens_at is None:
        return Violation("rate_limit", f"{slot.limit}: the limit is zero")
    return Violation("rate_limit", f"{slot.limit} is reached", retry_at=slot.opens_at)


@dataclass(frozen=True, slots=True)
class Limits:
    """None: not limited by itself, only as one of all actions."""

    per_hour: int | None
    per_day: int | None
    actions_per_hour: int

    def say(self) -> str:
        parts = [
            f"{self.per_hour} an hour" if self.per_hour is not None else "",
            f"{self.per_day} a day" if self.per_day is not None else "",
            f"{self.actions_per_hour} actions an hour",
        ]
        return "the limit of " + ", ".join(part for part in parts if part)


def limits_for(action_type: str, settings: AgentSettings) -> Limits:
    if action_type == ActionType.EMAIL_SEND:
        return Limits(
            settings.max_emails_per_hour, settings.max_emails_per_day, settings.max_actions_per_hour
        )
    return Limits(FIXED_HOURLY_LIMITS.get(action_type), None, settings.max_actions_per_hour)
