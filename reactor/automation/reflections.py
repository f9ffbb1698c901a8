"""Hourly reflections: what happened for a tenant in an hour, what changed, and what comes next.

Pure functions make a reflection out of numbers; two queries load the numbers
of all tenants. The hour before is counted anew rather than remembered, so the
differences are exact even when hours were missed, and made good later.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, LiteralString
from uuid import UUID

import asyncpg

if TYPE_CHECKING:
    from reactor.db.calls import Connection

_METRICS: LiteralString = "select * from reactor.hour_metrics($1, $2)"
_BACKLOG: LiteralString = "select * from reactor.tenant_backlog($1)"
_MISSED: LiteralString = "select h from reactor.hours_to_reflect() h"
_RECORD: LiteralString = "select reactor.record_reflections($1, $2)"


@dataclass(frozen=True, slots=True)
class HourMetrics:
    """Numbers of one tenant's hour."""

    runs_completed: int = 0
    runs_failed: int = 0
    run_ms: int = 0
    actions_planned: int = 0
    actions_executed: int = 0
    actions_blocked: int = 0
    emails_sent: int = 0
    cards_created: int = 0
    orders_validated: int = 0
    orders_with_exceptions: int = 0
    exceptions_raised: int = 0
    policy_violations: int = 0
    email_failures: int = 0
    alerts_raised: int = 0
    contacts_touched: int = 0

    def as_dict(self) -> dict[str, int]:
        return {field.name: getattr(self, field.name) for field in fields(self)}


@dataclass(frozen=True, slots=True)
class Backlog:
    """What stands before a tenant now."""

    orders_pending: int = 0
    exceptions_unresolved: int = 0
    clocks_overdue: int = 0
    emails_waiting: int = 0
    emails_unknown: int = 0
    alerts_unacknowledged: int = 0
    alerts_critical: int = 0
    dead_events: int = 0


# What stands in the way, by the name of the number that says so.
_BLOCKERS: Mapping[str, str] = {
    "alerts_critical": "critical alerts that nobody has acknowledged",
    "dead_events": "events that will not be tried again by themselves",
    "emails_unknown": "emails that may or may not have been sent",
    "exceptions_unresolved": "order exceptions that wait for a person",
}
# What to do next, the most urgent first.
_PRIORITIES: Mapping[str, str] = {
    "alerts_critical": "acknowledge the critical alerts",
    "dead_events": "look at the dead events, mend their cause and replay them",
    "emails_unknown": "find out which of the doubtful emails arrived",
    "exceptions_unresolved": "resolve the order exceptions",
    "clocks_overdue": "get in touch with overdue clients and contacts",
    "orders_pending": "validate the queued orders",
    "emails_waiting": "send the waiting emails when their windows open",
}


@dataclass(frozen=True, slots=True)
class Reflection:
    """The columns of a row of agent_hourly_reflections."""

    summary: dict[str, object]
    changes: list[dict[str, object]]
    metrics_delta: dict[str, int]
    blockers: list[dict[str, object]]
    insights: list[str]
    next_hour_priorities: list[dict[str, object]]


def reflect(
    hour: datetime,
    now: HourMetrics,
    before: HourMetrics,
    backlog: Backlog,
    *,
    by_policy: Mapping[str, int],
    by_exception: Mapping[str, int],
) -> Reflection:
    """One tenant's reflection on the hour that began at `hour`."""
    numbers, earlier = now.as_dict(), before.as_dict()
    delta = {name: value - earlier[name] for name, value in numbers.items()}
    runs = now.runs_completed + now.runs_failed
    summary: dict[str, object] = {
        "hour": hour.isoformat(),
        **numbers,
        "mean_run_ms": now.run_ms // runs if runs else 0,
        "violations_by_policy": dict(by_policy),
        "exceptions_by_type": dict(by_exception),
    }
    changes: list[dict[str, object]] = [
        {"metric": name, "from": earlier[name], "to": numbers[name]}
        for name, change in delta.items()
        if change
    ]
    standing = {field.name: int(getattr(backlog, field.name)) for field in fields(backlog)}
    return Reflection(
        summary=summary,
        changes=changes,
        metrics_delta=delta,
        blockers=[
            {"what": text, "count": standing[name]} for name, text in _BLOCKERS.items() if standing[name]
        ],
        insights=_insights(now, before, by_policy, by_exception),
        next_hour_priorities=[
            {"do": text, "count": standing[name]} for name, text in _PRIORITIES.items() if standing[name]
        ],
    )


def _insights(
    now: HourMetrics, before: HourMetrics, by_policy: Mapping[str, int], by_exception: Mapping[str, int]
) -> list[str]:
    """What the numbers mean, where they mean something."""
    found: list[str] = []
    runs = now.runs_completed + now.runs_failed
    if now.runs_failed:
        found.append(f"{now.runs_failed} of {runs} runs failed")
    orders = now.orders_validated + now.orders_with_exceptions
    if orders and now.orders_with_exceptions * 2 > orders:
        found.append(
            f"more than half of the orders ({now.orders_with_exceptions} of {orders}) had exceptions"
        )
    if by_exception:
        kind, count = max(by_exception.items(), key=lambda item: (item[1], item[0]))
        found.append(f"most order exceptions were about {kind} ({count} of {now.exceptions_raised})")
    if by_policy:
        policy, count = max(by_policy.items(), key=lambda item: (item[1], item[0]))
        found.append(f"{policy} blocked most ({count} of {now.policy_violations})")
    if now.email_failures:
        found.append(f"the email provider failed {now.email_failures} times")
    if before.emails_sent and not now.emails_sent and now.actions_planned:
        found.append("no email was sent, although the hour before had some")
    return found


async def reflect_hour(conn: Connection, hour: datetime) -> int:
    """Write the reflections on the hour that began at `hour`; returns how many. Safe to repeat."""
    rows = await conn.fetch(_METRICS, hour, None)
    tenants: list[UUID] = [row["tenant_id"] for row in rows]
    earlier = {
        row["tenant_id"]: _metrics(row)
        for row in await conn.fetch(_METRICS, hour - timedelta(hours=1), tenants)
    }
    backlogs = {
        row["tenant_id"]: Backlog(**{field.name: row[field.name] for field in fields(Backlog)})
        for row in await conn.fetch(_BACKLOG, tenants)
    }
    written: list[dict[str, object]] = []
    for row in rows:
        tenant = row["tenant_id"]
        reflection = reflect(
            hour,
            _metrics(row),
            earlier.get(tenant, HourMetrics()),
            backlogs.get(tenant, Backlog()),
            by_policy=row["violations_by_policy"],
            by_exception=row["exceptions_by_type"],
        )
        columns: dict[str, object] = {
            field.name: getattr(reflection, field.name) for field in fields(reflection)
        }
        written.append({"tenant_id": str(tenant), **columns})
    return int(await conn.fetchval(_RECORD, hour, written))


async def reflect_missed(conn: Connection) -> int:
    """Reflect on every hour that ended since the last time, earliest first; returns how many hours."""
    hours = [row[0] for row in await conn.fetch(_MISSED)]
    for hour in hours:
        await reflect_hour(conn, hour)
    return len(hours)


def _metrics(row: asyncpg.Record) -> HourMetrics:
    return HourMetrics(**{field.name: row[field.name] for field in fields(HourMetrics)})
