"""One event in words: why it waits, what became of it, what went wrong at each try."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from reactor.telemetry.words import ago, lasting, many, moment, shorten


def sentence(found: dict[str, Any]) -> str:
    """The answer. ``found["why"]`` is one of those that sql/functions/explain_event.sql lists."""
    event, now = found["event"], moment(found["at"])
    match found["why"]:
        case "in_flight":
            return f"It is being handled {_held(found['lock'], event['tenant_id'], now)}."
        case "held":
            turn = _after(found["ahead"]) or " next"
            return f"Its tenant is held {_held(found['lock'], event['tenant_id'], now)}. It comes{turn}."
        case "no_replica":
            return "No replica lives that could take it. Start one: `reactor run --app MODULE:ATTRIBUTE`."
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
                f"It died {ago(event['died_at'], now)}: {event['reason'].rstrip('.')}. "
                f"`reactor dead replay {event['id']}` puts it back."
            )
        case "handled":
            took = lasting(moment(event["finished_at"]) - moment(event["created_at"]))
            return f"It was handled {ago(event['finished_at'], now)}, {took} after it was emitted."
        case "discarded":
            return f"It was discarded {ago(event['finished_at'], now)}: {event['reason']}."
        case other:
            return f"It is {other}."


def _held(lock: dict[str, Any], tenant: object, now: datetime) -> str:
    since = lasting(lock["held_seconds"])
    if not lock["by_replica"]:
        ends = ago(lock["expires_at"], now)
        # A date beyond our calendar is as the server writes it.
        runs_out = f"runs out {ends}" if ends.startswith("in ") else f"lasts until {ends}"
        return (
            f"by {lock['lock_holder']} (no replica) for {since}; its lease {runs_out}, or "
            f"`reactor locks release {tenant}` ends it"
        )
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


def outcome(event: Mapping[str, Any]) -> str:
    """What became of an event, in a word or two."""
    match event["state"]:
        case "waiting" if event["available_at"] == "infinity":
            return "parked"
        case "waiting" if event["available_at"] is not None:
            return "delayed"
        case "finished":
            return str(event["outcome"])
        case state:
            return str(state)


def tries(errors: Sequence[Mapping[str, Any]], now: datetime) -> list[dict[str, Any]]:
    """What went wrong at each try of an event, in order, as rows of a table."""
    rows = []
    count = 0
    for error in errors:
        # A person put it back: that is no try, and its tries are counted anew.
        again = error.get("kind") == "replayed"
        count = 0 if again else count + 1
        rows.append(
            {
                "try": None if again else count,
                "when": ago(error.get("at"), now),
                "what": error.get("kind"),
                "run": error.get("run_id"),
                "where": _innermost(error),
                "error": shorten(str(error.get("error") or "-"), 120),
            }
        )
    return rows


def said(error: Mapping[str, Any]) -> str:
    """An error of an event in a few words: its type too, unless its text is meant to be read alone."""
    kind, text = str(error.get("kind")), shorten(str(error.get("error")), 200)
    return text if kind in (text, "Retry") or not kind[:1].isupper() else f"{kind}: {text}"


def _innermost(error: Mapping[str, Any]) -> str | None:
    """The file and the line alone: a table has no room for more."""
    where = error.get("where")
    return str(where[-1]).rpartition(" ")[0].rpartition("/")[2] if where else None
