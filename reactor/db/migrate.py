"""Applies ``sql/`` to a database. Safe to run again, and from several places at once.

Versioned files run once and may never be edited; functions and triggers run again whenever they
changed, unless the database is newer than this program (it has versioned files that we do not know,
or a later build migrated it): then nothing is done, so that an old replica can restart beside a
new one. How a file runs is in :mod:`reactor.db.applier`.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import groupby
from typing import Literal, LiteralString

import asyncpg

from reactor.db import adoption, calls, ownership, releases, sqlfiles
from reactor.db.adoption import Archived, Obstacle
from reactor.db.applier import Applier, Connect
from reactor.db.pool import Connection, missing_privilege
from reactor.db.renewal import Protected, Watch, renew_protections, renew_watches
from reactor.db.sqlfiles import SqlFile
from reactor.errors import MigrationError, NotMigrated

_APPLIED: LiteralString = "select name, checksum from reactor.migrations"
_READ_ONLY: LiteralString = "select pg_catalog.current_setting('transaction_read_only')::boolean"
_LOCK_TIMEOUT_MS = 3000

Reason = Literal["new", "changed"]


@dataclass(frozen=True, slots=True)
class Pending:
    """A file that a migration would run, and why."""

    file: SqlFile
    reason: Reason


@dataclass(frozen=True, slots=True)
class Step:
    """A file that was applied: the ``index``-th of ``total``."""

    name: str
    index: int
    total: int
    seconds: float


@dataclass(slots=True)
class Report:
    """What a migration did.

    ``newer`` names versioned files in the database that this program does not know, and later builds that
    were here; ``watches`` and ``protected`` are those that were renewed, and those that could not be.
    """

    applied: list[Step] = field(default_factory=list)
    newer: list[str] = field(default_factory=list)
    #: what adopting older tables could not leave as it was; with the run that ended the adoption
    archived: list[Archived] = field(default_factory=list)
    watches: list[Watch] = field(default_factory=list)
    protected: list[Protected] = field(default_factory=list)


def _quiet(_: Step) -> None:
    pass


async def migrate(
    connect: Connect,
    *,
    files: Sequence[SqlFile] | None = None,
    progress: Callable[[Step], None] = _quiet,
    lock_timeout_ms: int = _LOCK_TIMEOUT_MS,
    release: str | None = None,
    back: bool = False,
) -> Report:
    """Applies what is pending. ``connect`` opens connections as the role that migrates.

    ``release`` is this program's. ``back``: also what a later build has replaced.

    Raises MigrationError (a table of the application stands in the way, or there is no way back: nothing
    was changed; a file failed; or an applied one was edited), MissingPrivilege with the statements to run by
    hand, ConnectError.
    """
    files = sqlfiles.load() if files is None else files
    build = releases.build(files, release)
    applier = Applier(connect, lock_timeout_ms, build)
    connection = await connect()
    try:
        await ownership.check_may_migrate(connection)
        done = await _recorded(connection)
        if "schema/0001_foundation" in done:
            await ownership.check_roles(connection)
        pending, found = compare(files, done, build)
        await check_adoptable(connection, pending)
        if await connection.fetchval(_READ_ONLY):
            if pending:
                raise MigrationError(
                    "the database takes no writes; nothing was changed",
                    hint="it is a standby, or default_transaction_read_only is on, as where a disk is full",
                )
            return Report(newer=found)
        await applier.retrying("the table of migrations", lambda: applier.bootstrap(connection))
        if back:
            await applier.retrying("the release", lambda: _go_back(applier, connection, files, build))
        report = Report(
            newer=await applier.retrying("the release", lambda: _note(applier, connection, files, build))
        )
        pending = compare(files, await _recorded(connection), build)[0]
        index = {item.file.name: n for n, item in enumerate(pending, 1)}
        for together in _in_steps([item.file for item in pending]):
            for one in await applier.apply(connection, together):
                step = Step(one.file.name, index[one.file.name], len(pending), one.seconds)
                report.applied.append(step)
                progress(step)
        await applier.retrying("the owners", lambda: applier.settle_ownership(connection))
        if any(step.name == adoption.END for step in report.applied):
            report.archived = await adoption.archived(connection)
        if not report.newer:
            report.watches = await renew_watches(applier, connection)
            report.protected = await renew_protections(applier, connection)
        return report
    finally:
        await connection.close(timeout=5)


def _in_steps(files: Sequence[SqlFile]) -> Iterator[list[SqlFile]]:
    """What is committed together.

    All functions: a replica that runs meets the old ones or the new ones, and no new one that calls what is
    not there yet. A versioned file or a trigger locks tables, and is by itself so that these are free soon.
    """
    for are_functions, found in groupby(files, lambda file: file.kind == "functions" and file.transaction):
        if are_functions:
            yield list(found)
        else:
            yield from ([file] for file in found)


async def _note(
    applier: Applier, connection: Connection, files: Sequence[SqlFile], build: releases.Build
) -> list[str]:
    """What makes the database newer; where nothing does, the build is noted.

    Before the first function is replaced: a replica of the build before that starts meanwhile need know.
    """
    async with connection.transaction():
        await applier.begin(connection)
        done = await _recorded(connection)
        found = compare(files, done, build)[1]
        if not found:
            await releases.note(connection, done, build)
    return found


async def _go_back(
    applier: Applier, connection: Connection, files: Sequence[SqlFile], build: releases.Build
) -> bool:
    """Raises MigrationError where this build's functions may not fit the tables of the later one."""
    async with connection.transaction():
        await applier.begin(connection)
        found = compare(files, await _recorded(connection), build)[1]
        unknown = [name for name in found if releases.is_file(name)]
        if unknown:
            raise MigrationError(
                f"there is no way back: the database has {unknown[-1]}, which this program does not know; "
                "nothing was changed",
                hint="its replicas run beside the newer schema as it is: roll back these only",
            )
        await releases.forget(connection, found)
    return True


async def plan(connection: calls.Connection, files: Sequence[SqlFile] | None = None) -> list[Pending]:
    """What :func:`migrate` would run, in order; nothing is changed."""
    files = sqlfiles.load() if files is None else files
    return compare(files, await _recorded(connection), releases.build(files))[0]


async def newer(connection: calls.Connection, files: Sequence[SqlFile] | None = None) -> list[str]:
    """What makes the database newer than this program: later builds, and versioned files of theirs."""
    files = sqlfiles.load() if files is None else files
    return compare(files, await _recorded(connection), releases.build(files))[1]


async def obstacles(
    connection: Connection, pending: Iterable[Pending], *, migrating: bool = True
) -> list[Obstacle]:
    """What in the application's own tables would make the pending files fail; nothing is changed.

    ``migrating``: as the role that migrates, which must own the tables.
    """
    if any(item.file.name in adoption.FILES for item in pending):
        return await adoption.obstacles(connection, migrating=migrating)
    return []


async def check_adoptable(connection: Connection, pending: Iterable[Pending]) -> None:
    """Raises MigrationError, naming all obstacles at once."""
    found = await obstacles(connection, pending)
    if found:
        raise MigrationError(
            "the migration cannot build on the application's tables as they are; nothing was changed",
            hint="mend this, then run `reactor migrate` again\n" + "\n".join(str(one) for one in found),
        )


def expected() -> Awaitable[list[SqlFile]]:
    """The files of this program, read while the caller connects, which takes as long."""
    # A thread of its own, which ends with its work: a process that will not end names those that are left.
    reader = ThreadPoolExecutor(1, "reading the SQL files")
    reading = asyncio.wrap_future(reader.submit(sqlfiles.load))
    reader.shutdown(wait=False)
    return reading


async def check_migrated(connection: calls.Connection, files: Sequence[SqlFile] | None = None) -> None:
    """Raises NotMigrated when the database lacks something that this program needs."""
    files = sqlfiles.load() if files is None else files
    pending = await plan(connection, files)
    if not pending:
        return
    missing = [item.file.name for item in pending]
    if all(item.reason == "new" for item in pending) and len(missing) == len(files):
        raise NotMigrated("this database has no schema reactor yet", hint="run `reactor migrate`")
    pending_files = f"{len(missing)} files are pending, first {missing[0]}"
    if len(missing) == 1:
        pending_files = f"{missing[0]} is pending"
    raise NotMigrated(
        f"this database is older than this program: {pending_files}",
        hint="run `reactor migrate`",
    )


async def applied(connection: calls.Connection) -> dict[str, str]:
    """Names and checksums of the files that were applied; empty when nothing ever was."""
    recorded = await _recorded(connection)
    return {name: checksum for name, checksum in recorded.items() if releases.is_file(name)}


async def _recorded(connection: calls.Connection) -> dict[str, str]:
    try:
        return {row["name"]: row["checksum"] for row in await connection.fetch(_APPLIED)}
    except (asyncpg.UndefinedTableError, asyncpg.InvalidSchemaNameError):
        return {}
    except asyncpg.InsufficientPrivilegeError as error:
        raise missing_privilege(error) from None


def compare(
    files: Iterable[SqlFile], done: dict[str, str], build: releases.Build
) -> tuple[list[Pending], list[str]]:
    """What is pending, and what makes the database newer: later builds, and files that we do not know."""
    files = list(files)
    known = {file.name for file in files}
    newer = releases.later(done, build)
    newer += sorted(name for name in done if name.startswith("schema/") and name not in known)
    pending: list[Pending] = []
    for file in files:
        checksum = done.get(file.name)
        if checksum is None:
            pending.append(Pending(file, "new"))
        elif checksum == file.checksum:
            continue
        elif file.versioned:
            raise MigrationError(
                f"{file.name}.sql was edited after it was applied to this database",
                hint="restore the file as it was, and write the change as a new numbered file",
            )
        elif not newer:
            pending.append(Pending(file, "changed"))
    if newer:  # the newer build dropped or replaced what it has not; we bring nothing back
        pending = [item for item in pending if item.file.versioned]
    return pending, newer
