"""``reactor migrate``."""

import sys

from reactor import settings
from reactor.cli.output import print_json, print_rows
from reactor.db import migrate as migrations
from reactor.db import pool
from reactor.db.migrate import Pending, Step


async def migrate(*, check: bool = False, plan: bool = False, json: bool = False) -> int:
    """Applies the schema to the database. Safe to run again, and from several places at once.

    Connects with REACTOR_DATABASE_URL, as a superuser or as a role that may create roles and owns
    the application's tables. Exits 1 when a file fails, 3 when the database cannot be reached or
    the role may not do this (the statements to run by hand are printed).

    Example: ``REACTOR_DATABASE_URL=postgresql://postgres@localhost/crm reactor migrate --plan``

    Parameters
    ----------
    check
        Change nothing; exit 1 when something is pending.
    plan
        Change nothing; list what would run.
    json
        Write JSON to stdout.
    """
    chosen = settings.load()

    async def connect() -> pool.Connection:
        return await pool.connect(chosen.dsn, name="reactor migrate", pooler="transaction")

    if check or plan:
        connection = await connect()
        try:
            pending = await migrations.plan(connection)
        finally:
            await connection.close(timeout=5)
        _show_pending(pending, json=json)
        return 1 if check and pending else 0

    report = await migrations.migrate(connect, progress=_no_progress if json else _progress)
    if json:
        print_json(
            {
                "applied": [
                    {"name": step.name, "seconds": round(step.seconds, 3)} for step in report.applied
                ],
                "newer": report.newer,
            }
        )
    elif report.newer:
        print(f"The database is newer than this program (it has {report.newer[-1]}); nothing was changed.")
    elif report.applied:
        print(f"{len(report.applied)} files applied. The database is up to date.")
    else:
        print("The database is up to date.")
    return 0


def _show_pending(pending: list[Pending], *, json: bool) -> None:
    rows = [{"file": item.file.name, "reason": item.reason} for item in pending]
    if json:
        print_json({"pending": rows, "up_to_date": not rows})
    else:
        print_rows(rows, ["file", "reason"], empty="The database is up to date.")


def _progress(step: Step) -> None:
    print(f"[{step.index}/{step.total}] {step.name} ({step.seconds:.2f} s)", file=sys.stderr, flush=True)


def _no_progress(_: Step) -> None:
    pass
