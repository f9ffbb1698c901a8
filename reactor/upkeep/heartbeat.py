"""The heartbeat: extends the leases of this replica's runs, and hears who else lives.

A run that lost its lease is cancelled: nothing of it could be committed any more.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from datetime import timedelta
from typing import Generic, Protocol, TypeVar
from uuid import UUID

import anyio
import structlog

from reactor.db import calls
from reactor.db.borrow import LOST, borrow
from reactor.db.pool import Pool
from reactor.telemetry import names

log = structlog.get_logger("reactor.heartbeat")

#: Heartbeats in a lease, and leases of silence after which peers take a replica for dead.
BEATS = 3
PATIENCE = 1.5
#: Seconds that one beat may take.
_PATIENCE = 3.0


class Held(Protocol):
    """A lease that this replica holds."""

    @property
    def tenant_id(self) -> UUID: ...
    @property
    def run_id(self) -> UUID: ...
    @property
    def lost(self) -> bool: ...


R = TypeVar("R", bound=Held)


class Heartbeat(Generic[R]):
    """Started by the engine; beats through the drain, until the last run is settled."""

    def __init__(
        self,
        *,
        pool: Pool,
        handlers: Pool,
        replica: str,
        process: str,
        lease: timedelta,
        runs: Callable[[], Iterable[R]],
        lost: Callable[[R], None],
        enlist: Callable[[], Awaitable[None]],
    ) -> None:
        self._pool = pool
        self._handlers = handlers
        self._replica = replica
        self._process = process
        self._lease = lease
        self._runs = runs
        self._lost = lost
        self._enlist = enlist
        self.peers: list[str] = [replica]
        #: whether the server answered the last one
        self.answered = False

    async def run(self) -> None:
        pause = rest = self._lease.total_seconds() / BEATS
        while True:
            await anyio.sleep(pause * random.uniform(0.9, 1.0))
            # After a failed one soon again: the next connection may be a better one.
            pause = rest if await self.beat() else min(1.0, rest / 2)

    async def beat(self) -> bool:
        """Whether the server heard it."""
        runs = {run.run_id: run for run in self._runs() if not run.lost}
        try:
            async with asyncio.timeout(min(_PATIENCE, self._lease.total_seconds() / BEATS)):
                async with borrow(self._pool) as connection:
                    lost, peers = await calls.beat(
                        connection,
                        self._replica,
                        [run.tenant_id for run in runs.values()],
                        list(runs),
                        lease=self._lease,
                        patience=self._lease * PATIENCE,
                        process=self._process,
                    )
        except LOST as error:
            log.warning(names.HEARTBEAT_FAILED, error=str(error) or type(error).__name__)
            self.answered = False
            if isinstance(error, TimeoutError):
                # All go the same way: the next handler would wait on one until that is given up as well.
                await self._pool.expire_connections()
                await self._handlers.expire_connections()
            return False
        self.answered = True
        self.peers = peers
        self._cancel(lost, runs)
        if self._replica not in peers:
            # Cut off for so long that the leader retired us: back into the fleet, now or at the next beat. If
            # another process took our name meanwhile, that drains us.
            with suppress(*LOST):
                await self._enlist()
        return True

    def _cancel(self, lost: set[UUID], runs: dict[UUID, R]) -> None:
        still = {run.run_id for run in self._runs()}
        for run_id in lost & still:
            self._lost(runs[run_id])
