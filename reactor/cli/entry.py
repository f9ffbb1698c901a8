"""Parses the command line, runs one command, turns every expected error into one line."""

import difflib
import inspect
import sys
from collections.abc import Sequence
from functools import partial
from importlib.metadata import version
from typing import NoReturn

import anyio
from cyclopts import App, CycloptsError, UnknownCommandError, UnusedCliTokensError

from reactor.cli import streams
from reactor.cli.registry import ALL, COMMANDS
from reactor.errors import ReactorError

_FAILED = 1
_USAGE = 2
_INTERRUPTED = 130  # as shells say it: 128 + SIGINT


def build(chosen: str | None = None) -> App:
    """The tree of commands, of which none is imported yet.

    With ``chosen`` it has that command alone, and takes the whole help from its docstring; the list
    of all has one line for each, from the registry.
    """
    app = App(
        name="reactor",
        help="Event-driven automation for many tenants on PostgreSQL.",
        version=lambda: version("reactor"),
        help_format="markdown",
        default_parameter=ALL,
    )
    for command in COMMANDS:
        if command.name == chosen:
            app.command(command.target, name=command.name)
        elif chosen is None:
            app.command(command.target, name=command.name, help=command.help)
    return app


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Never returns: exits with the command's code, or that of its error."""
    streams.prepare()
    sys.exit(run(sys.argv[1:] if argv is None else argv))


def run(argv: Sequence[str]) -> int:
    """Runs one command and returns its exit code."""
    try:
        command, bound, _ = build(_chosen(argv)).parse_args(
            list(argv), exit_on_error=False, print_error=False
        )
        call = partial(command, *bound.args, **bound.kwargs)
        result = (
            anyio.run(call, backend_options={"use_uvloop": sys.platform != "win32"})
            if inspect.iscoroutinefunction(command)
            else call()
        )
        sys.stdout.flush()  # what is still in the buffer may find no room either
    except CycloptsError as error:
        words = " ".join(("reactor", *error.command_chain)) if error.command_chain else "reactor"
        # A container's health check knows 0 and 1; what 2 says is left open.
        code = _FAILED if argv[:1] == ["health"] else _USAGE
        return _complain(_said(error, words), f"see `{words} --help`", code)
    except ReactorError as error:
        return _complain(error.message, error.hint, error.exit_code, detail=error.detail)
    except KeyboardInterrupt:
        return _INTERRUPTED
    except (Exception, SystemExit) as error:
        unwritten = streams.failure()
        if unwritten is not None:
            return _say_unwritten(unwritten)
        if isinstance(error, SystemExit):
            raise
        from reactor.db.refusals import known_as

        known = known_as(error)
        if known is None:
            raise
        return _complain(known.message, known.hint, known.exit_code, detail=known.detail)
    return result if isinstance(result, int) else 0


def _say_unwritten(error: OSError) -> int:
    streams.give_up()
    if isinstance(error, BrokenPipeError):  # `reactor … | head`: nobody reads on, and that is fine
        return 0
    return _complain(f"the output cannot be written: {error.strerror or error}", None, _FAILED)


def _said(error: CycloptsError, command: str) -> str:
    """What the parser found wrong; where it takes words for names of ours, in ours."""
    if not isinstance(error, UnknownCommandError | UnusedCliTokensError) or not error.unused_tokens:
        return str(error).strip().splitlines()[0]
    word = error.unused_tokens[0]
    if word.startswith("-"):
        return f"there is no option '{word}'"
    # A group's words are commands, also of one that does something without any.
    is_group = error.app is not None and any(not name.startswith("-") for name in error.app)
    if not is_group:
        return f"`{command}` takes no argument '{word}'"
    return f"there is no command '{command.removeprefix('reactor').strip()} {word}'"


def _chosen(argv: Sequence[str]) -> str | None:
    if not argv or argv[0].startswith("-"):
        return None
    names = [command.name for command in COMMANDS]
    if argv[0] not in names:
        close = difflib.get_close_matches(argv[0], names, n=1) if argv[0] != "help" else []
        meant = f"did you mean `reactor {close[0]}`?" if close else "see `reactor --help`"
        raise ReactorError(f"there is no command '{argv[0]}'", hint=meant, exit_code=_USAGE)
    return argv[0]


def _complain(message: str, hint: str | None, code: int, *, detail: str | None = None) -> int:
    from reactor.cli.output import say
    from reactor.errors import redact

    first, *more = redact(message).split("\n")
    say(f"reactor: {first}", aside=True)
    # A hint may be several lines to copy.
    for text in ("\n".join(more), detail and f"detail: {redact(detail)}", hint and f"hint: {hint}"):
        for line in text.split("\n") if text else ():
            say(f"  {line}", aside=True)
    return code
