"""What reactor.status() found, in words: the facts, the rates between two looks, what needs a person."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from reactor.telemetry.words import ago, lasting, many, moment, shorten

#: Seconds after which a ready event, or a canary, waits for too long to be a matter of chance.
_TOO_LONG = 300
_SILENCE = 180

#: Without --app it is the built-in automations that run, and an event of another type is dead at once.
START = "Start one: reactor run --app MODULE:ATTRIBUTE"


@dataclass(frozen=True, slots=True)
class Need:
    """Something that does not mend itself. ``where``: the part of the dashboard that is about it."""

    severity: Literal["critical", "warning"]
    says: str
    where: str


def facts(found: dict[str, Any], before: dict[str, Any] | None) -> Iterator[tuple[str, str]]:
    """Name and text of each; with an earlier look, the rate as well."""
    now = moment(found["at"])
    events, tenants = found["events"], found["tenants"]
    runs, alerts, leader = found["runs_last_hour"], found["alerts"], found["leader"]
    yield "kill switch", gate(found["gate"])
    waiting = f"{tenants['waiting']:,} wait for a replica"
    yield "tenants", f"{tenants['enabled']:,} of {tenants['total']:,} enabled, {waiting}"
    yield (
        "events",
        (
            f"{events['ready']:,} ready, {events['in_flight']:,} in flight, {events['delayed']:,} delayed, "
            f"{events['parked']:,} parked, {events['dead']:,} dead"
        ),
    )
    yield "oldest ready", lasting(events["oldest_seconds"])
    yield "next due", ago(events["next_due_at"], now)
    if before is not None:
        emitted, finished = rates(found, before)
        yield "rate", f"{emitted:,.0f} emitted/s, {finished:,.0f} finished/s"
    yield (
        "runs, last hour",
        (
            f"{runs['completed']:,} completed, {runs['failed']:,} failed, {runs['timeout']:,} timed out, "
            f"{runs['running']:,} running"
        ),
    )
    yield (
        "alerts",
        f"{alerts['critical']:,} critical, {alerts['warning']:,} warning, {alerts['info']:,} info",
    )
    yield (
        "leader",
        f"{leader['replica']} (term {leader['term']})"
        if leader["leads"]
        else "none: nothing happens on time",
    )
    yield "canary", _canary(found["canary"], now)


def gate(found: dict[str, Any]) -> str:
    """The kill switch."""
    return "off" if found["open"] else f"ON: {found['reason'] or 'it was never switched off'}"


def rates(found: dict[str, Any], before: dict[str, Any]) -> tuple[float, float]:
    """Events emitted, and finished, a second."""
    seconds = (moment(found["at"]) - moment(before["at"])).total_seconds()
    now, then = found["totals"], before["totals"]
    emitted, finished = (
        max(0.0, (now[name] - then[name]) / seconds) if seconds > 0 else 0.0
        for name in ("emitted", "finished")
    )
    return emitted, finished


def needs(found: dict[str, Any]) -> Iterator[Need]:
    """What a person should look at, the worst first."""
    now = moment(found["at"])
    events, alerts = found["events"], found["alerts"]
    live = [replica for replica in found["replicas"] if replica["alive"]]
    if not found["gate"]["open"]:
        reason = found["gate"]["reason"] or "it was never switched off"
        parked = f" {many(events['parked'], 'event')} parked." if events["parked"] else ""
        yield Need("critical", f"The kill switch is on: {reason}.{parked}", "kill-switch")
    if not live:
        yield Need("critical", f"No replica lives, so nothing is handled. {START}", "replicas")
    elif not found["leader"]["leads"]:
        yield Need("critical", "No replica leads just now: nothing happens on time.", "replicas")
    silent = found["canary"]["silent_seconds"]
    if live and silent is not None and silent > _SILENCE:
        yield Need("critical", f"No canary came through for {lasting(silent)}.", "replicas")
    if alerts["critical"]:
        yield Need("critical", f"{many(alerts['critical'], 'critical alert')} not acknowledged.", "alerts")
    if events["dead"]:
        verb = "is" if events["dead"] == 1 else "are"
        yield Need("critical", f"{many(events['dead'], 'event')} {verb} dead.", "dead")
    oldest = events["oldest_seconds"]
    if oldest is not None and oldest > _TOO_LONG:
        yield Need("warning", f"The oldest ready event waits for {lasting(oldest)}.", "events?state=ready")
    for replica in found["replicas"]:
        if not replica["alive"]:
            heard = ago(replica["seen_at"], now)
            yield Need("warning", f"Replica {replica['replica']} was last heard of {heard}.", "replicas")
    for said in failing_jobs(found):
        yield Need("warning", f"{said}.", "replicas")
    if alerts["warning"]:
        yield Need("warning", f"{many(alerts['warning'], 'alert')} of severity warning.", "alerts")


def failing_jobs(found: dict[str, Any]) -> Iterator[str]:
    """A sentence without its end for each periodic job whose last run failed."""
    for job in found["jobs_failing"]:
        times = "" if job["failures"] == 1 else f" {job['failures']:,} times in a row"
        yield f"Job {job['name']} failed{times}: {shorten(job['last_error'])}"


def _canary(canary: dict[str, Any], now: datetime) -> str:
    """The event that shows that events are handled, see docs/telemetry.md."""
    if canary["sent_at"] is None:
        return "none was sent"
    last = "none came through"
    if canary["heard_at"] is not None:
        last = f"the last took {lasting(canary['seconds'])}, {ago(canary['heard_at'], now)}"
    waits = canary["silent_seconds"]
    return last if waits is None else f"{last}; none for {lasting(waits)}"
