"""Caps: ``concurrency=`` of a handler, so many tenants at once in a replica.

A tenant whose turn is a type without room waits in the outbox, not in a slot: the claim leaves it out, so
that other tenants' events go on. What was claimed before the room was gone is given back at its turn.
"""

import asyncio
from collections import Counter
from collections.abc import Iterable

from reactor.engine.run import Run
from reactor.handlers import HandlerSet


class Caps:
    """Owned by the replica; the runner takes and gives back places, the claimer asks what is free."""

    def __init__(self, handlers: HandlerSet) -> None:
        #: by event type; what has none is not in it
        self.limits: dict[str, int] = {}
        for kind, subscriptions in handlers.by_type.items():
            limits = [s.concurrency for s in subscriptions if s.concurrency is not None]
            if limits:
                # They handle an event one after the other, so the smallest is all of theirs.
                self.limits[kind] = min(limits)
        self._taken: Counter[str] = Counter()
        self._freed = asyncio.Event()

    def take(self, kind: str) -> bool:
        """Whether there was a place; the caller gives it back."""
        if kind in self.limits:
            if self._taken[kind] >= self.limits[kind]:
                return False
            self._taken[kind] += 1
        return True

    async def wait(self, kind: str) -> None:
        """Take a place, as soon as there is one."""
        while not self.take(kind):
            self._freed.clear()
            await self._freed.wait()

    def give_back(self, kind: str) -> None:
        if kind in self.limits:
            self._taken[kind] -= 1
            self._freed.set()

    def free(self, waiting: Iterable[Run]) -> dict[str, int]:
        """How many more tenants may begin with each capped type, besides those that wait for a slot here."""
        if not self.limits:
            return {}
        ahead = Counter(run.rows[0]["event_type"] for run in waiting)
        return {kind: max(0, limit - self._taken[kind] - ahead[kind]) for kind, limit in self.limits.items()}
