"""``reactor status`` and ``reactor top``."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import anyio
from cyclopts import Parameter
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from reactor.cli.arguments import Duration
from reactor.cli.output import cell, print_json
from reactor.cli.session import session
from reactor.db import operations
from reactor.errors import BadArgument
from reactor.telemetry import overview
from reactor.telemetry.words import ago, lasting, many, moment


async def status(*, json: Annotated[bool, Parameter(help="Write JSON to stdout.")] = False) -> int:
    """Shows counts and lags, once: what waits, who works, what needs a person.

    Exits 0; `reactor health` and `reactor doctor` judge.

    Example: ``reactor status --json``
    """
    async with session("status") as connection:
        found = await operations.status(connection)
    if json:
        print_json(found)
    else:
        _console().print(picture(found, None))
    return 0


async def top(*, every: Duration | None = None, once: bool = False) -> int:
    """Shows counts, lags and rates, live, until Ctrl-C.

    Into a pipe or a file it writes one look below the other.

    Example: ``reactor top --every 5s``

    Parameters
    ----------
    every
        How often to look, e.g. 500ms, 2s. Default 2s.
    once
        Two looks, then the end: for a script that wants rates.
    """
    pause = every.total_seconds() if every else 2.0
    if pause < 0.2:
        raise BadArgument("--every must be at least 200ms: each look reads the outbox once")
    async with session("top") as connection:
        before = await operations.status(connection)
        with _shown(before, once=once) as show:
            while True:
                await anyio.sleep(pause)
                found = await operations.status(connection)
                show(picture(found, before))
                before = found
                if once:
                    break
    return 0


def _console() -> Console:
    """A pipe has no width: lines must not be folded for a program that reads them."""
    return Console(width=None if sys.stdout.isatty() else 160, highlight=False)


@contextmanager
def _shown(first: dict[str, Any], *, once: bool) -> Iterator[Callable[[Group], None]]:
    """Each look takes the place of the last on a terminal. Elsewhere no line can be taken back."""
    console = _console()
    if sys.stdout.isatty():
        with Live(picture(first, None), console=console, auto_refresh=False) as live:
            yield lambda look: live.update(look, refresh=True)
        return

    def show(look: Group) -> None:
        console.print(look)
        sys.stdout.flush()

    if not once:
        show(picture(first, None))
    yield show if once else lambda look: show(Group(Text(), look))


def picture(found: dict[str, Any], before: dict[str, Any] | None) -> Group:
    """All of it for a terminal; with an earlier look, rates as well."""
    now = moment(found["at"])
    facts = Table.grid(padding=(0, 2))
    for name, said in overview.facts(found, before):
        facts.add_row(name, cell(said))
    parts: list[Table | Text] = [facts, Text(), _replicas(found, now)]
    if found["types"]:
        parts += [Text(), _types(found["types"])]
    return Group(*parts)


def _replicas(found: dict[str, Any], now: Any) -> Table | Text:
    if not found["replicas"]:
        return Text(f"No replica runs. {overview.START}")
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("replica", "lives", "started", "heard of", "tenants in hand", "version"):
        table.add_column(name, overflow="fold")
    for replica in found["replicas"]:
        table.add_row(
            cell(replica["replica"]),
            "yes" if replica["alive"] else "no",
            ago(replica["started_at"], now),
            ago(replica["seen_at"], now),
            f"{replica['tenants_held']} of {replica['concurrency'] or '?'}",
            replica["version"] or "-",
        )
    return table


def _types(types: list[dict[str, Any]]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", caption=many(len(types), "event type"))
    table.caption_justify = "left"
    counts = ("ready", "in_flight", "delayed", "parked", "retrying", "dead")
    table.add_column("event type", overflow="fold")
    for name in counts:
        table.add_column(name.replace("_", " "), justify="right")
    table.add_column("oldest ready", justify="right")
    for kind in types:
        row = [f"{kind[name]:,}" for name in counts]
        table.add_row(cell(kind["event_type"]), *row, lasting(kind["oldest_seconds"]))
    return table
