"""``reactor explain``: puts in words what reactor.explain_event() found."""

from datetime import datetime
from typing import Any

from reactor.cli.arguments import event_number, no_event
from reactor.cli.output import in_a_line, print_json, say
from reactor.cli.session import session
from reactor.cli.story import print_errors, print_facts, said
from reactor.cli.words import ago, lasting, many, moment
from reactor.db import operations


async def explain(event: str, /, *, json: bool = False) -> int:
    """Says why an event waits, or what became of it.

    It may be held by a run (of which replica, for how long), wait for its time, be parked by the kill
    switch or its tenant, lack a replica or a handler, be dead or finished. Exits 2 when nobody knows it.

    Example: ``reactor explain 4711``

    Parameters
    ----------
    event
        Its id, or its event_id.
    json
        Write JSON to stdout.
    """
    async with session("explain") as connection:
        number = await event_number(connection, event)
        found = await operations.explain_event(connection, number)
    if found is None:
        raise no_event(event)
    if json:
        print_json(found | {"sentence": sentence(found)})
        return 0
    say(in_a_line(sentence(found)))
    about, now = found["event"], moment(found["at"])
    print()
    print_facts(
        {
            "event": f"{about['id']} ({about['event_id']})",
            "type": about["event_type"],
            "tenant": f"{about['tenant_id']} {found['gate']['tenant_name'] or '(gone)'}",
            "emitted": ago(about["created_at"], now),
            "tries": f"{about['attempts']} failed, {about['interruptions']} interrupted",
            "next look": ago(about["available_at"], now) if found["why"] == "delayed" else None,
            "held by run": (found["lock"] or {}).get("run_id"),
        }
    )
    print_errors(about["errors"], now)
    return 0


def sentence(found: dict[str, Any]) -> str:
    """The answer. ``found["why"]`` is one of those that sql/functions/explain_event.sql lists."""
    event, now = found["event"], moment(found["at"])
    match found["why"]:
        case "in_flight":
            return f"It is being handled {_held(found['lock'])}."
        case "held":
            turn = _after(found["ahead"]) or " next"
            return f"Its tenant is held {_held(found['lock'])}; it comes{turn}."
        case "no_replica":
            return "No replica lives that could take it. Start one: `reactor run`."
        case "no_handler":
            live = many(found["replicas"]["live"], "live replica")
            return (
                f"None of {live} has a handler for {event['event_type']}: the next one to look makes it "
                "dead. Run the app that handles it; `reactor dead replay` puts it back."
            )
        case "delayed":
            return _delayed(event, now)
        case "due":
            leader = found["replicas"]["leader"]
            who = (
                f"the leader ({leader}) is about to make it ready" if leader else "no replica leads just now"
            )
            return f"Its time came {ago(event['available_at'], now)}; {who}."
        case "parked":
            return f"It is parked: {_closed(found['gate'])}"
        case "reopened":
            leader = found["replicas"]["leader"]
            who = (
                f"the leader ({leader}) is about to put it back"
                if leader
                else "but no replica leads just now"
            )
            return f"It was parked and may go on; {who}."
        case "ready":
            turn = _after(found["ahead"])
            return f"It is ready, and the next replica with a free slot takes it{turn and ','}{turn}."
        case "dead":
            return (
                f"It is dead since {ago(event['died_at'], now)}: {event['reason'].rstrip('.')}. "
                f"`reactor dead replay {event['id']}` puts it back."
            )
        case "handled":
            took = lasting(moment(event["finished_at"]) - moment(event["created_at"]))
            return f"It was handled {ago(event['finished_at'], now)}, {took} after it was emitted."
        case "discarded":
            return f"It was discarded {ago(event['finished_at'], now)}: {event['reason']}."
        case other:
            return f"It is {other}."


def _held(lock: dict[str, Any]) -> str:
    since = lasting(lock["held_seconds"])
    if not lock["by_replica"]:
        return f"by {lock['lock_holder']} (no replica) for {since}, until {lock['expires_at']} at the latest"
    if not lock["holder_alive"]:
        return (
            f"by replica {lock['lock_holder']} for {since}, which has fallen silent; "
            "its lease ends soon and another takes over"
        )
    return f"by replica {lock['lock_holder']} for {since}, with {many(lock['in_flight'], 'event')} in hand"


def _after(ahead: int | None) -> str:
    if not ahead:
        return ""
    more = "at least " if ahead >= 10_000 else ""
    return f" after {more}{many(ahead, 'event')} of its tenant"


def _delayed(event: dict[str, Any], now: datetime) -> str:
    when = ago(event["available_at"], now)
    last = event["errors"][-1] if event["errors"] else None
    if last is None:
        return f"It was emitted with a delay: its time comes {when}."
    if last.get("kind") == "Retry":
        return f"Its handler put it off: {last.get('error')}. It is tried again {when}."
    return f"It failed ({said(last)}) and is tried again {when}."


def _closed(gate: dict[str, Any]) -> str:
    if not gate["global_enabled"]:
        why = gate["kill_switch_reason"] or "it was never switched off"
        return f"the kill switch is on ({why}). `reactor kill-switch off` lets it go on."
    if not gate["is_active"]:
        return f"tenant {gate['tenant_name']} is not active (tenants.is_active)."
    return f"tenant {gate['tenant_name']} is not enabled. `reactor tenants enable` with its id lets it go on."
