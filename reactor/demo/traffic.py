"""The traffic of an application: a clerk's acts at random moments, for busy tenants more often than for quiet
ones."""

import asyncio
from collections.abc import Awaitable, Callable
from random import Random

import asyncpg

from reactor.db.calls import Connection
from reactor.db.pool import Pool
from reactor.demo.clerk import Clerk, Done
from reactor.demo.desks import Desk
from reactor.demo.latency import Tracker

#: Acts at the same time, at most.
WRITERS = 6

Act = Callable[[Connection, Desk], Awaitable[Done | None]]


class Traffic:
    """Acts on average ``rate`` times a second, until it is stopped.

    With ``raising`` clients that ran out of credit get more. An order that is judged at that very moment may
    still meet the old limit, which nobody can prove afterwards: so not where verdicts are checked.
    """

    def __init__(
        self,
        pool: Pool,
        desks: list[Desk],
        tracker: Tracker,
        rng: Random,
        *,
        rate: float,
        raising: bool,
    ) -> None:
        self._pool = pool
        self._desks = desks
        self._tracker = tracker
        self._rng = rng
        self._rate = rate
        self._stopping = asyncio.Event()
        #: what was done, by name; and acts that the database refused
        self.done: dict[str, int] = {}
        self.refused: list[str] = []
        clerk = Clerk(rng)
        self._acts: dict[Act, int] = {
            clerk.order: 62,
            clerk.import_orders: 2,
            clerk.correct: 12,
            clerk.raise_credit: 1 if raising else 0,
            clerk.touch: 8,
            clerk.promise: 6,
            clerk.alert: 6,
            clerk.acknowledge: 3,
        }

    def stop(self) -> None:
        """No new act begins; :meth:`run` returns when the last one ended."""
        self._stopping.set()

    async def run(self) -> None:
        """Until stopped. Acts begin at the moments of a Poisson process, also while others are under way."""
        clock = asyncio.get_running_loop().time
        free = asyncio.Semaphore(WRITERS)
        due = clock()
        async with asyncio.TaskGroup() as group:
            while not self._stopping.is_set():
                due += self._rng.expovariate(self._rate)
                try:
                    async with asyncio.timeout(max(0.0, due - clock())):
                        await self._stopping.wait()
                except TimeoutError:
                    await free.acquire()
                    act = self._rng.choices(list(self._acts), weights=list(self._acts.values()))[0]
                    desk = self._rng.choices(self._desks, weights=[desk.orders + 1 for desk in self._desks])[
                        0
                    ]
                    group.create_task(self._act(act, desk, free), name="application")

    async def _act(self, act: Act, desk: Desk, free: asyncio.Semaphore) -> None:
        floor = self._tracker.floor
        try:
            async with self._pool.acquire() as connection:
                done = await act(connection, desk)
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            self.refused.append(str(error))
        else:
            if done is not None:
                self.done[done.what] = self.done.get(done.what, 0) + 1
                for write in done.writes if desk.open else ():
                    self._tracker.note(write, floor)
        finally:
            free.release()
