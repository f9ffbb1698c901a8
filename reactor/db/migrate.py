"""Applies ``sql/`` to a database. Safe to run again, and from several places at once.

Each file runs in a transaction of its own that first takes one advisory lock, then looks whether
somebody else has applied the file meanwhile. A transaction's lock (not a session's) also works
behind a transaction-mode pooler. A file with ``--! no-transaction`` runs while a second connection
holds that lock. Versioned files run once and may never be edited; functions and triggers run again
whenever they changed, unless the database is newer than this program: then nothing is done, so
that an old replica can restart beside a new one.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from time import monotonic
from typing import Literal, LiteralString

import asyncpg

from reactor.db import adoption, calls, ownership, sqlfiles
from reactor.db.adoption import Archived, Obstacle
from reactor.db.pool import Connection, missing_privilege
from reactor.db.sqlfiles import SqlFile
from reactor.db.statements import split
from reactor.errors import MigrationError, NotMigrated, ReactorError

# Its command tag is the answer, "SELECT 1" or "SELECT 0": only a simple query leaves no snapshot behind.
_TRY_LOCK: LiteralString = (
    "select from (select pg_catalog.pg_try_advisory_xact_lock(7305793124086427) as got) as t where t.got"
)
_APPLIED: LiteralString = "select name, checksum from reactor.migrations"
_BOOTSTRAP: LiteralString = """
create schema if not exists reactor;
create table if not exists reactor.migrations (
    name text primary key,
    checksum text not null,
    applied_at timestamptz not null default clock_timestamp(),
    applied_by text not null default session_user,
    duration_ms int not null
);
comment on table reactor.migrations is
    'Which file of sql/ was applied, with the SHA-256 of its text. Written by `reactor migrate`.';
"""
_RECORD: LiteralString = """
insert into reactor.migrations as m (name, checksum, duration_ms) values ($1, $2, $3)
on conflict (name) do update
set checksum = excluded.checksum, applied_at = clock_timestamp(),
    applied_by = session_user, duration_ms = excluded.duration_ms
"""

_TRIES = 12
# A file that took longer to fail is not run once more to learn which of its statements it was.
_WORTH_LOCATING = 60.0
_LOCK_TIMEOUT_MS = 3000
# Roles belong to the whole server: migrating two of its databases at once can collide on them.
_CATALOG_RACE = ("pg_authid", "pg_auth_members", "pg_namespace", "pg_class", "pg_type", "pg_proc")

Reason = Literal["new", "changed"]
Connect = Callable[[], Awaitable[Connection]]


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
    """What a migration did. ``newer`` names files in the database that this program does not know."""

    applied: list[Step] = field(default_factory=list)
    newer: list[str] = field(default_factory=list)
    #: what adopting older tables could not leave as it was; with the run that ended the adoption
    archived: list[Archived] = field(default_factory=list)


def _quiet(_: Step) -> None:
    pass


async def migrate(
    connect: Connect,
    *,
    files: Sequence[SqlFile] | None = None,
    progress: Callable[[Step], None] = _quiet,
    lock_timeout_ms: int = _LOCK_TIMEOUT_MS,
) -> Report:
    """Applies what is pending. ``connect`` opens connections as the role that migrates.

    Raises MigrationError (a table of the application stands in the way: nothing was changed; a file
    failed; or an applied one was edited), MissingPrivilege with the statements to run by hand, ConnectError.
    """
    files = sqlfiles.load() if files is None else files
    runner = _Runner(connect, lock_timeout_ms)
    connection = await connect()
    try:
        await ownership.check_may_migrate(connection)
        done = await applied(connection)
        if "schema/0001_foundation" in done:
            await ownership.check_roles(connection)
        await check_adoptable(connection, compare(files, done)[0])
        await runner.retrying("the table of migrations", lambda: runner.bootstrap(connection))
        pending, newer = compare(files, await applied(connection))
        report = Report(newer=newer)
        for index, item in enumerate(pending, 1):
            began = monotonic()
            if await runner.apply(connection, item.file):
                step = Step(item.file.name, index, len(pending), monotonic() - began)
                report.applied.append(step)
                progress(step)
        await runner.retrying("the owners", lambda: runner.settle_ownership(connection))
        if any(step.name == adoption.END for step in report.applied):
            report.archived = await adoption.archived(connection)
        return report
    finally:
        await connection.close(timeout=5)


async def plan(connection: calls.Connection, files: Sequence[SqlFile] | None = None) -> list[Pending]:
    """What :func:`migrate` would run, in order; nothing is changed."""
    return compare(sqlfiles.load() if files is None else files, await applied(connection))[0]


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
    """Names and checksums of what was applied; empty when nothing ever was."""
    try:
        return {row["name"]: row["checksum"] for row in await connection.fetch(_APPLIED)}
    except (asyncpg.UndefinedTableError, asyncpg.InvalidSchemaNameError):
        return {}
    except asyncpg.InsufficientPrivilegeError as error:
        raise missing_privilege(error) from None


def compare(files: Iterable[SqlFile], done: dict[str, str]) -> tuple[list[Pending], list[str]]:
    """What is pending, and which versioned files the database has that we do not know."""
    files = list(files)
    known = {file.name for file in files}
    newer = sorted(name for name in done if name.startswith("schema/") and name not in known)
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
    if newer:  # the newer release dropped or replaced what it has not; we bring nothing back
        pending = [item for item in pending if item.file.versioned]
    return pending, newer


class _Runner:
    def __init__(self, connect: Connect, lock_timeout_ms: int) -> None:
        self._connect = connect
        self._settings = (
            f"set local lock_timeout = {int(lock_timeout_ms)}; set local statement_timeout = 0;"
            " set local idle_in_transaction_session_timeout = 0; set local search_path = '';"
            " set local client_min_messages = warning;"
            # How the files' strings are read, and that policies apply, is not the database's to choose.
            " set local standard_conforming_strings = on; set local row_security = on"
        )

    async def bootstrap(self, connection: Connection) -> bool:
        exists = await connection.fetchval("select pg_catalog.to_regclass('reactor.migrations') is not null")
        if not exists:
            async with connection.transaction():
                await self._begin(connection)
                await connection.execute(_BOOTSTRAP)
        return True

    async def apply(self, connection: Connection, file: SqlFile) -> bool:
        """False when somebody else applied it meanwhile."""
        run = self._in_transaction if file.transaction else self._outside
        began = monotonic()
        try:
            return await self.retrying(f"{file.name}.sql", lambda: run(connection, file))
        except asyncpg.InsufficientPrivilegeError as error:
            refused = missing_privilege(error)
            refused.message = f"{file.name}.sql: {refused.message}"
            refused.hint = error.hint or (
                "migrate as a superuser, or as a role that may create roles and owns the tables"
            )
            raise refused from error
        except _StatementFailed as failed:
            raise _failed(file, failed.error, failed.line) from failed.error
        except asyncpg.PostgresError as error:
            position = getattr(error, "position", None)
            line = _line(file.text, int(position) - 1) if position else None
            if line is None and monotonic() - began < _WORTH_LOCATING:
                line = await self._line_that_fails(connection, file, error)
            raise _failed(file, error, line) from error

    async def settle_ownership(self, connection: Connection) -> bool:
        async with connection.transaction():
            await self._begin(connection)
            await ownership.give_to_owner(connection)
        return True

    async def retrying(self, what: str, action: Callable[[], Awaitable[bool]]) -> bool:
        """Again after a lock timeout, a deadlock or a race on the catalog, with growing pauses."""
        for attempt in range(1, _TRIES + 1):
            try:
                return await action()
            except asyncpg.PostgresError as error:
                if not _passes(error):
                    raise
                if attempt == _TRIES:
                    raise MigrationError(
                        f"{what}: gave up after {attempt} tries: {error}",
                        hint="another transaction holds a lock on these tables: see pg_stat_activity",
                    ) from error
                await asyncio.sleep(random.uniform(0.05, min(0.1 * 2**attempt, 5.0)))
        raise AssertionError("unreachable")

    async def _begin(self, connection: Connection) -> None:
        # Asked for again and again, not waited for: a session that waits inside a statement holds a
        # snapshot, and CREATE INDEX CONCURRENTLY of the migration that has the lock would wait for it.
        await connection.execute("set local idle_in_transaction_session_timeout = 0")
        while await connection.execute(_TRY_LOCK) != "SELECT 1":  # noqa: ASYNC110 - nothing tells us
            await asyncio.sleep(random.uniform(0.05, 0.15))
        await connection.execute(self._settings)

    async def _in_transaction(self, connection: Connection, file: SqlFile) -> bool:
        began = monotonic()
        async with connection.transaction():
            await self._begin(connection)
            if await self._is_done(connection, file):
                return False
            await connection.execute(file.text)
            await ownership.give_to_owner(connection)
            await self._record(connection, file, began)
        return True

    async def _outside(self, connection: Connection, file: SqlFile) -> bool:
        began = monotonic()
        guard = await self._connect()
        try:
            async with guard.transaction():
                await self._begin(guard)
                if await self._is_done(connection, file):
                    return False
                for start, statement in split(file.text):
                    try:
                        await connection.execute(statement)
                    except asyncpg.InsufficientPrivilegeError:
                        raise
                    except asyncpg.PostgresError as error:
                        if _passes(error):
                            raise
                        raise _StatementFailed(error, _line(file.text, start)) from error
                await self._record(connection, file, began)
        finally:
            await guard.close(timeout=5)
        return True

    async def _line_that_fails(
        self, connection: Connection, file: SqlFile, error: asyncpg.PostgresError
    ) -> int | None:
        """The server gives no position of what fails as it runs: once more, one statement after the other.

        Nothing of it stays. None when it does not fail, or not in the same way, this time.
        """
        transaction = connection.transaction()
        await transaction.start()
        try:
            await self._begin(connection)
            for start, statement in split(file.text):
                try:
                    await connection.execute(statement)
                except asyncpg.PostgresError as again:
                    return _line(file.text, start) if again.sqlstate == error.sqlstate else None
        finally:
            await transaction.rollback()
        return None

    async def _is_done(self, connection: Connection, file: SqlFile) -> bool:
        checksum = await connection.fetchval(
            "select checksum from reactor.migrations where name = $1", file.name
        )
        return bool(checksum == file.checksum)

    async def _record(self, connection: Connection, file: SqlFile, began: float) -> None:
        await connection.execute(_RECORD, file.name, file.checksum, int((monotonic() - began) * 1000))


def _passes(error: asyncpg.PostgresError) -> bool:
    match error:
        case asyncpg.LockNotAvailableError() | asyncpg.DeadlockDetectedError():
            return True
        case asyncpg.UniqueViolationError():
            return (error.table_name or "") in _CATALOG_RACE
        case asyncpg.InternalServerError():
            return "concurrently" in str(error)
        case _:
            return False


class _StatementFailed(Exception):
    """A statement of a file that runs outside of a transaction failed."""

    def __init__(self, error: asyncpg.PostgresError, line: int) -> None:
        super().__init__(str(error))
        self.error = error
        self.line = line


def _line(text: str, offset: int) -> int:
    return text.count("\n", 0, offset) + 1


def _failed(file: SqlFile, error: asyncpg.PostgresError, line: int | None) -> ReactorError:
    where = f"{file.name}.sql" + (f", line {line}" if line else "")
    detail = getattr(error, "detail", None)
    said = getattr(error, "hint", None)
    stays = (
        "nothing of this file was applied"
        if file.transaction
        else "what this file did before that line stays, and running it again does no harm"
    )
    return MigrationError(
        # Not str(): it says the detail and the hint once more, on lines of their own.
        f"{where}: {error.args[0]}" + (f" ({detail})" if detail else ""),
        hint=f"{stays}; mend this and run `reactor migrate` again, it goes on from here"
        + (f"\n{said}" if said else ""),
    )
