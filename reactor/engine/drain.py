"""The orderly end of a replica: it claims no more, finishes or hands over what is in flight, and releases.

All of it together has the drain's seconds, and those below after them. Who has not ended by then (a handler
or a job that swallows its cancellation, or waits for a thread) is left behind: its connection is cut and its
lease given back, so it can commit nothing, and what it was doing is done again elsewhere.
"""

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import anyio
import asyncpg
import structlog
from anyio.abc import TaskGroup, TaskStatus

from reactor.bell import Bell
from reactor.db import calls
from reactor.db.borrow import LOST, borrow
from reactor.engine.dispatcher import Dispatcher
from reactor.engine.settler import Settler
from reactor.frames import where_suspended
from reactor.telemetry import names

if TYPE_CHECKING:
    Pool = asyncpg.Pool[asyncpg.Record]
else:
    Pool = asyncpg.Pool

log = structlog.get_logger("reactor.drain")

#: Seconds that cancelled handlers have to clean up, and then the server to take us off its list.
_CLEAN_UP = 2.0
#: … and where somebody is in a hurry, who then waits a second for all of it.
_HURRIED = 0.3
_FAREWELL = 1.5
#: Longer than any drain, in seconds.
_FOR_EVER = 2 * 3600.0
#: A drain that began so many seconds more than its own ago is over; less than five, because Kubernetes kills
#: 30 s after the signal, of which a drain has 25.
AFTERWARDS = _CLEAN_UP + _FAREWELL + 0.5


class UntilDrain:
    """Tasks that are cancelled when the drain begins, and that need not end with it."""

    group: TaskGroup

    def __init__(self) -> None:
        self.ended = asyncio.Event()

    @classmethod
    async def within(cls, group: TaskGroup) -> "UntilDrain":
        """Ready for tasks; what they raise is raised in ``group``."""
        begun = cls()
        await group.start(begun._run, name="until the drain")
        return begun

    async def _run(self, *, task_status: TaskStatus[None]) -> None:
        try:
            async with anyio.create_task_group() as self.group:
                task_status.started()
                await anyio.sleep_forever()
        finally:
            self.ended.set()


@dataclass(frozen=True, slots=True)
class Drain:
    """One replica's; its seconds count from :meth:`run`."""

    own: Pool
    handlers: Pool
    settler: Settler
    dispatcher: Dispatcher
    #: the claimer and its like; and the leader, whose jobs nobody waits for before the rest begins
    claiming: UntilDrain
    leading: UntilDrain
    #: rings whenever a tenant is let go
    bell: Bell
    replica: str
    process: str
    #: set when nobody wants to wait any longer
    hurry: asyncio.Event

    async def run(self, seconds: float) -> None:
        """What waits for a slot is given back at once; what runs may finish within so many ``seconds``."""
        until = asyncio.get_running_loop().time() + seconds
        self.settler.until = until + _CLEAN_UP
        patience, clean_up = anyio.CancelScope(deadline=until), anyio.CancelScope(deadline=until + _CLEAN_UP)
        self.claiming.group.cancel_scope.cancel()
        self.leading.group.cancel_scope.cancel()
        async with anyio.create_task_group() as group:
            given_back = asyncio.Event()
            group.start_soon(self._give_back, given_back, name="give back")
            group.start_soon(self._pass_on, name="pass on")
            group.start_soon(self._cut_down, patience, clean_up, name="cut down")
            with patience:
                await self._finish(given_back)
            self._cut_short()
            with clean_up:
                await self._finish(given_back)
            group.cancel_scope.cancel()
        answered = True
        try:
            async with asyncio.timeout(_FAREWELL):
                await self._leave_behind()
                async with borrow(self.own) as connection:
                    await calls.retire(connection, self.replica, self.process)
        except LOST as error:
            answered = False
            log.warning(names.HEARTBEAT_FAILED, error=str(error) or type(error).__name__)
        ended = self.claiming.ended.is_set() and self.leading.ended.is_set()
        if self.dispatcher.active or not ended or not answered:
            # Whatever they still do, they do without a connection. And nobody takes leave of a server that is
            # silent: it would last until the process is ended hard.
            self.own.terminate()
            self.handlers.terminate()

    async def _cut_down(self, patience: anyio.CancelScope, clean_up: anyio.CancelScope) -> None:
        await self.hurry.wait()
        now = asyncio.get_running_loop().time()
        self.settler.until = min(self.settler.until, now + _HURRIED)
        clean_up.deadline = min(clean_up.deadline, now + _HURRIED)
        patience.cancel()

    def _cut_short(self) -> None:
        """Named here, because it cannot be later: who waits for a thread ends, and leaves it a thread."""
        for run in self.dispatcher.active:
            if run.task is None:
                continue
            if run.calling_since:
                log.warning(names.RUN_CUT_SHORT, **run.described, where=where_suspended(run.task))
            run.stopped = True
            run.task.cancel()

    async def _give_back(self, done: asyncio.Event) -> None:
        """Runs that have not begun, then those that a claim brought which was on its way."""
        await self._abandon_waiting()
        await self.claiming.ended.wait()
        await self._abandon_waiting()
        done.set()

    async def _pass_on(self) -> None:
        """What came for a tenant that was held here rang when nobody could take it, and nobody here looks."""
        await self.claiming.ended.wait()
        while True:
            await self.bell.wait(_FOR_EVER)
            with suppress(*LOST):
                async with borrow(self.own) as connection:
                    await calls.ring(connection)

    async def _abandon_waiting(self) -> None:
        waiting = self.dispatcher.take_waiting(0)
        if waiting:
            await self.settler.abandon(waiting, interrupted=False, reason=None)

    async def _finish(self, given_back: asyncio.Event) -> None:
        await given_back.wait()
        while self.dispatcher.active:
            self.dispatcher.freed.clear()
            await self.dispatcher.freed.wait()
        while self.settler.settling:
            self.settler.settled.clear()
            await self.settler.settled.wait()
        await self.leading.ended.wait()

    async def _leave_behind(self) -> None:
        """Nothing ends a task that will not: what can be taken from it is its connection and its lease."""
        left = [*self.settler.settling]
        for run in self.dispatcher.active:
            if run.calling_since and run.task is not None:
                log.error(names.RUN_LEFT_BEHIND, **run.described, where=where_suspended(run.task))
            if not run.lost:
                left.append(run)
            run.lost = True
            if run.scope is not None:
                run.scope.terminate()
        if not self.leading.ended.is_set():
            for task in asyncio.all_tasks():
                kind, _, job = task.get_name().partition(" ")
                if kind == "job":
                    log.error(names.JOB_LEFT_BEHIND, job=job, where=where_suspended(task))
        if left:
            # A settlement that is on its way may be committed before this, or is refused after it.
            await self.settler.abandon(left, interrupted=True, reason="the replica stopped")
