"""The databases as the dashboard asks them: on connections of its own, a few, opened when somebody looks.

Nothing here can take a connection that the engine waits for, and whatever somebody asks for ends by a limit
of the server's own. It works while a replica starts, drains, or has lost its database.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import LiteralString

import asyncpg

from reactor.db import pool
from reactor.db.borrow import Borrowed, borrow
from reactor.db.odd_values import show_anything
from reactor.errors import ConnectError, ReactorError, redact
from reactor.settings import Settings
from reactor.web.refusal import Busy

#: Looks at once at one database, how many may wait for their turn, and for how many seconds.
AT_ONCE = 2
_WAITING = 16
_TURN = 5.0
#: Seconds until a database that does not take a connection is away, and until one that has it gives no
#: answer.
_CONNECT = 3.0
_ANSWER = 8.0

#: The server's own limits are below ours: a look that it ends itself costs no connection.
_LOOK: LiteralString = (
    "begin read only; set local statement_timeout = '5s'; set local lock_timeout = '2s'; set local jit = off"
)
_ACT: LiteralString = "begin; set local statement_timeout = '6s'; set local lock_timeout = '3s'"


class Database:
    """One of them; ``number`` is its place in REACTOR_DATABASES, from 1."""

    def __init__(self, number: int, dsn: str, settings: Settings) -> None:
        self.number = number
        #: where it is, without user and password
        self.label = pool.name_database(dsn)
        self._dsn = dsn
        self._name = f"{settings.replica} dashboard"
        # Few calls: preparing each anew costs nothing, and works behind any pooler.
        self._pooler: pool.Pooler = "none" if settings.pooler == "none" else "transaction"
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._waiting = 0
        self._opening = asyncio.Lock()
        self._pool: pool.Pool | None = None

    @asynccontextmanager
    async def look(self) -> AsyncIterator[Borrowed]:
        """A connection that can change nothing. Raises Busy, or what the driver does."""
        async with self._transaction(_LOOK) as connection:
            yield connection

    @asynccontextmanager
    async def act(self) -> AsyncIterator[Borrowed]:
        """One whose transaction commits at the end of the block, unless it failed."""
        async with self._transaction(_ACT) as connection:
            yield connection

    @asynccontextmanager
    async def _transaction(self, begin: LiteralString) -> AsyncIterator[Borrowed]:
        refused: ReactorError | asyncpg.PostgresError | None = None
        is_in = False
        try:
            async with self._turn(), borrow(await self._opened(), within=_CONNECT) as connection:
                is_in = True
                async with asyncio.timeout(_ANSWER):
                    await connection.execute(begin)
                    try:
                        yield connection
                    except (ReactorError, asyncpg.PostgresError) as error:
                        # The connection is as good as before, so it is not given up with the look.
                        refused = error
                        await connection.execute("rollback")
                    else:
                        await connection.execute("commit")
        except asyncpg.PostgresError as error:
            if is_in:
                raise
            raise pool.explain(error, self._dsn) or ConnectError(
                "the database lets nobody in", detail=redact(error)
            ) from None
        if refused is not None:
            raise refused

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        if self._waiting >= _WAITING:
            raise Busy("too many look at this database just now", hint="try again in a moment")
        self._waiting += 1
        try:
            async with asyncio.timeout(_TURN):
                await self._turns.acquire()
        except TimeoutError:
            raise Busy("too many look at this database just now", hint="try again in a moment") from None
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            self._turns.release()

    async def _opened(self) -> pool.Pool:
        async with self._opening:
            if self._pool is None:
                self._pool = await pool.create_pool(
                    self._dsn,
                    size=AT_ONCE,
                    name=self._name,
                    pooler=self._pooler,
                    keep_session=True,  # all that is set is set for one transaction
                    ready=0,
                    prepare=show_anything,
                )
            return self._pool

    def close(self) -> None:
        """End the connections without a word: nobody waits for what they do."""
        if self._pool is not None:
            self._pool.terminate()
            self._pool = None


def databases(settings: Settings) -> list[Database]:
    """All of them."""
    return [Database(number, dsn, settings) for number, dsn in enumerate(settings.dsns, 1)]
