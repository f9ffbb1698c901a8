"""``reactor events``."""

from datetime import datetime
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from reactor.cli.arguments import group, in_range
from reactor.cli.output import print_json, print_rows
from reactor.cli.session import session
from reactor.cli.story import print_errors, print_facts
from reactor.db import operations
from reactor.db.named import event_number, no_event, tenant_id, tenant_label
from reactor.telemetry.story import outcome
from reactor.telemetry.words import ago, lasting, moment, shorten

app = group("events", "Events that wait, and the life of one: list, trace.", "reactor events trace 4711")


@app.command(name="list")
async def list_(
    *,
    state: Literal["ready", "in-flight", "delayed", "parked", "retrying"] | None = None,
    event_type: Annotated[str | None, Parameter(name="--type")] = None,
    tenant: str | None = None,
    after: int | None = None,
    limit: int = 50,
    json: Annotated[bool, Parameter(help="Write JSON to stdout.")] = False,
) -> int:
    """Lists events that wait or are in flight, the oldest first.

    It looks at 200,000 of them at most, and says where to go on.

    Example: ``reactor events list --state delayed --type order.queued``

    Parameters
    ----------
    state
        Only those in this state; retrying are those that failed before, whatever they wait for.
    event_type
        Only events of this type.
    tenant
        Only events of this tenant, by its id or its name.
    after
        Only those with a higher id: where the list before ended.
    limit
        At most so many, up to 1000.
    """
    in_range("--limit", limit, 1, 1000)
    async with session("events list") as connection:
        found = await operations.list_events(
            connection,
            limit,
            state=state.replace("-", "_") if state is not None else None,
            event_type=event_type,
            tenant_id=await tenant_id(connection, tenant) if tenant is not None else None,
            after=after,
        )
    if json:
        print_json(found)
        return 0
    now = moment(found["at"])
    rows = [
        {
            "id": event["id"],
            "type": event["event_type"],
            "tenant": event["tenant_name"] or event["tenant_id"],
            "state": event["state"].replace("_", " "),
            "tries": event["attempts"],
            "emitted": ago(event["created_at"], now),
            "its_time": ago(event["available_at"], now) if event["state"] == "delayed" else None,
            "last_error": shorten(event["last_error"] or "-"),
        }
        for event in found["events"]
    ]
    columns = ["id", "type", "tenant", "state", "tries", "emitted", "its_time", "last_error"]
    empty = "No event waits that fits." if found["complete"] else "None of those looked at fits."
    print_rows(rows, columns, empty=empty)
    if found["next"] is not None:
        print(f"(Go on with --after {found['next']}.)")
    return 0


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
