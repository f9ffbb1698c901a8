"""What a replica starts with: its two pools, on a database that is migrated."""

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass

from reactor.db import migrate
from reactor.db.borrow import LOST, PATIENCE, borrow, closing
from reactor.db.pool import Pool, Pooler, connect_first, create_pool, describe, explain
from reactor.db.whereabouts import whereabouts
from reactor.errors import ConnectError

#: At most: claim, two settling, heartbeat, leader, timer, two jobs, rotation, backlog, briefly the canary.
OWN_CONNECTIONS = 11


@dataclass(frozen=True, slots=True)
class ReplicaPools:
    """Two, so that handlers that hold every connection stop neither heartbeat nor settling."""

    own: Pool
    handlers: Pool
    #: what is in between, which is never "auto"
    pooler: Pooler


async def open_pools(
    stack: AsyncExitStack, dsn: str, *, name: str, pooler: Pooler, own: int, handlers: int
) -> ReplicaPools:
    """Pools of at most so many connections, closed with ``stack``.

    Raises NotMigrated, MissingPrivilege and ConnectError, and what :func:`refused` makes one of.
    """
    files = migrate.expected()
    first, pooler = await connect_first(dsn, name=name, pooler=pooler)
    ours = await create_pool(
        dsn,
        size=own,
        name=name,
        pooler=pooler,
        first=first,
        keep_session=True,  # our own calls leave nothing in it; after a job's it is cleaned
    )
    await stack.enter_async_context(closing(ours))
    async with asyncio.timeout(PATIENCE), borrow(ours) as connection:
        await migrate.check_migrated(connection, await files)
    theirs = await create_pool(
        dsn, size=handlers, name=f"{name} handlers", pooler=pooler, keep_session=True, ready=0
    )
    await stack.enter_async_context(closing(theirs))
    return ReplicaPools(ours, theirs, pooler)


async def home(own: Pool) -> str | None:
    """The :func:`whereabouts` of the database that a pool leads to."""
    async with borrow(own) as connection:
        return await whereabouts(connection)


@contextmanager
def refused(dsn: str) -> Iterator[None]:
    """One clear line for a server that answers, and lets no replica in."""
    try:
        yield
    except LOST as error:
        raise explain(error, dsn) or ConnectError(
            f"{describe(dsn)} lets no replica in: {str(error) or type(error).__name__}",
            hint="is it a standby, or read-only for the moment?",
        ) from error
