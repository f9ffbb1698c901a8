"""What most commands begin with: the settings, a connection, and a database that is migrated."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from reactor import settings
from reactor.db import migrate, pool
from reactor.db.odd_values import show_anything
from reactor.db.pool import Connection


@asynccontextmanager
async def session(command: str) -> AsyncIterator[Connection]:
    """A connection to a migrated database; raises SettingError, ConnectError, NotMigrated."""
    chosen = settings.load()
    async with pool.connected(chosen.dsn, name=f"reactor {command}", pooler=_cautious(chosen)) as connection:
        await migrate.check_migrated(connection)
        await show_anything(connection)
        yield connection


def _cautious(chosen: settings.Settings) -> pool.Pooler:
    # A command makes few calls: preparing each anew costs nothing, and works behind any pooler.
    return "none" if chosen.pooler == "none" else "transaction"
