"""What the commands' arguments have in common: groups, durations, asking before doing."""

import signal
import sys
from datetime import timedelta
from typing import Annotated

from cyclopts import App, Parameter

from reactor.cli.registry import ALL
from reactor.errors import BadArgument
from reactor.handlers import parse_duration


def group(name: str, what: str, example: str) -> App:
    """A command that has commands."""
    return App(
        name=name,
        help=f"{what}\n\nExample: ``{example}``",
        help_format="markdown",
        default_parameter=ALL,
    )


def _duration(text: str) -> timedelta:
    try:
        return parse_duration(text)
    except BadArgument as error:
        raise ValueError(f"{error.message}; {error.hint}" if error.hint else error.message) from None


#: ``30s``, ``5m``, ``1h30m``, ``1d``.
Duration = Annotated[
    timedelta,
    Parameter(converter=lambda _, tokens: _duration(tokens[0].value), n_tokens=1, allow_leading_hyphen=True),
]


def in_range(option: str, value: int, least: int, most: int = 2**31 - 1) -> None:
    """Refuses a number that the server's integer cannot hold by the name of its option."""
    if value < least:
        raise BadArgument(f"{option} must be at least {least}, not {value}")
    if value > most:
        raise BadArgument(f"{option} must be at most {most}, not {value}")


def agreed(question: str, *, yes: bool) -> bool:
    """Whether to go on: ``--yes``, or a person at a terminal says so. Elsewhere ``--yes`` is needed."""
    if yes:
        return True
    if not sys.stdin.isatty():
        raise BadArgument(question, hint="add --yes to go on without being asked")
    # The event loop makes of the first Ctrl-C a cancellation, which nobody sees who waits for a line.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
        return sys.stdin.readline().strip().lower() in ("y", "yes")
    finally:
        signal.signal(signal.SIGINT, before)
