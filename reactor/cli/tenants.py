"""``reactor tenants``: for whom the built-in automations may act."""

from typing import Annotated

from cyclopts import Parameter

from reactor.cli.arguments import group, in_range
from reactor.cli.output import print_json, print_rows, say
from reactor.cli.session import session
from reactor.cli.tenant_check import check
from reactor.db import operations
from reactor.db.named import tenant_ids
from reactor.errors import BadArgument
from reactor.telemetry import deeds

Json = Annotated[bool, Parameter(help="Write JSON to stdout.")]

app = group(
    "tenants",
    "For whom the built-in automations may act: list, enable, disable, check.",
    "reactor tenants list --disabled",
)
app.command(check)


@app.command(name="list")
async def list_(
    *,
    enabled: bool = False,
    disabled: bool = False,
    name: str | None = None,
    limit: int = 100,
    json: Json = False,
) -> int:
    """Lists tenants by name, with what waits, what is dead and which alerts nobody acknowledged.

    Example: ``reactor tenants list --disabled``

    Parameters
    ----------
    enabled
        Only those for whom automations may act.
    disabled
        Only those for whom they may not.
    name
        Only those whose name contains this, in capitals or not.
    limit
        At most so many.
    """
    if enabled and disabled:
        raise BadArgument("--enabled and --disabled exclude each other", hint="leave both out to see all")
    if name == "":
        raise BadArgument("--name is empty", hint="leave it out to see all")
    in_range("--limit", limit, 1)
    which = True if enabled else False if disabled else None
    async with session("tenants list") as connection:
        found = await operations.list_tenants(connection, limit, enabled=which, name=name)
        rows = [dict(row) for row in found]
    if json:
        print_json(rows)
        return 0
    shown = [row | {"active": row["is_active"], "enabled": row["agent_enabled"]} for row in rows]
    columns = ["id", "name", "active", "enabled", "waiting", "dead", "alerts"]
    print_rows(shown, columns, empty="There is no such tenant.")
    if len(rows) == limit:
        print(f"(The first {limit}; see --limit and --name.)")
    return 0


@app.command
async def enable(*tenants: str, json: Json = False) -> int:
    """Lets the built-in automations act for tenants. What waited for that goes on at once.

    Exits 2 when one does not exist; then none is changed.

    Example: ``reactor tenants enable 0b6f0f6e-2c43-4b43-a2f6-0f2c7c1c9a10``

    Parameters
    ----------
    tenants
        Their ids or names.
    """
    return await _set(tenants, enabled=True, json=json)


@app.command
async def disable(*tenants: str, json: Json = False) -> int:
    """Stops the built-in automations for tenants, at once. Their events wait and lose nothing.

    Exits 2 when one does not exist; then none is changed.

    Example: ``reactor tenants disable 0b6f0f6e-2c43-4b43-a2f6-0f2c7c1c9a10``

    Parameters
    ----------
    tenants
        Their ids or names.
    """
    return await _set(tenants, enabled=False, json=json)


async def _set(tenants: tuple[str, ...], *, enabled: bool, json: bool) -> int:
    word = "enable" if enabled else "disable"
    if not tenants:
        raise BadArgument(f"which tenants should I {word}?", hint="`reactor tenants list` shows them")
    async with session(f"tenants {word}") as connection:
        ids = await tenant_ids(connection, tenants)
        rows = [dict(row) for row in await operations.set_tenant_enabled(connection, ids, enabled=enabled)]
        gate = (await operations.status(connection))["gate"] if enabled and not json else {"open": True}
    if json:
        print_json(rows)
        return 0
    for line in deeds.tenants(rows, enabled=enabled):
        say(line)
    for line in deeds.in_the_way(rows, gate) if enabled else ():
        say(line, aside=True)
    return 0
