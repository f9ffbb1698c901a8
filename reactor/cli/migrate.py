"""``reactor migrate``."""

import sys

from reactor import settings
from reactor.cli.output import print_json, print_rows, say
from reactor.db import migrate as migrations
from reactor.db import pool
from reactor.db.adoption import Obstacle
from reactor.db.migrate import Pending, Report, Step
from reactor.telemetry.words import many

_UP_TO_DATE = "The database is up to date."


async def migrate(*, check: bool = False, plan: bool = False, json: bool = False) -> int:
    """Applies the schema to the database. Safe to run again, and from several places at once.

    Connects with REACTOR_DATABASE_URL (or, one after the other, REACTOR_DATABASES), as a superuser
    or as a role that may create roles and owns the application's tables. Those that it meets are
    looked at first: when one cannot be built on, it is named with what to do, and nothing is changed.
    Exits 1 then, or when a file fails, 3 when the database cannot be reached or the role may not do
    this (the statements to run by hand are printed).

    Example: ``REACTOR_DATABASE_URL=postgresql://postgres@localhost/crm reactor migrate --plan``

    Parameters
    ----------
    check
        Change nothing; exit 1 when something is pending.
    plan
        Change nothing; list what would run, and what stands in its way: exit 1 then.
    json
        Write JSON to stdout.
    """
    chosen = settings.load()
    several = len(chosen.dsns) > 1
    told: list[dict[str, object]] = []
    waiting = hindered = False
    for dsn in chosen.dsns:
        where = pool.describe_database(dsn)
        if several and not json:
            print(f"{where}:", flush=True)
        if check or plan:
            pending, obstacles = await _pending(dsn)
            waiting = waiting or bool(pending)
            hindered = hindered or bool(obstacles)
            rows = [{"file": item.file.name, "reason": item.reason} for item in pending]
            hindrances = [{"what": one.what, "mend": one.mend} for one in obstacles]
            told.append({"database": where, "pending": rows, "obstacles": hindrances})
            if not json:
                print_rows(rows, ["file", "reason"], empty=_UP_TO_DATE)
                _tell(obstacles)
        else:
            report = await _apply(dsn, quiet=json)
            steps = [{"name": step.name, "seconds": round(step.seconds, 3)} for step in report.applied]
            archived = [{"table": one.table, "rows": one.rows, "why": one.reason} for one in report.archived]
            told.append({"database": where, "applied": steps, "newer": report.newer, "archived": archived})
            if not json:
                print(_summary(report))
            if archived and not json:
                print("\nNot all could stay as it was. How it was is kept in reactor.adoption_archive:\n")
                print_rows(archived, ["table", "rows", "why"])
    if json:
        print_json({"up_to_date": not waiting, "databases": told})
    return 1 if hindered or (check and waiting) else 0


async def _pending(dsn: str) -> tuple[list[Pending], list[Obstacle]]:
    async with pool.connected(dsn, name="reactor migrate", pooler="transaction") as connection:
        pending = await migrations.plan(connection)
        return pending, await migrations.obstacles(connection, pending)


def _tell(obstacles: list[Obstacle]) -> None:
    if obstacles:
        print("\nThis would fail, the application's tables cannot be built on as they are:", flush=True)
    for one in obstacles:
        for line in str(one).split("\n"):
            say(f"  {line}")


async def _apply(dsn: str, *, quiet: bool) -> Report:
    async def connect() -> pool.Connection:
        return await pool.connect(dsn, name="reactor migrate", pooler="transaction")

    return await migrations.migrate(connect, progress=_no_progress if quiet else _progress)


def _summary(report: Report) -> str:
    if report.applied:
        return f"{many(len(report.applied), 'file')} applied. {_UP_TO_DATE}"
    if report.newer:
        return f"The database is newer than this program (it has {report.newer[-1]}); nothing was changed."
    return _UP_TO_DATE


def _progress(step: Step) -> None:
    print(f"[{step.index}/{step.total}] {step.name} ({step.seconds:.2f} s)", file=sys.stderr, flush=True)


def _no_progress(_: Step) -> None:
    pass
