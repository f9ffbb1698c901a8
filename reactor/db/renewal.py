"""Renews what ``reactor.watch()`` and ``reactor.protect()`` made, whose text is of the version that did.

The first writes a function for each watch, the second policies. A migration puts them in the place of the old
ones as its own version writes them, so that what was mended or got quicker reaches the tables that are there.
What does not fit any more stays as it is: it holds up neither the others nor the migration.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import LiteralString

import asyncpg

from reactor.db.applier import Applier
from reactor.db.pool import Connection
from reactor.errors import MigrationError

# None where the functions are not (yet) those that know how.
_KNOWN: LiteralString = "select pg_catalog.to_regprocedure('reactor.renew_watch(name)') is not null"
_PROTECTIONS_KNOWN: LiteralString = (
    "select pg_catalog.to_regprocedure('reactor.renew_protection(regclass)') is not null"
)
_PROTECTED: LiteralString = """
select o.relation::oid as relation, o.tenant_column::text as tenant_column,
    pg_catalog.format('%I.%I', n.nspname, c.relname) as table_name
from reactor.outdated_protections() o
join pg_catalog.pg_class c on c.oid = o.relation
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
order by 3
"""
# Policies are replaced with the table locked, and whoever writes to it waits behind who waits for that.
_POLICIES_LOCK_TIMEOUT: LiteralString = "set local lock_timeout = '200ms'"
_POLICIES_TRIES = 6
# Told by the name that the table has now.
_WATCHES: LiteralString = """
select w.function_name, w.event_type, pg_catalog.format('%I.%I', n.nspname, c.relname) as table_name
from reactor.watches w
join pg_catalog.pg_proc p
    on p.pronamespace = 'reactor'::pg_catalog.regnamespace and p.proname = w.function_name
join pg_catalog.pg_class c on c.oid = (
    select pg_catalog.max(t.tgrelid) from pg_catalog.pg_trigger t where t.tgfoid = p.oid)
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
order by 3, 2
"""


@dataclass(frozen=True, slots=True)
class Watch:
    """A table and a type of event that it emits. ``refused``: why its trigger is an older version's still."""

    table: str
    event_type: str
    refused: str | None = None


@dataclass(frozen=True, slots=True)
class Protected:
    """A table that handlers may reach. ``refused``: why its policies are an older version's still."""

    table: str
    tenant_column: str | None
    refused: str | None = None


async def renew_watches(applier: Applier, connection: Connection) -> list[Watch]:
    """The watches that were renewed, and those that could not be; none where nothing was to be done."""
    if not await connection.fetchval(_KNOWN):
        return []
    found = []
    for row in await connection.fetch(_WATCHES):
        table = row["table_name"]
        renew = _in_transaction(applier, connection, _watch(connection, row["function_name"]))
        renewed, refused = await _tried(applier.retrying(f"the trigger of {table}", renew))
        if renewed or refused:
            found.append(Watch(table, row["event_type"], refused))
    return found


async def renew_protections(applier: Applier, connection: Connection) -> list[Protected]:
    """The tables whose protection was renewed, or could not be; none where nothing was to be done."""
    if not await connection.fetchval(_PROTECTIONS_KNOWN):
        return []
    found = []
    for row in await connection.fetch(_PROTECTED):
        table = row["table_name"]
        renew = _in_transaction(applier, connection, _protection(connection, row["relation"]))
        renewed, refused = await _tried(
            applier.retrying(f"the policies of {table}", renew, tries=_POLICIES_TRIES)
        )
        if renewed or refused:
            found.append(Protected(table, row["tenant_column"], refused))
    return found


async def _tried(work: Awaitable[bool]) -> tuple[bool, str | None]:
    """Whether it was renewed, and why it could not be."""
    try:
        return await work, None
    except MigrationError as error:
        return False, str(error)
    except asyncpg.PostgresError as error:
        # Not str(): it says the detail and the hint, too. A lost connection is no error of the server's.
        return False, str(error.args[0]).removeprefix("reactor.watch: ")


def _watch(connection: Connection, function: str) -> Callable[[], Awaitable[bool]]:
    async def renew() -> bool:
        renewed: bool = await connection.fetchval("select reactor.renew_watch($1)", function)
        return renewed

    return renew


def _protection(connection: Connection, relation: int) -> Callable[[], Awaitable[bool]]:
    async def renew() -> bool:
        await connection.execute(_POLICIES_LOCK_TIMEOUT)
        renewed: bool = await connection.fetchval("select reactor.renew_protection($1::oid)", relation)
        return renewed

    return renew


def _in_transaction(
    applier: Applier, connection: Connection, work: Callable[[], Awaitable[bool]]
) -> Callable[[], Awaitable[bool]]:
    async def run() -> bool:
        async with connection.transaction():
            await applier.begin(connection)
            return await work()

    return run
