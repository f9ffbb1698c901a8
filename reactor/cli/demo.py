"""``reactor demo``."""

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from cyclopts.validators import Number
from rich.console import Console

from reactor.cli.output import print_json
from reactor.errors import SettingError


async def demo(
    *,
    once: bool = False,
    json: bool = False,
    seed: int = 7,
    tenants: Annotated[int, Parameter(validator=Number(gte=3, lte=500))] = 12,
    orders: Annotated[int, Parameter(validator=Number(gte=0, lte=200_000))] = 3000,
    rate: Annotated[float | None, Parameter(validator=Number(gt=0, lte=2000))] = None,
    seconds: Annotated[float | None, Parameter(validator=Number(gt=0))] = None,
    keep: bool = False,
    fresh: bool = False,
    chaos: bool = False,
    port: Annotated[int | None, Parameter(validator=Number(gte=0, lte=65535))] = None,
    directory: Path | None = None,
) -> int:
    """Shows it all at work, on a database server of its own; Ctrl-C ends it.

    Starts PostgreSQL, applies the schema, makes up a company, runs the built-in automations, and works as
    an application would: orders come in, clocks run out, alerts are raised. REACTOR_DATABASE_URL is not
    read: no other database is touched. With --once the exit code is 1 unless every event was handled and
    every outcome was right.

    Example: ``reactor demo --once --json --seed 3``

    Parameters
    ----------
    once
        A bounded run of under a minute, with a verdict at its end.
    json
        Draw nothing; write one JSON object to stdout at the end.
    seed
        The same seed makes the same company.
    tenants
        How many; the last two are switched off at first.
    orders
        How many wait in the queue when the reactor starts.
    rate
        What the application does a second, on average. Default 25; with --once 60.
    seconds
        How long the application works. Default: until Ctrl-C; with --once 8.
    keep
        Go on with the company of last time.
    fresh
        Throw the server's directory away first. Otherwise only the database is made anew.
    chaos
        Kill the listener's connection now and then.
    port
        Let the database be reached on this port of 127.0.0.1 too; 0 is any free one.
    directory
        Where the server keeps its data. Default: a folder of this account's.
    """
    from reactor.demo.place import check_installed
    from reactor.demo.screen import Screen
    from reactor.demo.show import Options, play

    if keep and fresh:
        raise SettingError(
            "--keep and --fresh exclude each other",
            hint="--keep goes on with the company of last time, --fresh throws it away: leave one out",
        )
    check_installed()
    options = Options(
        once=once,
        seed=seed,
        tenants=tenants,
        orders=orders,
        rate=rate or (60.0 if once else 25.0),
        seconds=seconds or (8.0 if once else None),
        keep=keep,
        fresh=fresh,
        chaos=chaos,
        port=port,
        directory=directory,
    )
    # A pipe has no width; a line of the summary should not be folded for its reader.
    console = Console(width=None if sys.stdout.isatty() else 120, highlight=False)
    screen = Screen(console, quiet=json)
    report = await play(options, screen)
    if report is None:
        return 130
    if json:
        print_json(report.as_json())
    else:
        screen.end(report.as_page())
    return 0 if report.ok else 1
