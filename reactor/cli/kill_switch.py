"""``reactor kill-switch``: everything that is gated, at once."""

from typing import Annotated

from cyclopts import Parameter

from reactor.cli.arguments import group
from reactor.cli.output import print_json, say
from reactor.cli.session import session
from reactor.db import operations
from reactor.db.pool import Connection
from reactor.telemetry import deeds

Json = Annotated[bool, Parameter(help="Write JSON to stdout.")]

app = group(
    "kill-switch",
    "Stops or lets go all automation: on, off, status.",
    'reactor kill-switch on --reason "wrong prices"',
)


@app.command
async def on(*, reason: str, json: Json = False) -> int:
    """Stops the built-in automations, and handlers with gated=True, for every tenant, within a second.

    Events wait and lose nothing. Alerts are still delivered.

    Example: ``reactor kill-switch on --reason "prices of the new catalogue are wrong"``

    Parameters
    ----------
    reason
        Why, for whoever finds everything stopped.
    """
    async with session("kill-switch on") as connection:
        await operations.set_kill_switch(connection, on=True, reason=reason)
        return await _tell(connection, json=json)


@app.command
async def off(*, json: Json = False) -> int:
    """Lets the built-in automations act again, for every tenant that is enabled.

    Example: ``reactor kill-switch off``
    """
    async with session("kill-switch off") as connection:
        await operations.set_kill_switch(connection, on=False)
        return await _tell(connection, json=json)


@app.default
@app.command
async def status(*, json: Json = False) -> int:
    """Says whether the kill switch is on, and why.

    Exits 0 either way.

    Example: ``reactor kill-switch status --json``
    """
    async with session("kill-switch status") as connection:
        return await _tell(connection, json=json)


async def _tell(connection: Connection, *, json: bool) -> int:
    found = await operations.status(connection)
    gate, parked = found["gate"], found["events"]["parked"]
    if json:
        print_json({"on": not gate["open"], "reason": gate["reason"], "parked": parked})
    else:
        for line in deeds.kill_switch(found):
            say(line)
    return 0
