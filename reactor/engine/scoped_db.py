"""``ctx.db``: what a handler holds of its run's scope, for as long as it runs."""

from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from typing import Any, TypeVar

import asyncpg

from reactor.context import TenantDb
from reactor.engine.forbidden import forbidden_statement
from reactor.engine.scope import Connection, Scope
from reactor.errors import ScopeBroken
from reactor.unawaited import Unawaited

T = TypeVar("T")

_BLOCK = "ctx.db.transaction()"


def refuse_late(handler: str, _unawaited: Unawaited | None = None) -> TenantDb:
    """``ctx.db`` once the handler returned. Raises ScopeBroken: a task that it left behind must not write
    into another's transaction, or open one that nobody ends."""
    raise ScopeBroken(
        f"handler {handler} used ctx.db after it returned",
        hint="await everything that the handler starts",
    )


class ScopedDb:
    """``ctx.db``: asyncpg's calls in the tenant's scope."""

    __slots__ = ("_closed", "_unawaited", "handler", "scope")

    def __init__(self, scope: Scope, handler: str, unawaited: Unawaited) -> None:
        self.scope = scope
        self._unawaited = unawaited
        self.handler = scope.handler = handler
        self._closed = False

    @property
    def is_closed(self) -> bool:
        return self._closed

    def close(self) -> None:
        """The handler returned."""
        self._closed = True

    def check_open(self) -> None:
        """Raises ScopeBroken once the handler returned."""
        if self._closed:
            refuse_late(self.handler)

    async def lend(self, query: str) -> Connection:
        """The scope's connection, for ``query``. Raises ScopeBroken when the handler may not run that."""
        self.check_open()
        forbidden = forbidden_statement(query)
        if forbidden is not None:
            raise ScopeBroken(
                f"handler {self.handler} may not run {forbidden!r} through ctx.db: "
                "the transaction commits together with the acknowledgement, "
                "and its tenant and session are the reactor's",
                hint="use ctx.db.transaction() for a savepoint, ctx.checkpoint() to commit early",
            )
        connection = await self.scope.use(self.check_open)
        self.check_open()
        return connection

    def _ask(
        self, name: str, query: str, step: Callable[[Connection], Awaitable[T]]
    ) -> Coroutine[Any, Any, T]:
        return self.note(f"ctx.db.{name}()", self._carry_out(query, step))

    async def _carry_out(self, query: str, step: Callable[[Connection], Awaitable[T]]) -> T:
        connection = await self.lend(query)
        with self.scope.asking():
            return await step(connection)

    def execute(self, query: str, *args: Any, timeout: float | None = None) -> Coroutine[Any, Any, str]:
        return self._ask("execute", query, lambda on: on.execute(query, *args, timeout=timeout))

    def executemany(
        self, command: str, args: Iterable[Sequence[Any]], *, timeout: float | None = None
    ) -> Coroutine[Any, Any, None]:
        return self._ask("executemany", command, lambda on: on.executemany(command, args, timeout=timeout))

    def fetch(
        self, query: str, *args: Any, timeout: float | None = None
    ) -> Coroutine[Any, Any, list[asyncpg.Record]]:
        return self._ask("fetch", query, lambda on: on.fetch(query, *args, timeout=timeout))

    def fetchrow(
        self, query: str, *args: Any, timeout: float | None = None
    ) -> Coroutine[Any, Any, asyncpg.Record | None]:
        return self._ask("fetchrow", query, lambda on: on.fetchrow(query, *args, timeout=timeout))

    def fetchval(
        self, query: str, *args: Any, column: int = 0, timeout: float | None = None
    ) -> Coroutine[Any, Any, Any]:
        return self._ask(
            "fetchval", query, lambda on: on.fetchval(query, *args, column=column, timeout=timeout)
        )

    def transaction(self) -> "Savepoint":
        """A savepoint: what happens in the block is undone when it raises."""
        return Savepoint(self, self.scope)

    def note(self, name: str, work: Coroutine[Any, Any, T]) -> Coroutine[Any, Any, T]:
        """``work``, which fails the handler when it returns before that has ended."""
        return self._unawaited.note(name, work)


class Savepoint:
    """``async with ctx.db.transaction():``; no generator, which would speak once more when collected."""

    __slots__ = ("_connection", "_db", "_name", "_scope")

    def __init__(self, db: ScopedDb, scope: Scope) -> None:
        self._db = db
        self._scope = scope
        self._name = ""
        self._connection: Connection | None = None

    def __aenter__(self) -> Coroutine[Any, Any, None]:
        return self._db.note(_BLOCK, self._enter())

    async def _enter(self) -> None:
        self._connection = await self._db.lend("savepoint")
        self._name = f"reactor_handler_{len(self._scope.opened) + 1}"
        await self._connection.execute(f"savepoint {self._name}")
        self._scope.opened.append(_BLOCK)

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        connection = self._connection
        assert connection is not None
        if self._db.is_closed:
            # The handler did not wait for it: by now the transaction is the next one's.
            return
        undo = f"rollback to savepoint {self._name}; " if kind is not None else ""
        try:
            await connection.execute(f"{undo}release savepoint {self._name}")
        finally:
            self._scope.close()
