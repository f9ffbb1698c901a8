"""Runs one SQL file, or another step of a migration, under the lock that all migrations share.

What runs, runs in a transaction that first takes the lock, then looks whether somebody else has applied the
file meanwhile, or a later build has come. A transaction's lock (not a session's) also works behind a
transaction-mode pooler. A file with ``--! no-transaction`` runs while a second connection holds that lock.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import LiteralString, TypeVar

import asyncpg

from reactor.db import ownership, releases
from reactor.db.pool import Connection, missing_privilege
from reactor.db.sqlfiles import SqlFile
from reactor.db.statements import split
from reactor.errors import MigrationError, MissingPrivilege, ReactorError

# Its command tag is the answer, "SELECT 1" or "SELECT 0": only a simple query leaves no snapshot behind.
_TRY_LOCK: LiteralString = (
    "select from (select pg_catalog.pg_try_advisory_xact_lock(7305793124086427) as got) as t where t.got"
)
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
_NOTED: LiteralString = (
    "select name, checksum from reactor.migrations where name = $1 or name like 'release/%'"
)

_TRIES = 12
# A file that took longer to fail is not run once more to learn which of its statements it was.
_WORTH_LOCATING = 60.0
# Roles belong to the whole server: migrating two of its databases at once can collide on them.
_CATALOG_RACE = ("pg_authid", "pg_auth_members", "pg_namespace", "pg_class", "pg_type", "pg_proc")

Connect = Callable[[], Awaitable[Connection]]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Applied:
    """A file that was applied, and how long it took."""

    file: SqlFile
    seconds: float


class Applier:
    """Does one thing of a migration at a time, each in a transaction that has the migrations' lock."""

    def __init__(self, connect: Connect, lock_timeout_ms: int, build: releases.Build) -> None:
        self._connect = connect
        self._build = build
        self._settings = (
            f"set local lock_timeout = {int(lock_timeout_ms)}; set local statement_timeout = 0;"
            " set local idle_in_transaction_session_timeout = 0; set local search_path = '';"
            " set local client_min_messages = warning;"
            # How the files' strings are read, and that policies apply, is not the database's to choose.
            " set local standard_conforming_strings = on; set local row_security = on"
        )

    async def bootstrap(self, connection: Connection) -> bool:
        """Makes the table in which the rest is noted."""
        exists = await connection.fetchval("select pg_catalog.to_regclass('reactor.migrations') is not null")
        if not exists:
            async with connection.transaction():
                await self.begin(connection)
                await connection.execute(_BOOTSTRAP)
        return True

    async def apply(self, connection: Connection, files: Sequence[SqlFile]) -> list[Applied]:
        """Those that were applied: left out is what somebody else applied meanwhile, or a later build.

        Several run in one transaction; one that must run outside of any is given by itself.
        """
        run = self._in_transaction if files[0].transaction else self._outside
        what = f"{files[0].name}.sql" + (f" and {len(files) - 1} more" if len(files) > 1 else "")
        try:
            return await self.retrying(what, lambda: run(connection, files))
        except _FileFailed as failed:
            raise _told(failed) from failed.error
        except asyncpg.InsufficientPrivilegeError as error:
            raise _refused(what, error) from error

    async def settle_ownership(self, connection: Connection) -> bool:
        """Also of what no file made just now."""
        async with connection.transaction():
            await self.begin(connection)
            await ownership.give_to_owner(connection)
        return True

    async def retrying(self, what: str, action: Callable[[], Awaitable[T]], tries: int = _TRIES) -> T:
        """Again after a lock timeout, a deadlock or a race on the catalog, with growing pauses."""
        for attempt in range(1, tries + 1):
            try:
                return await action()
            except asyncpg.PostgresError as error:
                if not _passes(error):
                    raise
                if attempt == tries:
                    raise MigrationError(
                        f"{what}: gave up after {attempt} tries: {error}",
                        hint="another transaction holds a lock on these tables: see pg_stat_activity",
                    ) from error
                await asyncio.sleep(random.uniform(0.05, min(0.1 * 2**attempt, 5.0)))
        raise AssertionError("unreachable")

    async def begin(self, connection: Connection) -> None:
        """Takes the lock, for the rest of the connection's transaction, and settles what files depend on."""
        # Asked for again and again, not waited for: a session that waits inside a statement holds a
        # snapshot, and CREATE INDEX CONCURRENTLY of the migration that has the lock would wait for it.
        await connection.execute("set local idle_in_transaction_session_timeout = 0")
        while await connection.execute(_TRY_LOCK) != "SELECT 1":  # noqa: ASYNC110 - nothing tells us
            await asyncio.sleep(random.uniform(0.05, 0.15))
        await connection.execute(self._settings)

    async def _in_transaction(self, connection: Connection, files: Sequence[SqlFile]) -> list[Applied]:
        applied = []
        async with connection.transaction():
            await self.begin(connection)
            for file in files:
                began = monotonic()
                if await self._is_done(connection, file):
                    continue
                try:
                    async with connection.transaction():
                        await connection.execute(file.text)
                except asyncpg.PostgresError as error:
                    if _passes(error):
                        raise
                    position = getattr(error, "position", None)
                    line = _line(file.text, int(position) - 1) if position else None
                    if line is None and monotonic() - began < _WORTH_LOCATING:
                        line = await self._line_that_fails(connection, file, error)
                    raise _FileFailed(file, error, line) from error
                applied.append(await self._record(connection, file, began))
            await ownership.give_to_owner(connection)
        return applied

    async def _outside(self, connection: Connection, files: Sequence[SqlFile]) -> list[Applied]:
        (file,) = files
        began = monotonic()
        guard = await self._connect()
        try:
            async with guard.transaction():
                await self.begin(guard)
                if await self._is_done(connection, file):
                    return []
                for start, statement in split(file.text):
                    try:
                        await connection.execute(statement)
                    except asyncpg.PostgresError as error:
                        if _passes(error):
                            raise
                        raise _FileFailed(file, error, _line(file.text, start)) from error
                return [await self._record(connection, file, began)]
        finally:
            await guard.close(timeout=5)

    async def _line_that_fails(
        self, connection: Connection, file: SqlFile, error: asyncpg.PostgresError
    ) -> int | None:
        """The server gives no position of what fails as it runs: once more, one statement after the other.

        Nothing of it stays. None when it does not fail, or not in the same way, this time.
        """
        transaction = connection.transaction()
        await transaction.start()
        try:
            for start, statement in split(file.text):
                try:
                    await connection.execute(statement)
                except asyncpg.PostgresError as again:
                    return _line(file.text, start) if again.sqlstate == error.sqlstate else None
        finally:
            await transaction.rollback()
        return None

    async def _is_done(self, connection: Connection, file: SqlFile) -> bool:
        noted = {row["name"]: row["checksum"] for row in await connection.fetch(_NOTED, file.name)}
        return bool(noted.get(file.name) == file.checksum) or (
            not file.versioned and bool(releases.later(noted, self._build))
        )

    async def _record(self, connection: Connection, file: SqlFile, began: float) -> Applied:
        seconds = monotonic() - began
        await connection.execute(_RECORD, file.name, file.checksum, int(seconds * 1000))
        return Applied(file, seconds)


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


class _FileFailed(Exception):
    """Which one, and where: its line, when that is known."""

    def __init__(self, file: SqlFile, error: asyncpg.PostgresError, line: int | None) -> None:
        super().__init__(str(error))
        self.file = file
        self.error = error
        self.line = line


def _line(text: str, offset: int) -> int:
    return text.count("\n", 0, offset) + 1


def _told(failed: _FileFailed) -> ReactorError:
    file, error = failed.file, failed.error
    if isinstance(error, asyncpg.InsufficientPrivilegeError):
        return _refused(f"{file.name}.sql", error)
    where = f"{file.name}.sql" + (f", line {failed.line}" if failed.line else "")
    detail = getattr(error, "detail", None)
    said = getattr(error, "hint", None)
    stays = "nothing of this file was applied"
    if not file.transaction:
        stays = "what this file did before that line stays, and running it again does no harm"
    elif file.kind == "functions":
        stays = "no function was replaced"
    return MigrationError(
        # Not str(): it says the detail and the hint once more, on lines of their own.
        f"{where}: {error.args[0]}" + (f" ({detail})" if detail else ""),
        hint=f"{stays}; mend this and run `reactor migrate` again, it goes on from here"
        + (f"\n{said}" if said else ""),
    )


def _refused(what: str, error: asyncpg.InsufficientPrivilegeError) -> MissingPrivilege:
    refused = missing_privilege(error)
    refused.message = f"{what}: {refused.message}"
    refused.hint = error.hint or (
        "migrate as a superuser, or as a role that may create roles and owns the tables"
    )
    return refused
