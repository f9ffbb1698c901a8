"""How an event, its errors and lists of facts are shown to a person."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from orjson import Fragment

from reactor.cli.output import plain, print_rows, say
from reactor.cli.words import ago, shorten
from reactor.db.pool import to_json


def print_facts(facts: Mapping[str, object]) -> None:
    """One fact a line, aligned; those that are None are left out."""
    known = {name: value for name, value in facts.items() if value is not None}
    width = max(map(len, known), default=0)
    for name, value in known.items():
        text = to_json(value) if isinstance(value, dict | list | Fragment) else str(value)
        first, *more = text.split("\n")
        say(f"{name:<{width}}  {first}")
        for line in more:
            say(f"{'':<{width}}  {line}")


def print_errors(errors: Sequence[Mapping[str, Any]], now: datetime) -> None:
    """What went wrong at each try, in order, and where the last one did; nothing when nothing went wrong."""
    if not errors:
        return
    print()
    rows = []
    tries = 0
    for error in errors:
        # A person put it back: that is no try, and its tries are counted anew.
        again = error.get("kind") == "replayed"
        tries = 0 if again else tries + 1
        rows.append(
            {
                "try": None if again else tries,
                "when": ago(error.get("at"), now),
                "what": error.get("kind"),
                "run": error.get("run_id"),
                "where": _innermost(error),
                "error": shorten(str(error.get("error") or "-"), 120),
            }
        )
    print_rows(rows, ["try", "when", "what", "run", "where", "error"])
    last = errors[-1]
    if where := last.get("where"):
        print(f"\nWhere the last one failed, in {plain(str(last.get('handler') or 'its handler'))}:")
        for place in where:
            say(f"  {place}")
    if hint := last.get("hint"):
        print()
        say(f"hint: {hint}")


def said(error: Mapping[str, Any]) -> str:
    """An error of an event in a few words: its type too, unless its text is meant to be read alone."""
    kind, text = str(error.get("kind")), shorten(str(error.get("error")), 200)
    return text if kind in (text, "Retry") or not kind[:1].isupper() else f"{kind}: {text}"


def _innermost(error: Mapping[str, Any]) -> str | None:
    """The file and the line alone: a table has no room for more."""
    where = error.get("where")
    return str(where[-1]).rpartition(" ")[0].rpartition("/")[2] if where else None


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
