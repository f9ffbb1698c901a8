"""``reactor migrate``."""

import sys

from reactor import settings
from reactor.cli.output import print_json, print_rows, say
from reactor.cli.watch import watch_command
from reactor.db import migrate as migrations
from reactor.db import pool
from reactor.db.adoption import Obstacle
from reactor.db.migrate import Pending, Report, Step
from reactor.errors import BadArgument
from reactor.telemetry.words import many

_UP_TO_DATE = "The database is up to date."


async def migrate(*, check: bool = False, plan: bool = False, back: bool = False, json: bool = False) -> int:
    """Applies the schema to the database. Safe to run again, and from several places at once.

    Connects with REACTOR_DATABASE_URL (or, one after the other, REACTOR_DATABASES), as a superuser
    or as a role that may create roles and owns the application's tables. Those that it meets are
    looked at first: when one cannot be built on, it is named with what to do, and nothing is changed.
    Exits 1 then, or when a file fails, 3 when the database cannot be reached or the role may not do
    this (the statements to run by hand are printed). The triggers of watched tables are renewed, without
    a lock on the tables, and the policies of protected ones, for which nobody waits for longer than a
    moment; what cannot be renewed is named, works as before, and is no failure. A database that a later
    build migrated is left as it is.

    Example: ``REACTOR_DATABASE_URL=postgresql://postgres@localhost/crm reactor migrate --plan``

    Parameters
    ----------
    check
        Change nothing; exit 1 when something is pending.
    plan
        Change nothing; list what would run, and what stands in its way: exit 1 then.
    back
        Put this build's functions in the place of a later one's: for when those are at fault. Stop the
        replicas first. Exits 1 when the later one added to the tables, since they may not fit.
    json
        Write JSON to stdout.
    """
    if back and (check or plan):
        raise BadArgument("--back goes with neither --check nor --plan")
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
            report = await _apply(dsn, quiet=json, back=back)
            steps = [{"name": step.name, "seconds": round(step.seconds, 3)} for step in report.applied]
            archived = [{"table": one.table, "rows": one.rows, "why": one.reason} for one in report.archived]
            watches = [
                {"table": one.table, "event_type": one.event_type, "refused": one.refused}
                for one in report.watches
            ]
            protected = [{"table": one.table, "refused": one.refused} for one in report.protected]
            told.append(
                {
                    "database": where,
                    "applied": steps,
                    "newer": report.newer,
                    "archived": archived,
                    "watches": watches,
                    "protected": protected,
                }
            )
            if not json:
                print(_summary(report))
                _tell_refused(report)
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


def _tell_refused(report: Report) -> None:
    for one in report.watches:
        if one.refused is not None:
            say(
                f"{one.table} emits {one.event_type} as an older version wrote it, and cannot be renewed: "
                f"{one.refused}",
                aside=True,
            )
            say(
                f"  `{watch_command(one.table, one.event_type)}` replaces it; "
                "`reactor watches --json` says with what it was installed",
                aside=True,
            )

    for table in report.protected:
        if table.refused is not None:
            arguments = f"'{table.table}', '{table.tenant_column or '…'}'"
            say(
                f"{table.table} is protected as an older version did it, and cannot be renewed: "
                f"{table.refused}",
                aside=True,
            )
            say(f"  `select reactor.protect({arguments})`, as its owner, does it", aside=True)


async def _apply(dsn: str, *, quiet: bool, back: bool) -> Report:
    async def connect() -> pool.Connection:
        return await pool.connect(dsn, name="reactor migrate", pooler="transaction")

    return await migrations.migrate(connect, progress=_no_progress if quiet else _progress, back=back)


def _summary(report: Report) -> str:
    if report.newer and not report.applied:
        said = f"The database is newer than this program (it has {report.newer[-1]}); nothing was changed."
        if all(name.startswith("release/") for name in report.newer):
            said += " `reactor migrate --back` puts this program's functions in the place of the newer ones."
        return said
    done = []
    if report.applied:
        done.append(f"{many(len(report.applied), 'file')} applied.")
    renewed = [one for one in report.watches if one.refused is None]
    if renewed:
        done.append(f"{many(len(renewed), 'trigger')} of watched tables renewed.")
    guarded = [one for one in report.protected if one.refused is None]
    if guarded:
        done.append(f"The policies of {many(len(guarded), 'protected table')} renewed.")
    return " ".join([*done, _UP_TO_DATE])


def _progress(step: Step) -> None:
    print(f"[{step.index}/{step.total}] {step.name} ({step.seconds:.2f} s)", file=sys.stderr, flush=True)


def _no_progress(_: Step) -> None:
    pass
