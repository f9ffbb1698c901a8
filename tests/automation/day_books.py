"""The books that the count of a day is kept in: each tenant's state, what happened when, alerts and rules."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from tests.automation import day_script as script
from tests.automation.day_script import TENANTS, Contact, Order, Tenant

HOUR, DAY = 60, 24 * 60
# Seconds between the tries of a delivery; each may be a fifth shorter or longer.
DELIVERY_PAUSES = (2, 10, 30, 120, 300, 900, 1800, 3600)


@dataclass(frozen=True)
class Run:
    """A run that ended: when, whether it failed, and how long it took."""

    tenant: str
    ended: int
    failed: bool
    milliseconds: int


@dataclass
class Alert:
    type: str
    severity: str
    raised: int
    acknowledged: int | None = None
    not_by_email: bool = False


@dataclass
class Email:
    """One that waits: for its hour, or for the provider."""

    contact: Contact
    slot: int | None
    due: int
    failed_before: bool = False


@dataclass
class Delivery:
    """A webhook that a receiver did not take yet."""

    due_from: float
    due_until: float
    tries: int


@dataclass
class State:
    """One tenant as the day goes on."""

    tenant: Tenant
    settings: dict[str, Any]
    enabled: bool
    orders: list[Order] = field(default_factory=list)
    overdue: list[tuple[int, int | None, Contact]] = field(default_factory=list)
    emails: list[Email] = field(default_factory=list)
    alerts: list[Alert] = field(default_factory=list)
    fresh: list[Alert] = field(default_factory=list)
    escalations: list[tuple[int, Alert, int]] = field(default_factory=list)
    retries: list[Delivery] = field(default_factory=list)
    delivered: dict[str, int] = field(default_factory=dict)
    touched: set[str] = field(default_factory=set)
    suppressed: set[str] = field(default_factory=set)
    taken: Counter[str] = field(default_factory=Counter)
    events: list[str] = field(default_factory=list)
    locked_until: int = 0
    judged: dict[str, str] = field(default_factory=dict)


class Books:
    """What is counted, and how alerts are raised, delivered and repeated."""

    def __init__(self, runs: Iterable[Run]) -> None:
        self.states = {
            name: State(tenant, dict(tenant.settings), tenant.enabled) for name, tenant in TENANTS.items()
        }
        self.runs = list(runs)
        # (tenant, hour) → what the reflections count; and the day's totals by tenant.
        self.hours: dict[tuple[str, int], Counter[str]] = defaultdict(Counter)
        self.ticks: dict[tuple[str, int], Counter[str]] = defaultdict(Counter)
        self.windows: Counter[tuple[str, str, int]] = Counter()
        self.violations: Counter[tuple[str, str]] = Counter()
        self.exceptions: Counter[tuple[str, str, str]] = Counter()
        self.queue: Counter[tuple[str, str]] = Counter()
        self.recipients: Counter[str] = Counter()
        self.alert_emails: Counter[str] = Counter()
        self.webhooks: Counter[str] = Counter()
        self.refused_webhooks: Counter[str] = Counter()
        self.failures: Counter[tuple[str, str]] = Counter()
        self.intents: Counter[tuple[str, str]] = Counter()
        self.dead = 0
        self.stopped = True
        self._circuit_fails, self._circuit_opened, self._circuit_pause = 0, 0, 0
        for hours_ago in range(1, script.EARLIER_HOURS + 1):
            self.note("busy", 30 - HOUR * hours_ago, emails_sent=script.EARLIER_EMAILS)

    def note(self, tenant: str, now: int, **counts: int) -> None:
        self.hours[tenant, now // HOUR].update(counts)
        self.ticks[tenant, now].update(counts)

    def total(self, tenant: str, what: str) -> int:
        return sum(c[what] for (name, hour), c in self.hours.items() if name == tenant and hour >= 0)

    def alert(self, name: str, kind: str, severity: str, now: int, *, not_by_email: bool = False) -> None:
        alert = Alert(kind, severity, now, not_by_email=not_by_email)
        self.states[name].alerts.append(alert)
        self.states[name].fresh.append(alert)
        self.note(name, now, alerts_raised=1)

    def _raised_lately(self, name: str, kind: str, now: int) -> bool:
        return any(a.type == kind and a.raised > now - HOUR for a in self.states[name].alerts)

    def others(self, name: str, state: State, now: int) -> None:
        """Events that nobody handles are dead at once."""
        for _ in state.events:
            self.dead += 1
            self.alert(name, "dead_event", "critical", now)
        state.events = []

    def deliver(self, name: str, state: State, now: int) -> None:
        has_channel = state.tenant.webhook or state.tenant.alert_emails
        for delivery in [d for d in state.retries if d.due_until <= now]:
            state.retries.remove(delivery)
            self.post(name, state, now, delivery.tries)
        # Else the day would depend on chance.
        assert all(d.due_from > now for d in state.retries)
        for alert in state.fresh:
            if alert.acknowledged is not None:
                continue
            lately = state.delivered.get(alert.type)
            if lately is None or lately <= now - HOUR:
                self.bring(name, state, alert, now)
            if alert.severity == "critical" and has_channel:
                state.escalations.append((now + 15, alert, 1))
        state.fresh = []
        for due, alert, step in list(state.escalations):
            if due > now:
                continue
            state.escalations.remove((due, alert, step))
            if alert.acknowledged is not None:
                continue
            older = state.alerts[: [a is alert for a in state.alerts].index(True)]
            spoken_for = any(
                a.type == alert.type and a.severity == "critical" and a.acknowledged is None for a in older
            )
            if not spoken_for:
                self.bring(name, state, alert, now)
            state.escalations.append((now + HOUR, alert, step + 1))

    def bring(self, name: str, state: State, alert: Alert, now: int) -> None:
        if state.tenant.webhook:
            self.post(name, state, now, 0)
        if state.tenant.alert_emails and not alert.not_by_email:
            assert not script.SMTP_DOWN[0] <= now < script.SMTP_DOWN[1]
            self.alert_emails[name] += state.tenant.alert_emails
        elif not state.tenant.webhook:
            return
        state.delivered[alert.type] = now

    def post(self, name: str, state: State, now: int, tries: int) -> None:
        if name == "hooked" and script.HOOK_DOWN[0] <= now < script.HOOK_DOWN[1]:
            self.refused_webhooks[name] += 1
            pause = DELIVERY_PAUSES[tries] / 60
            state.retries.append(Delivery(now + pause * 0.8, now + pause * 1.2, tries + 1))
        else:
            self.webhooks[name] += 1

    def rules(self, name: str, state: State, now: int) -> None:
        """Judges the hour before now; what happens now is not part of it."""
        hour: Counter[str] = Counter()
        for t in range(now - HOUR, now):
            hour.update(self.ticks.get((name, t), Counter()))
        ended = [run for run in self.runs if run.tenant == name and now - HOUR <= run.ended < now]
        failed = sum(run.failed for run in ended)
        late = sum(c.due <= now and c.name not in state.touched for c in state.tenant.contacts)
        clocks = len(state.tenant.contacts)
        before = [
            (t, c["emails_sent"])
            for (tenant, t), c in self.ticks.items()
            if tenant == name and c["emails_sent"] and t < now
        ]
        first = min((t for t, _ in before), default=now)
        data = (now - HOUR - first) / HOUR
        mean = sum(n for t, n in before if t < now - HOUR) / -(-data // 1) if data > 0 else 0
        fires = {
            ("failure_rate", "critical"): bool(ended) and failed * 5 > len(ended),
            ("low_compliance", "warning"): late * 5 > clocks,
            ("blocked_share", "warning"): hour["actions_blocked"] * 10 > hour["actions_planned"] * 3 > 0,
            ("slow_runs", "warning"): sum(run.milliseconds for run in ended) > 300_000 * len(ended),
            ("policy_blocks", "warning"): hour["policy_violations"] >= 10,
            ("email_spike", "warning"): data >= 24 and mean > 5 and hour["emails_sent"] > 2 * mean,
        }
        for (kind, severity), fired in fires.items():
            if fired and not self._raised_lately(name, kind, now):
                self.alert(name, kind, severity, now)
