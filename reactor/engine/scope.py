"""The tenant's scope: a handler's transaction, as a role that row level security confines.

It opens when a handler first touches the database and ends in the settler, together with the
acknowledgement. Each event (or batch) has a savepoint of its own, made when it first touches the
database after others did, so that a failing one is undone alone.
"""

import asyncio
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import asyncpg

from reactor.db.borrow import LOST, PATIENCE, cut, give_back, is_gone, is_write_protected
from reactor.errors import ScopeBroken
from reactor.events import Event

if TYPE_CHECKING:
    Pool = asyncpg.Pool[asyncpg.Record]
    from asyncpg.pool import PoolConnectionProxy

    Connection = PoolConnectionProxy[asyncpg.Record]
else:
    Pool = asyncpg.Pool
    Connection = asyncpg.pool.PoolConnectionProxy

#: A division by zero in a session that ever had temporary objects. Their names come first on every search
#: path, and what functions compiled while they were there outlives them: it goes to no other handler.
_REFUSE_USED = "select 1 / (pg_catalog.pg_my_temp_schema() = 0)::int"
#: What a handler locked for its session outlives its transaction: others would wait for an idle connection.
_UNLOCK = "select pg_catalog.pg_advisory_unlock_all()"
#: How long a transaction may be silent between the fence and its commit, in milliseconds.
_SILENCE_MS = 5000
#: … and how much longer than its handler's limit before.
_CLEARANCE = timedelta(seconds=30)


class ScopeUnavailable(Exception):
    """The server gave no connection, or no transaction on it: the event is not to blame."""


class NoConnection(ScopeUnavailable):
    """Nothing was begun: whatever was in hand cannot have broken it."""


class Scope:
    """The transaction of one run's segment. Used by one task at a time; the runner owns it."""

    def __init__(self, pool: Pool, tenant_id: UUID, run_id: UUID, *, shares_session: bool = False) -> None:
        self._pool = pool
        #: what comes first on a connection: behind a pooler the sessions are not ours to end
        self._cleaning = "discard temp" if shares_session else _REFUSE_USED
        self._tenant_id = tenant_id
        self._run_id = run_id
        self._connection: Connection | None = None
        self._opening = asyncio.Lock()
        #: how many savepoints this transaction has had, and whether the current event has one
        self.marks = 0
        self._marked = False
        #: the last handler that was given ``ctx.db``, for messages
        self.handler = ""
        self._opened_by_current = False
        self._cause: Event[Any] | None = None
        #: the trace context of what the current event causes, set for each by whoever traces; ``None``:
        #: its own
        self.traceparent: str | None = None
        self._limit = timedelta(minutes=1)
        self.depth = 0
        #: since when a handler waits for an answer, in loop seconds; 0: it does not
        self.asked_at = 0.0
        #: the transaction was cut while earlier events had written in it: nothing of it may be settled
        self.broken = False
        #: from the fence to the commit the transaction has the replica's own role, which is no handler's
        self.fencing = False

    @property
    def connection(self) -> Connection | None:
        """The open transaction's connection; ``None`` while nobody touched the database."""
        return self._connection

    def enter(self, cause: Event[Any] | None, limit: timedelta = timedelta(minutes=1)) -> None:
        """From here on the transaction works for ``cause``; no round trip until it is used.

        ``limit``: how long a handler may take. A transaction that is silent for much longer belongs to a
        replica that is stopped or cut off; the server ends it, since the rows it wrote are locked for the
        next holder of the lease.
        """
        self._cause = cause
        self._limit = limit
        self._marked = False
        self._opened_by_current = False
        self.depth = 0

    async def use(self, check: Callable[[], None] = lambda: None) -> Connection:
        """The connection, with the transaction open and the current event's savepoint made.

        ``check`` raises when whoever asks may use it no more: perhaps by the time that it is open.
        """
        self._refuse()
        if self._connection is not None and self._marked:
            return self._connection
        # Two statements at once, as a handler's first, are of one transaction all the same.
        async with self._opening:
            # The one before may have found the connection silent, and cut it.
            self._refuse()
            if self._connection is None:
                return await self._begin(check)
            if not self._marked:
                await self._mark(self._connection)
            return self._connection

    def _refuse(self) -> None:
        if self.broken:
            raise ScopeBroken(
                f"handler {self.handler} used ctx.db after its transaction was cut",
                hint="nothing of it is committed, its events are done again one by one; a connection that "
                "fell silent, or a handler that would not end, is named in the log before this",
            )
        if self.fencing:
            raise ScopeBroken(
                f"handler {self.handler} used ctx.db while ctx.checkpoint() committed",
                hint="await ctx.checkpoint() before the next use",
            )

    async def _mark(self, connection: Connection) -> None:
        cause = self._cause
        previous = "release savepoint reactor_event; " if self.marks else ""
        try:
            await self._run(connection, f"{previous}savepoint reactor_event; select {self._cause_settings()}")
        except TimeoutError as error:
            raise ScopeUnavailable("the connection fell silent") from error
        self.marks += 1
        # A task that was left behind marks for the event before; this one has its own mark to make.
        self._marked = cause is self._cause

    async def _begin(self, check: Callable[[], None]) -> Connection:
        connection = await self._open()
        try:
            check()
        except ScopeBroken:
            await self._discard(connection)
            raise
        self._connection = connection
        self._marked = self._opened_by_current = True
        return connection

    async def _open(self) -> Connection:
        """Take a connection and begin on it, in one round trip. The session is cleaned here instead of after
        use, where it would stand between the handler and the acknowledgement."""
        for _ in range(self._pool.get_max_size() + 1):
            connection = await self._take()
            try:
                await connection.execute(
                    # What a session set or keeps open would go from one tenant's handler to another's.
                    f"reset all; {self._cleaning}; close all; unlisten *; "
                    "begin isolation level read committed; "
                    f"select set_config('role', 'reactor_handler', true), "
                    f"set_config('reactor.tenant_id', '{self._tenant_id}', true), "
                    # By this reactor.cut_off() finds it when the lease is lost.
                    f"set_config('application_name', 'reactor run {self._run_id}', true), "
                    f"{self._cause_settings()}",
                    timeout=PATIENCE,
                )
            except asyncpg.DivisionByZeroError:
                await self._discard(connection)
            except LOST as error:
                if isinstance(error, TimeoutError):
                    # Its neighbours in the pool have most likely lost their other ends as well.
                    await self._pool.expire_connections()
                await self._discard(connection)
                raise NoConnection(str(error) or type(error).__name__) from error
            except BaseException:
                await self._discard(connection)
                raise
            else:
                return connection
        raise ScopeUnavailable("every session that the pool gave had temporary objects of another's")

    def _cause_settings(self) -> str:
        cause = self._cause
        cause_id = str(cause.id) if cause else ""
        depth = str(cause.depth) if cause else ""
        silence = int((min(self._limit, timedelta(days=1)) + _CLEARANCE).total_seconds() * 1000)
        trace = self.traceparent or (cause.traceparent if cause else None) or ""
        trace = re.sub(r"[^0-9a-fA-F-]", "", trace)
        return (
            f"set_config('idle_in_transaction_session_timeout', '{silence}', true), "
            f"set_config('reactor.cause_id', '{cause_id}', true), "
            f"set_config('reactor.depth', '{depth}', true), "
            f"set_config('reactor.traceparent', '{trace}', true)"
        )

    @contextmanager
    def asking(self) -> Iterator[None]:
        """Around a handler's own statements, which have no limit but the handler's."""
        self.asked_at = asyncio.get_running_loop().time()
        try:
            yield
        finally:
            self.asked_at = 0.0

    async def undo(self) -> None:
        """Undo what the current event wrote; what others wrote before it stays."""
        if self._connection is None or not self._marked:
            return
        if self._opened_by_current:
            await self.rollback()
        else:
            await self._run(self._connection, "rollback to savepoint reactor_event")

    async def rollback(self) -> None:
        """Undo everything and give the connection back."""
        connection, self._connection = self._connection, None
        self.marks = 0
        self.broken = self.fencing = self._marked = self._opened_by_current = False
        if connection is None:
            return
        try:
            await self._run(connection, f"rollback; {_UNLOCK}")
        except ScopeBroken:
            self.broken = False
            return  # the connection was cut, which undoes as well
        except BaseException:
            self.broken = False
            await self._discard(connection)
            raise
        if not is_gone(connection) and is_write_protected(connection):
            # The next event would be interrupted by the same session, also when others may write again.
            await self._pool.expire_connections()
            await self._discard(connection)
            return
        await give_back(self._pool, connection)

    async def commit(self) -> None:
        """Commit and give the connection back. The caller settled or fenced before, on this connection."""
        connection = self._connection
        assert connection is not None
        try:
            await connection.execute(f"commit; {_UNLOCK}", timeout=PATIENCE)
        except BaseException:
            self._connection = None
            self.broken = True
            self.fencing = False
            await self._discard(connection)
            raise
        self._connection = None
        self.marks = 0
        self.fencing = self._marked = self._opened_by_current = False
        await give_back(self._pool, connection)

    async def leave_role(self) -> Connection:
        """Back to the replica's own role, for the fence; the transaction goes on.

        From the fence to the commit it holds the lease's row, which nobody can take over before the server
        has ended it: so a replica that falls silent in between must not be waited for.
        """
        connection = self._connection
        assert connection is not None
        self.fencing = True
        await self._run(
            connection,
            # What a trigger of the application's put off until the commit is the handler's to do: in its
            # tenant's scope, and with its search path.
            "set constraints all immediate; "
            # The driver asks for types it does not know, and here a temporary one would come first.
            "set local role none; set local search_path = pg_catalog, pg_temp; "
            f"set local idle_in_transaction_session_timeout = {_SILENCE_MS}",
        )
        return connection

    async def _run(self, connection: Connection, query: str) -> None:
        """A statement of ours, before or after a handler's."""
        try:
            await connection.execute(query, timeout=PATIENCE)
        except TimeoutError:
            # It lost its other end, and so did its neighbours in the pool: nothing more is asked of it.
            self._connection = None
            self.broken = True
            await self._pool.expire_connections()
            await self._discard(connection)
            raise
        except asyncpg.InterfaceError as error:
            if is_gone(connection):
                raise
            self._connection = None
            self.broken = True
            await self._discard(connection)
            raise ScopeBroken(
                "the handler left a query running when it returned",
                hint="await everything that the handler starts",
            ) from error

    def terminate(self) -> None:
        """Cut the connection, so that a handler that will not stop can commit nothing."""
        connection, self._connection = self._connection, None
        if connection is not None:
            self.broken = True
            cut(connection)

    async def _take(self) -> Connection:
        try:
            return await self._pool.acquire(timeout=2 * PATIENCE)
        except LOST as error:
            raise NoConnection(str(error) or type(error).__name__) from error

    async def _discard(self, connection: Connection) -> None:
        cut(connection)
        await give_back(self._pool, connection)
