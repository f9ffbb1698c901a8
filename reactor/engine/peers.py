"""Knows what other replicas handle and this one does not, as the newer ones do in a rolling deploy."""

import asyncio
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import asyncpg

from reactor.db import calls
from reactor.db.borrow import LOST, borrow

if TYPE_CHECKING:
    Pool = asyncpg.Pool[asyncpg.Record]
else:
    Pool = asyncpg.Pool

#: For so many seconds an answer is good: that nobody handles it, that somebody does.
_GOOD_FOR = (1.0, 5.0)


class Peers:
    """Asked about event types for which this replica has no handler. ``look``: a claim may find more now."""

    def __init__(self, pool: Pool, look: Callable[[], None]) -> None:
        self._pool = pool
        self._look = look
        self._answers: dict[str, bool] = {}
        #: loop times from which they are good no more
        self._until: dict[str, float] = {}

    async def handle(self, event_type: str) -> bool:
        """Whether a live replica does. Where that cannot be asked: perhaps, since an event that is dead for
        want of a handler stays dead."""
        self._forget()
        answer = self._answers.get(event_type)
        if answer is None:
            try:
                async with borrow(self._pool) as connection:
                    answer = await calls.is_handled(connection, event_type)
            except LOST:
                answer = True
            loop = asyncio.get_running_loop()
            self._answers[event_type] = answer
            self._until[event_type] = until = loop.time() + _GOOD_FOR[answer]
            if answer:
                # Whoever handles it may be gone by then, and nothing rings for that.
                loop.call_at(until + 0.01, self._look)
        return answer

    def withheld(self, free: Mapping[str, int]) -> Mapping[str, int]:
        """What a claim is told of capped types, and that none may begin here with one of those that others
        handle: else the tenants that are this replica's by their hash would come back to it each time."""
        if not self._answers:
            return free
        self._forget()
        return {**free, **{kind: 0 for kind, answer in self._answers.items() if answer}}

    def _forget(self) -> None:
        # Types are any text of the application's.
        now = asyncio.get_running_loop().time()
        for kind in [kind for kind, until in self._until.items() if until <= now]:
            del self._answers[kind], self._until[kind]
