"""Which command lives where. A module is imported only when its command is used, so that
``reactor --help`` is quick and one broken module does not take the others with it.

To add a command: write ``reactor/cli/NAME.py`` with a function (async or not; its docstring is the
help, with an example) or, for a group, a ``cyclopts.App`` called ``app``, and add a line here. The
function's return value is the exit code; None is 0. Errors are raised as ReactorError.
"""

from dataclasses import dataclass
from datetime import timedelta

from cyclopts import Parameter


def _default(value: object) -> str | None:
    """How help shows a default: as it would be typed. That a switch is off goes without saying."""
    if value is None or value is False or value == timedelta(0):
        return None
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)


#: What holds for the arguments of all commands.
ALL = Parameter(negative=(), show_default=_default)


@dataclass(frozen=True, slots=True)
class Command:
    """One line of ``reactor --help``: where the command is, and what it does."""

    name: str
    target: str
    help: str


COMMANDS: tuple[Command, ...] = (
    Command("demo", "reactor.cli.demo:demo", "Shows it all at work, on a database of its own."),
    Command("run", "reactor.cli.run:run", "Runs the reactor until SIGTERM or SIGINT."),
    Command("migrate", "reactor.cli.migrate:migrate", "Applies the schema; safe to run again."),
    Command(
        "doctor", "reactor.cli.doctor:doctor", "Says what is wrong with the database, and how to mend it."
    ),
    Command("status", "reactor.cli.status:status", "Counts and lags, once."),
    Command("top", "reactor.cli.status:top", "Counts and lags, live."),
    Command("emit", "reactor.cli.emit:emit", "Puts an event in by hand."),
    Command("watch", "reactor.cli.watch:watch", "Installs a trigger that emits events for a table."),
    Command("unwatch", "reactor.cli.watch:unwatch", "Removes what watch installed."),
    Command("watches", "reactor.cli.watch:watches", "Lists the tables that emit events."),
    Command("dead", "reactor.cli.dead:app", "Dead events: list, show, replay, discard."),
    Command("tenants", "reactor.cli.tenants:app", "Tenants: list, enable, disable, check their settings."),
    Command("kill-switch", "reactor.cli.kill_switch:app", "Stops or lets go all automation."),
    Command("alerts", "reactor.cli.alerts:app", "Alerts: list, acknowledge; their channels."),
    Command("locks", "reactor.cli.locks:app", "Tenant locks: list, release."),
    Command("events", "reactor.cli.events:app", "Events that wait, and the life of one."),
    Command("explain", "reactor.cli.explain:explain", "Why an event waits."),
    Command("health", "reactor.cli.health:health", "The probes without curl, for a container."),
    Command("completion", "reactor.cli.completion:completion", "Completes commands in a shell."),
)
