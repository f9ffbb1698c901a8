"""What a person's action came to, in sentences: for the command line and the dashboard."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from reactor.telemetry.words import many

#: So many ids are named one by one.
FEW = 20


def dead(what: str, done: Sequence[int], left: int, *, again: str) -> Iterator[str]:
    """``what``: replayed or discarded. ``left``: more that fit, and what to do ``again`` for them."""
    if not done:
        yield "No dead event fits."
        return
    few = f": {', '.join(map(str, done))}" if len(done) <= FEW else ""
    yield f"{many(len(done), 'event')} {what}{few}."
    if left:
        yield f"{left:,} more fit; {again}."


def alerts(done: int, before: int) -> str:
    """Acknowledged now, and before."""
    said = f" {before} had been before." if before else ""
    return f"{many(done, 'alert')} acknowledged.{said}"


def tenants(rows: Sequence[Mapping[str, Any]], *, enabled: bool) -> Iterator[str]:
    """One for each tenant."""
    word = "enabled" if enabled else "disabled"
    for row in rows:
        already = "already " if row["was_enabled"] == enabled else ""
        yield f"{row['name']} ({row['tenant_id']}) is {already}{word}."


def in_the_way(rows: Sequence[Mapping[str, Any]], gate: Mapping[str, Any]) -> Iterator[str]:
    """Why nothing is done yet for tenants that were enabled."""
    for row in rows:
        if not row["is_active"]:
            yield f"{row['name']} is not active, so nothing is done for it yet."
    if not gate["open"]:
        yield "The kill switch is on, so nothing is done yet: see `reactor kill-switch`."


def kill_switch(found: Mapping[str, Any]) -> Iterator[str]:
    """``found``: what reactor.status() says."""
    gate, served, parked = found["gate"], found["tenants"], found["events"]["parked"]
    if gate["open"]:
        yield f"The kill switch is off: {served['enabled']:,} of {served['total']:,} tenants are served."
    else:
        yield f"The kill switch is on: {gate['reason'] or 'it was never switched off'}."
        yield f"{many(parked, 'event')} parked. `reactor kill-switch off` lets what is parked go on."


def lock(row: Mapping[str, Any]) -> str:
    """What reactor.break_lock() took away."""
    again = f"; {many(row['in_flight'], 'event')} will be tried again" if row["in_flight"] else ""
    return f"Tenant {row['tenant_id']} is free; {row['lock_holder']} held it{again}."
