"""One day of twenty tenants: who they are, and what their applications do when. Data only.

Times are minutes since midnight (UTC) of the day. The clock stands still but for its moves: at :18, :38 and
:58 the leader's jobs are due, and whatever was put off until then; at :02, :22 and :42 the applications act,
deadlines pass and hours that were kept for somebody begin. Between a job's move and the next one no job is
due, so that no job ever reads while business is done at the same instant.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

START, END = 3, 25 * 60 + 18


def moves() -> Iterator[int]:
    """When the clock is moved to."""
    return (t for t in range(START + 1, END + 1) if t % 20 in (2, 18))


def at(hour: int, minute: int = 2) -> int:
    """A moment at which applications act."""
    assert minute % 20 == 2
    return 60 * hour + minute


@dataclass(frozen=True)
class Contact:
    """Somebody with a clock. Their address is made of the name and the tenant's."""

    name: str
    due: int
    email: bool = True
    title: str | None = None


@dataclass(frozen=True)
class Client:
    name: str
    limit: int
    balance: int = 0
    active: bool = True


@dataclass(frozen=True)
class Tenant:
    settings: dict[str, Any] = field(default_factory=dict)
    contacts: tuple[Contact, ...] = ()
    clients: tuple[Client, ...] = ()
    webhook: bool = False
    alert_emails: int = 0
    enabled: bool = True
    active: bool = True


@dataclass(frozen=True)
class Order:
    """An order of a kind (KINDS); on_credit names a client and the total."""

    kind: str
    client: str | None = None
    total: int | None = None
    name: str = ""


@dataclass(frozen=True)
class Act:
    """Something an application or an operator does. `what` says which fields count."""

    at: int
    what: str
    tenant: str = ""
    order: Order | None = None
    name: str = ""
    severity: str = "warning"
    minutes: int = 0
    on: bool = True
    settings: dict[str, Any] = field(default_factory=dict)


def people(prefix: str, count: int, due: int, **more: Any) -> tuple[Contact, ...]:
    return tuple(Contact(f"{prefix}{n}", due, **more) for n in range(count))


NEVER = 40 * 24 * 60
SEND = {"email_mode": "send"}
BROKEN = {"email_mode": "send", "templates": {"friendly": {"subject": "{{ what }}", "text": "x"}}}

TENANTS: dict[str, Tenant] = {
    "hourly": Tenant(SEND | {"max_emails_per_hour": 4}, people("h", 11, at(8)), webhook=True),
    "daily": Tenant(SEND | {"max_emails_per_hour": 3, "max_emails_per_day": 5}, people("d", 8, at(9))),
    "suggests": Tenant({}, people("s", 5, at(7, 22)) + people("w", 3, at(7, 22), email=False)),
    "dry": Tenant({"email_mode": "dry_run"}, people("y", 4, at(6)) + people("z", 30, NEVER)),
    "disabled": Tenant(SEND, people("q", 2, at(5)), webhook=True, enabled=False),
    "inactive": Tenant(SEND, people("i", 2, at(5)), active=False),
    "paused": Tenant(SEND | {"max_emails_per_hour": 2}, people("p", 5, at(9)) + people("r", 30, NEVER)),
    "broken": Tenant(BROKEN, people("b", 3, at(10)), webhook=True),
    "outage": Tenant(SEND, people("o", 8, at(16)), webhook=True),
    "suppressed": Tenant(SEND, people("u", 6, at(11)) + people("v", 40, NEVER)),
    "forbids": Tenant(
        SEND | {"allowed_action_types": ["create_task"]}, people("f", 12, at(12)), webhook=True
    ),
    "capped": Tenant({"max_actions_per_hour": 3}, people("c", 7, at(12, 22))),
    "credit": Tenant(clients=(Client("small", 1000, 100), Client("large", 20_000))),
    "inspects": Tenant(clients=(Client("gone", 9000, active=False),), alert_emails=2),
    "hooked": Tenant(webhook=True),
    "busy": Tenant(SEND, people("x", 14, at(18)) + people("xx", 20, NEVER)),
    "locked": Tenant(),
    "changes": Tenant(SEND | {"max_emails_per_hour": 1}, people("m", 4, at(19)) + people("k", 30, NEVER)),
    "odd": Tenant(alert_emails=1),
    "plain": Tenant(SEND, people("e", 1, at(14), title="Owner") + people("l", 10, NEVER)),
}
assert len(TENANTS) == 20

# The rooms of the day: outages, and who is refused for good.
KILLED = (at(13, 22), at(14, 42))
SMTP_DOWN = (at(16), at(16, 42))
HOOK_DOWN = (at(10), at(11))
BAD_ADDRESS = "e0@plain.test"
# Emails an hour that "busy" sent in the hours before the day, which an unusual hour is judged by.
EARLIER_EMAILS, EARLIER_HOURS = 9, 30

# Retention: of each table's rows of "plain" one is older than its time (days), and one younger.
KEPT_DAYS = {
    "agent_policy_violations": 90,
    "agent_alerts": 90,
    "agent_hourly_reflections": 180,
    "agent_autonomous_runs": 90,
    "email_provider_failures": 30,
    "agent_rate_limits": 2,
}

# Findings as (type, severity), and how many fields are corrected. What credit says is counted, not listed.
KINDS: dict[str, tuple[dict[str, Any], tuple[tuple[str, str], ...], int]] = {
    "good": ({}, (), 0),
    "low_total": ({"total_amount": 100}, (), 1),
    "negative": ({"tech_fee": -5, "total_amount": 1}, (), 2),
    "homeless": ({"property_address": " "}, (("requirements", "error"),), 0),
    "free": ({"fee_amount": 0, "total_amount": 0}, (("pricing", "error"),), 0),
    "sloppy": (
        {"property_zip": None, "borrower_name": "", "property_contact_phone": None},
        (("requirements", "warning"),) * 3,
        0,
    ),
    "unreachable": ({"borrower_email": None}, (("requirements", "error"),), 0),
    "worst": (
        {"fee_amount": -1, "total_amount": 5, "property_address": None, "borrower_email": None},
        (("pricing", "error"), ("requirements", "error"), ("requirements", "error")),
        0,
    ),
    "nobody": ({"payment_method": "bill"}, (("credit", "error"),), 0),
    "bill": ({"payment_method": "bill", "fee_amount": 1}, (), 0),
    "foreign": ({}, (), 0),
}
_ROUND = ("good", "low_total", "homeless", "sloppy", "negative", "unreachable", "free", "worst")


def queue(when: int, tenant: str, kind: str, **more: Any) -> Act:
    return Act(when, "order", tenant, Order(kind, **more))


def _orders() -> Iterator[Act]:
    for hour in range(25):
        yield queue(at(hour, 22), "plain", _ROUND[hour % len(_ROUND)])
        yield queue(at(hour, 42), "busy", "good")
        # 900 are left of the small account: 450 and 430 pass, whatever else it asks for does not.
        yield queue(at(hour, 42), "credit", "bill", client="large", total=800)
    for total in (450, 500, 430, 30):
        yield queue(at(4), "credit", "bill", client="small", total=total)
    yield queue(at(5), "credit", "nobody")
    for hour in (1, 2, 2, 9):
        yield queue(at(hour), "inspects", "bill", client="gone", total=100)
    for tenant, hour in (("disabled", 3), ("inactive", 3), ("paused", 10), ("locked", 11), ("locked", 12)):
        yield queue(at(hour), tenant, "homeless")
    yield queue(at(13, 42), "plain", "good")
    yield queue(at(13, 42), "suggests", "worst")
    yield queue(at(6), "odd", "foreign")
    yield queue(at(13, 42), "odd", "good", name="withdrawn")
    yield Act(at(14, 22), "delete order", "odd", name="withdrawn")
    yield queue(at(7), "odd", "homeless", name="mended")
    yield Act(at(15), "mend order", "odd", name="mended")


def _acts() -> Iterator[Act]:
    yield from _orders()
    yield Act(KILLED[0], "kill switch", on=True)
    yield Act(KILLED[1], "kill switch", on=False)
    yield Act(at(9, 42), "enable", "paused", on=False)
    yield Act(at(13), "enable", "paused", on=True)
    yield Act(at(14, 42), "settings", "broken", settings=SEND)
    yield Act(at(11), "suppress contact", "suppressed", name="u0")
    yield Act(at(11), "suppress address", "suppressed", name="u1")
    # While their emails wait: one is called, one unsubscribes, then the tenant wants proposals only.
    yield Act(at(19, 22), "touch", "changes", name="second")
    yield Act(at(20, 22), "suppress address", "changes", name="third")
    yield Act(at(21, 22), "settings", "changes", settings={"email_mode": "suggest"})
    yield Act(at(11), "lock", "locked", minutes=120)
    yield Act(at(6, 42), "emit", "odd", name="nobody.handles")
    # Alerts of the applications' own, and who acknowledges what.
    for when in (at(10), at(10, 42), at(12)):
        yield Act(when, "alert", "hooked", name="disk_full")
    yield Act(at(2), "alert", "disabled", name="certificate", severity="critical")
    yield Act(at(6), "acknowledge", "disabled", name="certificate")
    yield Act(at(3), "alert", "odd", name="chatter", severity="info")
    yield Act(at(12), "acknowledge", "inspects", name="order_exception")
    yield Act(at(15), "acknowledge", "broken", name="settings_invalid")
    yield Act(at(9), "acknowledge", "odd", name="dead_event")
    yield Act(at(9), "acknowledge", "odd", name="failure_rate")
    yield Act(at(20), "acknowledge", "outage", name="provider_failure")
    yield Act(at(25), "lock", "plain", minutes=60)


ACTS: tuple[Act, ...] = tuple(sorted(_acts(), key=lambda act: act.at))
