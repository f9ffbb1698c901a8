"""``session(ctx)``: SQLAlchemy's AsyncSession in a handler's transaction, or in a periodic job's."""

import inspect
from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from functools import cache, partial
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

from sqlalchemy.ext.asyncio import AsyncSession

from reactor.context import Context
from reactor.engine.scoped_db import ScopedDb
from reactor.sqlalchemy.dialect import engine_over
from reactor.sqlalchemy.driver import Driver, TenantDriver
from reactor.unawaited import Unawaited

if TYPE_CHECKING:
    from reactor.upkeep.schedule import JobContext

S = TypeVar("S", bound=AsyncSession)
Note = Callable[[str, Coroutine[Any, Any, Any]], Coroutine[Any, Any, Any]]

_BLOCK = "session(ctx)"


@overload
def session(
    ctx: "Context | JobContext", *, class_: type[S], **options: Any
) -> AbstractAsyncContextManager[S]: ...
@overload
def session(ctx: "Context | JobContext", **options: Any) -> AbstractAsyncContextManager[AsyncSession]: ...
def session(
    ctx: "Context | JobContext", *, class_: type[Any] = AsyncSession, **options: Any
) -> AbstractAsyncContextManager[Any]:
    """An AsyncSession in the transaction of ``ctx.db``, for an ``async with`` block.

    Leaving the block commits the session's transaction, an exception undoes it; it is a savepoint of the
    handler's, so what the session wrote is final with the acknowledgement. So are ``commit()`` and
    ``rollback()`` within the block. ``class_``: a subclass of AsyncSession. ``options``: what it takes
    besides ``bind``; ``expire_on_commit`` is False unless they say so.
    """
    return _Block(ctx, class_, {"expire_on_commit": False, **options})


class _Block(Generic[S]):
    """No generator, which would speak once more when collected."""

    __slots__ = ("_class", "_ctx", "_db", "_driver", "_options", "_session")

    def __init__(self, ctx: "Context | JobContext", class_: Any, options: dict[str, Any]) -> None:
        self._ctx = ctx
        self._class = class_
        self._options = options
        self._db: ScopedDb | None = None
        self._driver: Driver | None = None
        self._session: S | None = None

    async def __aenter__(self) -> S:
        db: object = self._ctx.db
        unawaited: Unawaited | None = None if isinstance(self._ctx, Context) else self._ctx.unawaited
        note: Note | None = unawaited.note if unawaited is not None else None
        if isinstance(db, ScopedDb):
            db.check_open()
            self._db, note = db, db.note
            self._driver = TenantDriver(db)
        else:
            self._driver = Driver(db)
        made: S = _noting(self._class)(bind=engine_over(self._driver), **self._options)
        made.__dict__["_reactor_note"] = note
        if self._db is not None:
            self._db.scope.opened.append(_BLOCK)
        self._session = made
        return made

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        made, driver, db = self._session, self._driver, self._db
        assert made is not None
        assert driver is not None
        try:
            if kind is None:
                await made.commit()
        finally:
            try:
                await made.close()
            finally:
                try:
                    # A wait that was cancelled costs SQLAlchemy its connection, and so its rollback.
                    await driver.end()
                finally:
                    if db is not None and not db.is_closed:
                        db.scope.close()


class _Noting(AsyncSession):
    """Remembers what was asked of it: a ``db.delete(row)`` that nobody awaits would be left out."""

    def __getattribute__(self, name: str) -> Any:
        found = super().__getattribute__(name)
        if not name.startswith("_") and inspect.iscoroutinefunction(found):
            note: Note | None = self.__dict__.get("_reactor_note")
            if note is not None:
                return partial(_noted, note, f"session.{name}()", found)
        return found


def _noted(
    note: Note, name: str, ask: Callable[..., Coroutine[Any, Any, Any]], *args: Any, **kwargs: Any
) -> Coroutine[Any, Any, Any]:
    return note(name, ask(*args, **kwargs))


@cache
def _noting(class_: Any) -> Any:
    return type(class_.__name__, (_Noting, class_), {"__doc__": class_.__doc__})
