"""What a handler or a job asked for, and whether that ended: what nobody awaits is never done."""

import inspect
from collections.abc import Coroutine
from typing import Any, TypeVar

from reactor.errors import ReactorError

T = TypeVar("T")

#: So many at least are kept until those that have ended are left out.
_KEPT = 16


class Unawaited:
    """The coroutines that a context gave out. Those that have ended are forgotten in time."""

    __slots__ = ("_most", "_work")

    def __init__(self) -> None:
        self._work: list[tuple[str, Coroutine[Any, Any, Any]]] = []
        self._most = _KEPT

    def note(self, name: str, work: Coroutine[Any, Any, T]) -> Coroutine[Any, Any, T]:
        """``work``, which somebody asked for by calling ``name``."""
        if len(self._work) >= self._most:
            self._work = self._unended()
            self._most = 2 * len(self._work) + _KEPT
        self._work.append((name, work))
        return work

    def refuse(self, who: str) -> None:
        """Raises ReactorError when something has not ended by now: it would be left out, and acknowledged."""
        for name, work in self._unended():
            if inspect.getcoroutinestate(work) == inspect.CORO_CREATED:
                raise ReactorError(
                    f"{who} did not await {name}, so its work is not done", hint="write `await` before it"
                )
            # Somebody began it, most likely a task that nobody waits for.
            raise ReactorError(
                f"{who} returned before {name} had ended, so its work is not done",
                hint="await everything that the handler starts: a task, asyncio.gather(), what timed out",
            )

    def _unended(self) -> list[tuple[str, Coroutine[Any, Any, Any]]]:
        return [
            (name, work)
            for name, work in self._work
            if inspect.getcoroutinestate(work) != inspect.CORO_CLOSED
        ]
