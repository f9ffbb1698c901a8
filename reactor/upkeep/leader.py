"""Leads, or waits to: one replica at a time runs the deadline timer and the periodic jobs.

Leadership is a row lease with a term, judged by the server's clock. Everything the leader does carries
the term, so a former leader that does not know it yet is refused by the server.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import TYPE_CHECKING

import anyio
import asyncpg
import structlog

from reactor.db import calls
from reactor.db.borrow import LOST, borrow
from reactor.errors import kind_of, text_of
from reactor.telemetry import metrics, names

if TYPE_CHECKING:
    Pool = asyncpg.Pool[asyncpg.Record]
else:
    Pool = asyncpg.Pool

log = structlog.get_logger("reactor.leader")

#: How long a leader is believed without a sign of life at most; it gives one three times as often.
_LONGEST_LEASE = timedelta(seconds=15)

#: Seconds of rest after a term that failed, at first and at most: what failed it is most likely still there,
#: and each term costs writes and lines of the log. After one that lasted for longer than that, as at first.
_REST = (0.2, 10.0)

#: Another one leads: that is how a term ends, and no failure of its duties.
_NOT_LEADER = "RX005"

#: Seconds that a leader who stops may take to say so.
_FAREWELL = 2.0


class Leader:
    """Started by the app. ``duties(term)`` runs while this replica leads, else it is cancelled."""

    def __init__(
        self,
        *,
        pool: Pool,
        replica: str,
        process: str,
        database: str,
        lease: timedelta,
        duties: Callable[[int], Awaitable[None]],
    ) -> None:
        self._pool = pool
        # A dead leader must have a successor when the leases of its runs are over, since it is the leader
        # that ends them: its own lease and the pause between two tries together are as long as theirs.
        self._lease = min(_LONGEST_LEASE, lease * 0.75)
        self._replica = replica
        self._leads = metrics.LEADER.labels(database)
        self._process = process
        self._duties = duties
        #: terms that failed soon one after the other, and how long to rest from the last one
        self._failures = 0
        self._rest = 0.0

    async def run(self) -> None:
        pause = self._lease.total_seconds() / 3
        while True:
            # A term that began while the drain did would be nobody's until it is over.
            with anyio.CancelScope(shield=True):
                term = await self._lead()
            if term is None:
                await anyio.sleep(pause * random.uniform(0.8, 1.0))
                continue
            self._leads.set(1)
            log.info(names.LEADER_ELECTED, term=term)
            try:
                async with anyio.create_task_group() as group:
                    group.start_soon(self._perform, term, group.cancel_scope, name="leader's duties")
                    await self._renew(term)
                    group.cancel_scope.cancel()
            finally:
                self._leads.set(0)
                # At a drain another replica leads at once, not when the lease is over.
                with anyio.move_on_after(_FAREWELL, shield=True):
                    await self._resign(term)
            log.warning(names.LEADER_LOST, term=term)
            rest, self._rest = self._rest, 0.0
            await anyio.sleep(rest * random.uniform(0.8, 1.0))

    async def _renew(self, term: int) -> None:
        """Returns when the lease is lost, or may be because the server cannot be asked."""
        # Two tries in a lease, and no more: an idle fleet should cost little.
        pause = self._lease.total_seconds() / 2.5
        clock = asyncio.get_running_loop().time
        good_until = clock() + self._lease.total_seconds()
        while clock() < good_until:
            await anyio.sleep(pause * random.uniform(0.9, 1.0))
            asked = clock()
            answer = await self._lead(within=max(0.1, good_until - asked))
            if answer == term:
                good_until = asked + self._lease.total_seconds()
            elif answer is not None:
                return

    async def _perform(self, term: int, reign: anyio.CancelScope) -> None:
        """The duties, until they fail: then the term ends.

        Nobody knows what became of a job that was cut short, so it is only done again under another term,
        which refuses what the first try may still be about to commit.
        """
        clock = asyncio.get_running_loop().time
        began = clock()
        try:
            await self._duties(term)
        except LOST as error:
            log.warning(names.SWEEP_FAILED, error=text_of(error) or kind_of(error))
            if isinstance(error, asyncpg.PostgresError) and error.sqlstate == _NOT_LEADER:
                self._failures = 0
            else:
                shortest, longest = _REST
                self._failures = 1 if clock() - began > longest else min(self._failures + 1, 10)
                self._rest = min(shortest * 2 ** (self._failures - 1), longest)
        failures = 0
        while not await self._resign(term):
            failures += 1
            await anyio.sleep(random.uniform(0, min(5.0, 0.05 * 2**failures)))
        reign.cancel()

    async def _resign(self, term: int) -> bool:
        try:
            async with borrow(self._pool) as connection:
                await calls.resign(connection, term)
        except LOST:
            return False
        return True

    async def _lead(self, within: float = 5.0) -> int | None:
        try:
            async with asyncio.timeout(within):
                async with borrow(self._pool) as connection:
                    return await calls.lead(connection, self._replica, self._lease, process=self._process)
        except LOST:
            return None
