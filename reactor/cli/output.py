"""Tables for people, JSON for programs."""

import json
import re
import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime

from orjson import Fragment
from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.table import Table
from rich.text import Text

from reactor.db.json_text import to_json

#: Columns narrower than this cut most words.
_WORD = 8


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
    rows: Iterable[Mapping[str, object]],
    columns: Sequence[str],
    *,
    whole: Collection[str] = (),
    empty: str = "Nothing.",
) -> None:
    """A table on stdout with one column for each name; ``empty`` is said when there are no rows.

    On a terminal that is too narrow for it, a block of lines for each row. ``whole`` names the columns that
    are not to be folded, because what they hold is copied to the next command.
    """
    texts = [[plain(_text(row[name])) for name in columns] for row in rows]
    if not texts:
        Console(highlight=False).print(empty, markup=False, soft_wrap=True)
        return
    names = [name.replace("_", " ") for name in columns]
    if not sys.stdout.isatty():
        _print_lines([names, *texts])
        return
    console = Console(highlight=False)
    kept = [name in whole for name in columns]
    if _narrowest([names, *texts], kept) > console.width:
        _print_blocks(names, texts)
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name, is_kept in zip(names, kept, strict=True):
        table.add_column(name, overflow="fold", no_wrap=is_kept)
    for row in texts:
        table.add_row(*(Text(text) for text in row))
    console.print(table, markup=False)


def _print_lines(rows: Sequence[Sequence[str]]) -> None:
    """A pipe has no width: each row is one line, for a program that reads them."""
    widths = [max(map(cell_len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(map(set_cell_size, row, widths)).rstrip())


def _narrowest(rows: Sequence[Sequence[str]], kept: Sequence[bool]) -> int:
    """How wide a terminal must be for a table of these to be read: a column has room for a short word."""
    widths = (
        max(len(text) if is_kept else min(_WORD, max(map(len, text.split()), default=0)) for text in column)
        for column, is_kept in zip(zip(*rows, strict=True), kept, strict=True)
    )
    return sum(widths) + 2 * (len(kept) - 1)


def _print_blocks(names: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A line for each field, which the terminal folds and a person can copy."""
    margin = max(map(len, names))
    print(
        "\n\n".join(
            "\n".join(f"{name:{margin}}  {text}" for name, text in zip(names, row, strict=True))
            for row in rows
        )
    )


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
        case str() if "\n" in value:
            return in_a_line(value)
        case _:
            return str(value)
