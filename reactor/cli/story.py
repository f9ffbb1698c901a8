"""How an event, its errors and lists of facts are shown to a person."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from reactor.cli.output import print_rows, say
from reactor.cli.words import ago, shorten
from reactor.db.pool import to_json


def print_facts(facts: Mapping[str, object]) -> None:
    """One fact a line, aligned; those that are None are left out."""
    known = {name: value for name, value in facts.items() if value is not None}
    width = max(map(len, known), default=0)
    for name, value in known.items():
        text = to_json(value) if isinstance(value, dict | list) else str(value)
        say(f"{name:<{width}}  {text}")


def print_errors(errors: Sequence[Mapping[str, Any]], now: datetime) -> None:
    """What went wrong at each try, in order; nothing when nothing did."""
    if errors:
        print()
        rows = [
            {
                "try": number,
                "when": ago(error.get("at"), now),
                "what": error.get("kind"),
                "run": error.get("run_id"),
                "error": shorten(str(error.get("error") or "-"), 120),
            }
            for number, error in enumerate(errors, 1)
        ]
        print_rows(rows, ["try", "when", "what", "run", "error"])


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
