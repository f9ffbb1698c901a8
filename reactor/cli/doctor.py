"""``reactor doctor``."""

from collections.abc import Awaitable

import asyncpg
from rich.console import Console

from reactor import settings
from reactor.cli import checks, checks_objects, checks_replication, checks_schema, checks_sessions
from reactor.cli.checks import Finding
from reactor.cli.output import plain, print_json
from reactor.db import pool
from reactor.db.pool import Connection
from reactor.errors import ReactorError, taken_apart
from reactor.settings import Settings
from reactor.telemetry.words import many

_MARKS = {"ok": "[green]ok[/]", "remark": "[yellow]remark[/]", "wrong": "[red]wrong[/]"}


async def doctor(*, json: bool = False) -> int:
    """Says what is wrong with the settings, the database and the fleet, and how to mend it.

    It looks at the connection, versions, the role and its privileges, migrations and what they made,
    triggers, row level security, what pools connections, clocks, the notification queue, bloat, sessions that
    keep locks, replication slots, and defaults of the database that break something; it changes nothing.
    Exits 1 when something is wrong; remarks alone exit 0.

    Example: ``reactor doctor --json``

    Parameters
    ----------
    json
        Write JSON to stdout.
    """
    found = await _examine()
    wrong = sum(finding.level == "wrong" for finding in found)
    if json:
        print_json(
            {
                "well": not wrong,
                "checks": [
                    {"check": f.check, "level": f.level, "finding": f.finding, "mend": f.mend} for f in found
                ],
            }
        )
    else:
        _tell(found, wrong)
    return 1 if wrong else 0


async def _examine() -> list[Finding]:
    try:
        chosen = settings.load()
        dsn = chosen.dsn
    except ReactorError as error:
        return [Finding("settings", "wrong", error.message, error.hint)]
    found = [Finding("settings", "ok", "they are complete")]
    try:
        async with pool.connected(dsn, name="reactor doctor", pooler="transaction") as connection:
            found.append(Finding("connection", "ok", f"{pool.describe(dsn)} answers".removeprefix("the ")))
            return found + await _examine_database(connection, chosen)
    except ReactorError as error:
        return [*found, Finding("connection", "wrong", error.message, error.hint)]


async def _examine_database(connection: Connection, chosen: Settings) -> list[Finding]:
    found = await checks.server(connection, chosen)
    found.append(await checks.clocks(connection))
    found += await checks.pooler(chosen, connection)
    found += await checks.role(connection)
    found += await _guarded("tables", checks_schema.obstacles(connection))
    if any(finding.level == "wrong" and finding.check == "role" for finding in found):
        return found
    migrations = await _guarded("migrations", checks_schema.migrations(connection))
    found += migrations
    if any(finding.level == "wrong" for finding in migrations):
        return found
    found += await _guarded("objects", checks_objects.objects(connection))
    found += await _guarded("triggers", checks_schema.triggers(connection))
    found += await _guarded("isolation", checks_schema.isolation(connection))
    found += await _guarded("bloat", checks.bloat(connection))
    found += await _guarded("sessions", checks_sessions.sessions(connection))
    found += await _guarded("replication", checks_replication.replication(connection))
    found += await _guarded("fleet", checks.fleet(connection))
    return found


async def _guarded(check: str, looking: Awaitable[Finding | list[Finding]]) -> list[Finding]:
    """A check that may not look says so, and the next one still has its turn."""
    try:
        found = await looking
    except Exception as error:
        known = error if isinstance(error, ReactorError) else pool.explain(error, "")
        if known is not None:
            hint = (known.hint or "").removeprefix("run `reactor doctor`; ")  # which is what runs
            return [Finding(check, "wrong", f"cannot look: {known.message}", hint or None)]
        if isinstance(error, asyncpg.PostgresError):  # a table or a column is gone, say
            return [Finding(check, "wrong", f"cannot look: {taken_apart(str(error))[0]}")]
        raise
    return found if isinstance(found, list) else [found]


def _tell(found: list[Finding], wrong: int) -> None:
    console = Console(highlight=False, soft_wrap=True)
    width = max(len(finding.check) for finding in found)
    for finding in found:
        mark = _MARKS[finding.level] + " " * (6 - len(finding.level))
        console.print(f"{mark}  {finding.check:<{width}}  ", end="")
        console.print(plain(finding.finding), markup=False)
        if finding.mend is not None and finding.level != "ok":
            console.print(f"{'':8}{'':{width}}  → {plain(finding.mend)}", markup=False)
    remarks = sum(finding.level == "remark" for finding in found)
    if wrong:
        print(f"\n{wrong} of {len(found)} checks found something wrong.")
    else:
        print("\nAll is well." if not remarks else f"\nAll is well, with {many(remarks, 'remark')}.")
