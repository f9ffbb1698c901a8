"""Which database a connection has reached, whatever its URL says."""

from typing import LiteralString

import asyncpg

from reactor.db.borrow import Borrowed
from reactor.db.calls import Connection

# A copy has another number of its own, or another server's; a standby that took over has its primary's.
_WHERE: LiteralString = """
select s.system_identifier::text || '/' || d.oid::text
from pg_catalog.pg_control_system() s
cross join pg_catalog.pg_database d
where d.datname = pg_catalog.current_database()
"""


async def whereabouts(connection: Connection | Borrowed) -> str | None:
    """The server's identity and the database's in it; None where the server keeps that to itself."""
    try:
        where: str | None = await connection.fetchval(_WHERE)
    except (
        asyncpg.InsufficientPrivilegeError,
        asyncpg.UndefinedFunctionError,
        asyncpg.FeatureNotSupportedError,
    ):
        return None
    return where
