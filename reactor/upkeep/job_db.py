"""A periodic job's ``ctx.db``: the driver's own connection, which remembers what was asked of it."""

import inspect
from collections.abc import Callable
from typing import Any

from reactor.db.borrow import Borrowed
from reactor.unawaited import Unawaited


class JobDb(Borrowed):
    """All that a connection of a pool can do, and is one to ``isinstance``. Whoever lent it takes it back."""

    __slots__ = ("_lent", "_unawaited")

    def __init__(self, lent: Borrowed, unawaited: Unawaited) -> None:
        # Not the driver's: a connection has one proxy at a time, and that is what was lent.
        self._lent = lent
        self._unawaited = unawaited

    def __getattribute__(self, name: str) -> Any:
        if name.startswith("_"):
            return object.__getattribute__(self, name)
        found = getattr(self._lent, name)
        return self._remembered(name, found) if callable(found) else found

    def __getattr__(self, name: str) -> Any:
        # The driver's own would look into what its constructor sets.
        return getattr(self._lent, name)

    def _remembered(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def ask(*args: Any, **kwargs: Any) -> Any:
            asked = call(*args, **kwargs)
            if inspect.iscoroutine(asked):
                return self._unawaited.note(f"ctx.db.{name}()", asked)
            return asked

        return ask
