"""What SQLAlchemy takes for the driver's connection: ``ctx.db``, and nothing that it may keep, change or end.

Statements are prepared without a name, each time anew: one with a name would be found on the connection by
the next tenant's handler, and behind a pooler by another replica.
"""

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from itertools import count
from typing import Any, Protocol

import asyncpg
import orjson

from reactor.db.borrow import is_gone
from reactor.engine.scoped_db import ScopedDb
from reactor.errors import ScopeBroken

#: What waits for an answer: the watch over connections that fell silent is told.
Asking = Callable[[], AbstractContextManager[None]]

#: json, jsonb, and arrays of them
_JSON = {114, 3802, 199, 3807}


class Transaction(Protocol):
    """asyncpg's, as far as SQLAlchemy's dialect uses it."""

    async def start(self) -> None: ...
    async def commit(self) -> None: ...
    async def rollback(self) -> None: ...


class Driver:
    """A connection of asyncpg's: a periodic job's, which is in a transaction, or a test's."""

    def __init__(self, db: Any) -> None:
        self._db = db
        #: begun and not ended: SQLAlchemy forgets its own when a wait for an answer is cancelled
        self._begun: Transaction | None = None

    async def lend(self, query: str) -> Any:
        """The connection, for ``query``."""
        return self._db

    def asking(self) -> AbstractContextManager[None]:
        """Around each wait for an answer."""
        return nullcontext()

    def is_closed(self) -> bool:
        return bool(is_gone(self._db))

    def new_transaction(self) -> Transaction:
        """One that is not begun yet."""
        begun: Transaction = self._db.transaction()
        return begun

    def transaction(
        self, *, isolation: str | None = None, readonly: bool = False, deferrable: bool = False
    ) -> "_Transaction":
        if isolation or readonly or deferrable:
            refuse_options()
        return _Transaction(self)

    async def begin(self) -> None:
        await self.end()
        begun = self.new_transaction()
        await begun.start()
        self._begun = begun

    async def commit(self) -> None:
        begun, self._begun = self._begun, None
        if begun is not None:
            await begun.commit()

    async def end(self) -> None:
        """Undo what was begun and not committed, if anything."""
        begun, self._begun = self._begun, None
        if begun is not None and not self.is_closed():
            await begun.rollback()

    async def prepare(self, query: str, *, name: str | None = None) -> "_Statement":
        connection = await self.lend(query)
        with self.asking():
            return _Statement(await connection.prepare(query, name=""), self.asking)

    async def executemany(self, query: str, rows: Iterable[Sequence[Any]]) -> None:
        statement = await self.prepare(query)
        await statement.executemany(rows)

    async def reload_schema_state(self) -> None:
        """After DDL, or when a statement's types have changed meanwhile."""
        connection = await self.lend("")
        with self.asking():
            await connection.reload_schema_state()

    async def close(self, timeout: float | None = None) -> None:
        """The connection is the reactor's to close."""

    def terminate(self) -> None:
        """As is cutting it."""


class TenantDriver(Driver):
    """A handler's: its scope's connection, in the tenant's transaction, when it is first used."""

    def __init__(self, db: ScopedDb) -> None:
        super().__init__(db)
        self._scoped = db
        self._names = count(1)

    async def lend(self, query: str) -> Any:
        return await self._scoped.lend(query)

    def asking(self) -> AbstractContextManager[None]:
        return self._scoped.scope.asking()

    def is_closed(self) -> bool:
        scope = self._scoped.scope
        # The driver's proxy has nothing more to say when the pool has it back.
        return scope.broken or (scope.connection is not None and is_gone(scope.connection))

    def new_transaction(self) -> Transaction:
        return _Savepoint(self, self._scoped, next(self._names))


class _Transaction:
    """What SQLAlchemy begins and ends."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver

    async def start(self) -> None:
        await self._driver.begin()

    async def commit(self) -> None:
        await self._driver.commit()

    async def rollback(self) -> None:
        await self._driver.end()


class _Savepoint:
    """A session's transaction, in a handler's."""

    def __init__(self, driver: TenantDriver, db: ScopedDb, number: int) -> None:
        self._driver = driver
        self._db = db
        self._name = f"reactor_session_{len(db.scope.opened)}_{number}"
        #: how many blocks were around it
        self._depth = 0

    async def start(self) -> None:
        self._depth = len(self._db.scope.opened)
        await self._run(f"savepoint {self._name}")

    async def commit(self) -> None:
        self._db.check_open()
        self._check_innermost()
        await self._run(f"release savepoint {self._name}")

    async def rollback(self) -> None:
        if self._db.is_closed:
            # The handler did not wait for it: what it began is undone, and the transaction is the next one's.
            return
        self._check_innermost()
        await self._run(f"rollback to savepoint {self._name}; release savepoint {self._name}")

    async def _run(self, query: str) -> None:
        connection = await self._driver.lend("savepoint")
        with self._driver.asking():
            await connection.execute(query)

    def _check_innermost(self) -> None:
        """Raises ScopeBroken when this would end what others began, or they have ended this already."""
        if len(self._db.scope.opened) != self._depth:
            raise ScopeBroken(
                f"handler {self._db.handler} ended a session's transaction in another block than it began in",
                hint="a session's transaction begins at its first statement: commit it before a block of "
                "ctx.db.transaction() or of another session, or keep it within one",
            )


class _Statement:
    """A prepared statement without a name: it is carried out before anything else is asked."""

    def __init__(self, prepared: "asyncpg.prepared_stmt.PreparedStatement[Any]", asking: Asking) -> None:
        self._prepared = prepared
        self._asking = asking
        self._json = [
            place for place, kind in enumerate(prepared.get_parameters()) if getattr(kind, "oid", 0) in _JSON
        ]

    def get_attributes(self) -> Sequence[Any]:
        return self._prepared.get_attributes()

    def get_statusmsg(self) -> str | None:
        return self._prepared.get_statusmsg()

    async def fetch(self, *args: Any) -> list[Any]:
        with self._asking():
            return await self._prepared.fetch(*self._fit(args))

    async def executemany(self, rows: Iterable[Sequence[Any]]) -> None:
        with self._asking():
            await self._prepared.executemany([self._fit(row) for row in rows])

    async def cursor(self, *args: Any) -> "_Cursor":
        with self._asking():
            return _Cursor(await self._prepared.cursor(*self._fit(args)), self._asking)

    def _fit(self, args: Sequence[Any]) -> Sequence[Any]:
        """What SQLAlchemy gives for JSON is text, of which our connections would make a JSON string."""
        if not self._json:
            return args
        fit = list(args)
        for place in self._json:
            fit[place] = _as_written(fit[place])
        return fit


def _as_written(value: Any) -> Any:
    if isinstance(value, str):
        return orjson.Fragment(value)
    return [_as_written(each) for each in value] if isinstance(value, list | tuple) else value


class _Cursor:
    """A server's cursor, for results that are streamed."""

    def __init__(self, cursor: "asyncpg.cursor.Cursor[Any]", asking: Asking) -> None:
        self._cursor = cursor
        self._asking = asking

    async def fetch(self, size: int) -> list[Any]:
        with self._asking():
            return await self._cursor.fetch(size)


def refuse_options() -> None:
    """Raises ScopeBroken: the transaction that a session is in was begun before."""
    raise ScopeBroken(
        "session(ctx) has no isolation level, autocommit, readonly or deferrable of its own: it is in the "
        "transaction of ctx.db",
        hint="leave the option out; `for update` keeps a row from others",
    )
