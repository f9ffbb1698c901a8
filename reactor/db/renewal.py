"""Renews the triggers of watches, whose text is of the version that installed them.

``reactor.watch()`` writes a function for each watch. A migration puts it in the place of the old one as its
own version writes it, so that what was mended or got quicker reaches the watches that are there. One that
does not fit any more stays as it is and works as before: it holds up neither the others nor the migration.
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


async def renew_watches(applier: Applier, connection: Connection) -> list[Watch]:
    """The watches that were renewed, and those that could not be; none where nothing was to be done."""
    if not await connection.fetchval(_KNOWN):
        return []
    found = []
    for row in await connection.fetch(_WATCHES):
        table, event_type = row["table_name"], row["event_type"]
        try:
            if await applier.retrying(
                f"the trigger of {table}", _one(applier, connection, row["function_name"])
            ):
                found.append(Watch(table, event_type))
        except MigrationError as error:
            found.append(Watch(table, event_type, str(error)))
        except asyncpg.PostgresError as error:
            # Not str(): it says the detail and the hint, too. A lost connection is no error of the server's.
            found.append(Watch(table, event_type, error.args[0].removeprefix("reactor.watch: ")))
    return found


def _one(applier: Applier, connection: Connection, function: str) -> Callable[[], Awaitable[bool]]:
    async def renew() -> bool:
        async with connection.transaction():
            await applier.begin(connection)
            renewed: bool = await connection.fetchval("select reactor.renew_watch($1)", function)
        return renewed

    return renew
