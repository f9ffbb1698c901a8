"""``reactor tenants check``: whether agent_settings can be used, before or after they are saved."""

import sys
from pathlib import Path
from typing import Annotated, LiteralString
from uuid import UUID

import orjson
from cyclopts import Parameter

from reactor.automation.tenant_settings import check_settings, parse_settings
from reactor.cli.output import print_json, print_rows
from reactor.cli.session import session
from reactor.db.named import tenant_ids
from reactor.errors import BadArgument
from reactor.settings import load
from reactor.telemetry.words import many

_SETTINGS: LiteralString = """
select t.id, t.name, t.agent_settings
from public.tenants t
where $1::uuid[] is null or t.id = any ($1)
order by t.name, t.id
"""

Json = Annotated[bool, Parameter(help="Write JSON to stdout.")]


async def check(
    *tenants: str,
    all_: Annotated[bool, Parameter(name="--all", help="Every tenant.")] = False,
    settings: Annotated[str | None, Parameter(allow_leading_hyphen=True)] = None,
    json: Json = False,
) -> int:
    """Says what is wrong with tenants' agent_settings: templates, channels, limits, unknown keys.

    Exits 1 when something is; an unknown key alone stops nothing, but is often a slip of the pen. Nor does a
    webhook that goes nowhere, as to a private address: REACTOR_WEBHOOK_ALLOW_PRIVATE is read as by a replica.

    Example: ``reactor tenants check --all`` or ``reactor tenants check --settings new.json``

    Parameters
    ----------
    tenants
        Their ids or names.
    settings
        A file with settings that were not saved yet (JSON; `-` for stdin), which needs no database.
    """
    if (bool(tenants) + all_ + (settings is not None)) != 1:
        raise BadArgument("which settings?", hint="name tenants, or say --all or --settings FILE")
    allow_private = load().webhook_allow_private
    if settings is not None:
        return _report([_judged(None, settings, _read(settings), allow_private=allow_private)], json=json)
    async with session("tenants check") as connection:
        rows = await connection.fetch(_SETTINGS, None if all_ else await tenant_ids(connection, tenants))
    found = [
        _judged(row["id"], row["name"], row["agent_settings"], allow_private=allow_private) for row in rows
    ]
    return _report(found, json=json)


def _judged(tenant: UUID | None, name: str, raw: object, *, allow_private: bool) -> dict[str, object]:
    return {
        "tenant_id": tenant,
        "name": name,
        "usable": parse_settings(raw).usable,
        "problems": check_settings(raw, allow_private=allow_private),
    }


def _report(found: list[dict[str, object]], *, json: bool) -> int:
    wrong = [row for row in found if row["problems"]]
    if json:
        print_json(found)
        return 1 if wrong else 0
    lines = [
        {"tenant": row["name"], "stops automation": not row["usable"], "problem": problem}
        for row in wrong
        for problem in _texts(row["problems"])
    ]
    if lines:
        print_rows(lines, ["tenant", "stops automation", "problem"])
    else:
        print(f"{many(len(found), 'tenant')} checked, nothing is wrong." if found else "There is no tenant.")
    return 1 if wrong else 0


def _texts(problems: object) -> list[str]:
    return [str(problem) for problem in problems] if isinstance(problems, list) else []


def _read(path: str) -> object:
    try:
        text = sys.stdin.read() if path == "-" else Path(path).read_text()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise BadArgument(
            f"{path} cannot be read: {why}", hint="name a file with JSON in UTF-8, or - for stdin"
        ) from None
    try:
        parsed: object = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise BadArgument(
            f"{'stdin' if path == '-' else path} is not JSON: {error}",
            hint="write what tenants.agent_settings is to hold, in braces, with names in double quotes",
        ) from None
    return parsed
