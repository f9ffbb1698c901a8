"""What most commands begin with: the settings, a connection, and a database that is migrated."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from reactor import settings
from reactor.cli.words import EPOCH, instant
from reactor.db import migrate, pool
from reactor.db.pool import Connection


@asynccontextmanager
async def session(command: str) -> AsyncIterator[Connection]:
    """A connection to a migrated database; raises SettingError, ConnectError, NotMigrated."""
    chosen = settings.load()
    async with pool.connected(chosen.dsn, name=f"reactor {command}", pooler=_cautious(chosen)) as connection:
        await migrate.check_migrated(connection)
        await _show_anything(connection)
        yield connection


async def _show_anything(connection: Connection) -> None:
    """One odd value must not hide all others: what Python cannot hold comes as the server's text."""
    for kind in ("json", "jsonb"):
        await connection.set_type_codec(
            kind, schema="pg_catalog", encoder=pool.to_json, decoder=pool.read_exactly, format="text"
        )
    await connection.set_type_codec(
        "timestamptz",
        schema="pg_catalog",
        encoder=lambda at: ((at - EPOCH) // timedelta(microseconds=1),),
        decoder=lambda coded: instant(coded[0]),
        format="tuple",
    )


def _cautious(chosen: settings.Settings) -> pool.Pooler:
    # A command makes few calls: preparing each anew costs nothing, and works behind any pooler.
    return "none" if chosen.pooler == "none" else "transaction"
