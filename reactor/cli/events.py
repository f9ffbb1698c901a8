"""``reactor events``."""

from datetime import datetime
from typing import Annotated, Any

from cyclopts import Parameter

from reactor.cli.arguments import group
from reactor.cli.output import print_json, print_rows
from reactor.cli.session import session
from reactor.cli.story import print_errors, print_facts
from reactor.db import operations
from reactor.db.named import event_number, no_event, tenant_label
from reactor.telemetry.story import outcome
from reactor.telemetry.words import ago, lasting, moment

app = group("events", "The life of one event: trace.", "reactor events trace 4711")


@app.command
async def trace(
    event: str, /, *, json: Annotated[bool, Parameter(help="Write JSON to stdout.")] = False
) -> int:
    """Tells the life of one event: who caused it, its runs and tries, what became of it, what it caused.

    Exits 2 when nobody knows the event (any more).

    Example: ``reactor events trace 4711``

    Parameters
    ----------
    event
        Its id, or its event_id.
    """
    async with session("events trace") as connection:
        number = await event_number(connection, event)
        found = await operations.trace_event(connection, number)
        now = await operations.now(connection)
        if found is None:
            raise no_event(event)
        tenant = await tenant_label(connection, found["event"]["tenant_id"])
    if json:
        print_json(found)
    else:
        _tell(found, tenant, now)
    return 0


def _tell(found: dict[str, Any], tenant: str, now: datetime) -> None:
    event = found["event"]
    print_facts(
        {
            "event": f"{event['id']} ({event['event_id']})",
            "type": event["event_type"],
            "tenant": tenant,
            "subject": event["subject_id"],
            "payload": event["payload"],
            "emitted": ago(event["created_at"], now),
            "tries": f"{event['attempts']} failed, {event['interruptions']} interrupted",
            "outcome": _outcome(event, now),
            "reason": event.get("reason"),
            "traceparent": event["traceparent"],
        }
    )
    if found["causes"]:
        print("\nCaused by, the first cause first:")
        _list(found["causes"], now)
    print_errors(event["errors"], now)
    if found["runs"]:
        print("\nRuns:")
        rows = [
            run | {"run": run["id"], "started": ago(run["started_at"], now), "lasted": _lasted(run)}
            for run in found["runs"]
        ]
        print_rows(rows, ["run", "started", "lasted", "status", "error_message"])
    if found["effects"]:
        print("\nCaused in turn:")
        _list(found["effects"], now)
        if found["more_effects"]:
            print("(and more)")


def _list(events: list[dict[str, Any]], now: datetime) -> None:
    rows = [
        {
            "id": event["id"],
            "type": event.get("event_type"),
            "caused_by": event.get("cause_id"),
            "emitted": ago(event.get("created_at"), now),
            "outcome": outcome(event),
        }
        for event in events
    ]
    print_rows(rows, ["id", "type", "caused_by", "emitted", "outcome"])


def _outcome(event: dict[str, Any], now: datetime) -> str:
    word = outcome(event)
    at = event.get("finished_at") or event.get("died_at")
    if at is None:
        return f"{word}, see `reactor explain {event['id']}`"
    took = moment(at) - moment(event["created_at"])
    return f"{word} {ago(at, now)}, {lasting(took)} after it was emitted"


def _lasted(run: dict[str, Any]) -> str | None:
    return None if run["duration_ms"] is None else lasting(run["duration_ms"] / 1000)
