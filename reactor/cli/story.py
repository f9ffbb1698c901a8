"""How an event's errors and lists of facts are printed."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from orjson import Fragment

from reactor.cli.output import plain, print_rows, say
from reactor.db.json_text import to_json
from reactor.telemetry.story import tries


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
    print_rows(tries(errors, now), ["try", "when", "what", "run", "where", "error"])
    last = errors[-1]
    if where := last.get("where"):
        print(f"\nWhere the last one failed, in {plain(str(last.get('handler') or 'its handler'))}:")
        for place in where:
            say(f"  {place}")
    if hint := last.get("hint"):
        print()
        say(f"hint: {hint}")
