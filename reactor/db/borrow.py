"""Connections of a pool, lent for a few calls, that no silence can hold on to.

A half-open connection answers neither a query nor the cleaning that a pool does before it lends it again;
so every call of the engine has a limit (see calls.py), and what fails in any way but by the server's own
word costs the connection.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

import asyncpg

from reactor.db.pool import Pool

if TYPE_CHECKING:
    from asyncpg.pool import PoolConnectionProxy

    Borrowed = PoolConnectionProxy[asyncpg.Record]
else:
    Borrowed = asyncpg.pool.PoolConnectionProxy

#: Seconds that the server may keep the engine waiting for an answer, before the connection is given up.
PATIENCE = 8.0

#: What a call raises when the server, or the way to it, is gone. InternalClientError: the driver was cut off
#: in the middle of its own bookkeeping.
LOST = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)

#: Refusals that may be about the defaults that the session began with: read-only transactions, an isolation
#: level, row_security = off, a statement_timeout. Who sets such a default back reaches new sessions only, and
#: a session that a failover left with the standby reads for as long as it lasts.
_OF_THE_SESSION = {"25006", "42501", "57014", "RX003"}


@asynccontextmanager
async def borrow(pool: Pool, within: float = PATIENCE) -> AsyncIterator[Borrowed]:
    """A connection for the block. Raises one of :data:`LOST` when there is none within so many seconds."""
    connection: Borrowed = await pool.acquire(timeout=within)
    try:
        yield connection
    except asyncpg.PostgresError as error:
        if error.sqlstate in _OF_THE_SESSION:
            cut(connection)
            await pool.expire_connections()
        raise
    except TimeoutError:
        cut(connection)
        # Its neighbours have most likely lost their other ends as well: they are replaced when next taken.
        await pool.expire_connections()
        raise
    except BaseException:
        cut(connection)
        raise
    finally:
        await give_back(pool, connection)


async def warm(pool: Pool) -> None:
    """Open a connection for whoever comes first."""
    with suppress(*LOST):
        async with borrow(pool):
            pass


class Held:
    """One connection kept between calls that follow each other closely: a pool cleans it after each loan.

    Used by one task. :meth:`release` gives it back when there is nothing to do for a while; a silence of
    seconds may have cost it its other end.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._connection: Borrowed | None = None

    @property
    def is_empty(self) -> bool:
        return self._connection is None

    @asynccontextmanager
    async def use(self, within: float = PATIENCE) -> AsyncIterator[Borrowed]:
        """The connection for the block, and after it unless it failed. Raises as :func:`borrow` does."""
        if self._connection is not None and is_gone(self._connection):
            await self.release()
        if self._connection is None:
            self._connection = await self._pool.acquire(timeout=within)
        try:
            yield self._connection
        except BaseException as error:
            if isinstance(error, asyncpg.PostgresError) and error.sqlstate not in _OF_THE_SESSION:
                raise
            cut(self._connection)
            if isinstance(error, asyncpg.PostgresError | TimeoutError):
                await self._pool.expire_connections()
            await self.release()
            raise

    async def release(self) -> None:
        """Give it back, if there is one."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await give_back(self._pool, connection)


@asynccontextmanager
async def closing(pool: Pool) -> AsyncIterator[Pool]:
    """Closes it at the end of the block; connections that do not answer are cut, not waited for."""
    try:
        yield pool
    finally:
        with suppress(*LOST):
            async with asyncio.timeout(PATIENCE):
                await pool.close()


async def give_back(pool: Pool, connection: Borrowed) -> None:
    """Release; a connection that cannot be cleaned any more is only forgotten."""
    with suppress(*LOST):
        await pool.release(connection, timeout=PATIENCE)


def cut(connection: Borrowed) -> None:
    """End it without a word. One that ended by itself is the pool's again, and objects to every call."""
    with suppress(asyncpg.InterfaceError):
        connection.terminate()


def is_write_protected(connection: Borrowed) -> bool:
    """Whether its server lets nobody write, or it began when that was so."""
    # The server tells each session of these two by itself whenever they change.
    told = connection.get_settings()
    return "on" in (
        getattr(told, "default_transaction_read_only", "off"),
        getattr(told, "in_hot_standby", "off"),
    )


def is_gone(connection: Borrowed) -> bool:
    """Whether nothing can be said over it any more."""
    try:
        return bool(connection.is_closed())
    except asyncpg.InterfaceError:
        return True
