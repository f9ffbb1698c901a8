"""What a handler or a job asked for, and whether it began to await it: what nobody awaits is never done."""

import inspect
from collections.abc import Coroutine
from typing import Any, TypeVar

from reactor.errors import ReactorError

T = TypeVar("T")

#: So many at least are kept until those that have begun are left out.
_KEPT = 16


class Unawaited:
    """The coroutines that a context gave out. Those that have begun are forgotten in time."""

    __slots__ = ("_most", "_work")

    def __init__(self) -> None:
        self._work: list[tuple[str, Coroutine[Any, Any, Any]]] = []
        self._most = _KEPT

    def note(self, name: str, work: Coroutine[Any, Any, T]) -> Coroutine[Any, Any, T]:
        """``work``, which somebody asked for by calling ``name``."""
        if len(self._work) >= self._most:
            self._work = self._unbegun()
            self._most = 2 * len(self._work) + _KEPT
        self._work.append((name, work))
        return work

    def refuse(self, who: str) -> None:
        """Raises ReactorError when something has not begun by now: it would be left out, and acknowledged."""
        for name, _ in self._unbegun():
            raise ReactorError(
                f"{who} did not await {name}, so its work is not done", hint="write `await` before it"
            )

    def _unbegun(self) -> list[tuple[str, Coroutine[Any, Any, Any]]]:
        return [
            (name, work)
            for name, work in self._work
            if inspect.getcoroutinestate(work) == inspect.CORO_CREATED
        ]
