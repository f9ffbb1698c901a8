"""Tables for people, JSON for programs."""

import json
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from orjson import Fragment
from rich.console import Console
from rich.table import Table
from rich.text import Text

from reactor.db.pool import to_json


def plain(text: str) -> str:
    """Text of any origin as it may reach a terminal: names and reasons that people typed in hold escape
    sequences, line breaks and marks that turn the direction of reading."""
    return "".join(ch if ch.isprintable() else "\N{REPLACEMENT CHARACTER}" for ch in text)


def in_a_line(text: str) -> str:
    """Text of several lines, as a server's error is, where a sentence has room for one."""
    return "; ".join(line.strip() for line in text.splitlines() if line.strip())


def say(text: str, *, aside: bool = False) -> None:
    """One line on stdout, or on stderr."""
    print(plain(text), file=sys.stderr if aside else sys.stdout)


def cell(text: str) -> Text:
    """For a table: nothing in it is taken for markup."""
    return Text(plain(text))


def print_json(value: object) -> None:
    """One JSON document on stdout, indented. Decimal becomes a string."""
    text = to_json(value, indented=True)
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:  # JSON has a way of its own to write what the encoding lacks
        text = re.sub(r"[^\x00-\x7f]", lambda found: json.dumps(found[0])[1:-1], text)
    sys.stdout.write(text + "\n")


def print_rows(
    rows: Iterable[Mapping[str, object]], columns: Sequence[str], *, empty: str = "Nothing."
) -> None:
    """A table on stdout with one column for each name; ``empty`` is said when there are no rows."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in columns:
        table.add_column(name.replace("_", " "), overflow="fold")
    count = 0
    for row in rows:
        table.add_row(*(cell(_text(row[name])) for name in columns))
        count += 1
    # A pipe has no width: lines must not be folded for a program that reads them.
    console = Console(width=None if sys.stdout.isatty() else 250, highlight=False)
    console.print(table if count else empty, markup=False)


def _text(value: object) -> str:
    match value:
        case None:
            return "-"
        case bool():
            return "yes" if value else "no"
        case datetime():
            return value.astimezone().strftime("%Y-%m-%d %H:%M:%S")
        case dict() | list() | Fragment():
            return to_json(value)
        case _:
            return str(value)
