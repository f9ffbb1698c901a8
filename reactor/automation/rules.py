"""Alert rules: what an operator should hear of before somebody else tells them.

Each rule is a pure function of one tenant's last hour. They are evaluated by
the leader, for all tenants with one query, at most once an hour an alert.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import TYPE_CHECKING, LiteralString
from uuid import UUID

from reactor.automation.tenant_settings import Severity

if TYPE_CHECKING:
    from reactor.db.calls import Connection

_FACTS: LiteralString = "select * from reactor.rule_facts($1)"
_RECORD: LiteralString = "select reactor.record_findings($1)"


@dataclass(frozen=True, slots=True)
class HourFacts:
    """What happened for one tenant in an hour; clocks as they stand at its end."""

    tenant_id: UUID
    runs: int = 0
    runs_failed: int = 0
    mean_run_seconds: float = 0.0
    planned: int = 0
    blocked: int = 0
    violations: int = 0
    clocks: int = 0
    clocks_overdue: int = 0
    emails: int = 0
    # Hourly mean of the seven days before, and how many hours it is made of.
    emails_mean: float = 0.0
    hours_of_data: int = 0


@dataclass(frozen=True, slots=True)
class Finding:
    """A rule that fired: an alert to be."""

    alert_type: str
    severity: Severity
    message: str


def failure_rate(facts: HourFacts) -> Finding | None:
    if facts.runs == 0 or facts.runs_failed / facts.runs <= 0.20:
        return None
    share = facts.runs_failed / facts.runs
    return Finding(
        "failure_rate",
        Severity.CRITICAL,
        f"{share:.0%} of the runs of the last hour failed ({facts.runs_failed} of {facts.runs})",
    )


def compliance(facts: HourFacts) -> Finding | None:
    if facts.clocks == 0 or (facts.clocks - facts.clocks_overdue) / facts.clocks >= 0.80:
        return None
    share = (facts.clocks - facts.clocks_overdue) / facts.clocks
    return Finding(
        "low_compliance",
        Severity.WARNING,
        f"only {share:.0%} of the engagement clocks are compliant ({facts.clocks_overdue} are overdue)",
    )


def blocked_share(facts: HourFacts) -> Finding | None:
    # What waited is asked about again, and may be blocked, in another hour than it was planned in.
    planned = max(facts.planned, facts.blocked)
    if facts.planned == 0 or facts.blocked / planned <= 0.30:
        return None
    share = facts.blocked / planned
    return Finding(
        "blocked_share",
        Severity.WARNING,
        f"policies blocked {share:.0%} of the planned actions ({facts.blocked} of {planned})",
    )


def slow_runs(facts: HourFacts) -> Finding | None:
    if facts.mean_run_seconds <= 300:
        return None
    return Finding("slow_runs", Severity.WARNING, f"a run took {facts.mean_run_seconds:.0f} s on average")


def policy_blocks(facts: HourFacts) -> Finding | None:
    if facts.violations < 10:
        return None
    return Finding("policy_blocks", Severity.WARNING, f"{facts.violations} actions were blocked in an hour")


def email_spike(facts: HourFacts) -> Finding | None:
    if facts.hours_of_data < 24 or facts.emails_mean <= 5 or facts.emails <= 2 * facts.emails_mean:
        return None
    return Finding(
        "email_spike",
        Severity.WARNING,
        f"{facts.emails} emails in an hour, {facts.emails / facts.emails_mean:.1f} times the week's mean",
    )


RULES: Sequence[Callable[[HourFacts], Finding | None]] = (
    failure_rate,
    compliance,
    blocked_share,
    slow_runs,
    policy_blocks,
    email_spike,
)


def evaluate(facts: HourFacts) -> list[Finding]:
    """All rules that fire."""
    return [finding for rule in RULES if (finding := rule(facts)) is not None]


async def evaluate_rules(conn: Connection, at: datetime | None = None) -> int:
    """Judge the hour before `at` (default: now) for all tenants; returns how many alerts were raised."""
    findings: list[dict[str, object]] = []
    for row in await conn.fetch(_FACTS, at):
        facts = HourFacts(**dict(row))
        told = {name: value for name, value in asdict(facts).items() if name != "tenant_id"}
        findings += [
            {
                "tenant_id": str(facts.tenant_id),
                "alert_type": finding.alert_type,
                "severity": finding.severity,
                "message": finding.message,
                "metadata": told,
            }
            for finding in evaluate(facts)
        ]
    if not findings:
        return 0
    return int(await conn.fetchval(_RECORD, findings))
