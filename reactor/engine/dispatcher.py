"""Hands claimed runs to workers: as many tenants at once as REACTOR_CONCURRENCY says.

Runs that were claimed ahead wait in a queue. When handlers turn out slow, those that waited for a second are
given back, so that another replica with a free slot can take them.
"""

import asyncio
import math
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from contextvars import copy_context
from uuid import UUID
from weakref import WeakSet

import anyio
import structlog
from anyio.abc import TaskGroup
from structlog.contextvars import bind_contextvars, clear_contextvars, get_contextvars

from reactor.engine.run import Rows, Run, rows_by_run
from reactor.telemetry import metrics, names

log = structlog.get_logger("reactor.dispatcher")

#: How far ahead to claim, in seconds of work, and at most how many tenants.
_AHEAD = 0.1
_MOST_AHEAD = 1000
#: … and how many in one claim: while it runs, the others are handled.
_MOST_AT_ONCE = 500
#: … of events about so many, which takes a hundredth of a second.
_EVENTS_AT_ONCE = 3000
#: Events that one claim may bring, about: memory must not grow with the backlog.
_MOST_EVENTS = 10_000
_LONGEST_WAIT = 1.0
#: How long to claim nothing because handlers get no connection, in seconds: at first, and at most.
_FIRST_PAUSE = 0.2
_LONGEST_PAUSE = 5.0
#: Seconds since another tenant was here as well until one is alone.
_ALONE_AFTER = 1.0

_HINT = (
    "a handler cancelled its own task, or left a timer that does: asyncio.timeout() or a scope of anyio's in "
    "an unclosed generator; another task takes its place"
)

#: One for each database that this process works for.
_dispatchers: WeakSet["Dispatcher"] = WeakSet()
# Counted when somebody asks: nothing waits for it before a handler begins.
metrics.RUNS_ACTIVE.set_function(lambda: sum(len(dispatcher.held()) for dispatcher in _dispatchers))


class Dispatcher:
    """Owned by the engine; ``work`` is the runner's."""

    def __init__(
        self, *, slots: int, work: Callable[[Run], Awaitable[None]], settling: Callable[[], int]
    ) -> None:
        self._slots = slots
        self._work = work
        self._settling = settling
        self._queue: deque[Run] = deque()
        #: one permit for each run of the queue: it wakes as many workers as there is work for
        self._arrived = asyncio.Semaphore(0)
        #: set whenever a run ended
        self.freed = asyncio.Event()
        self.active: set[Run] = set()
        self.draining = False
        self._rate = 0.0
        self._rated_at = 0.0
        #: when there was work again after a tenth of a second without, and how many runs have ended since
        self._busy_since = 0.0
        self._ended = 0
        #: events of a tenant in the last claim
        self._mean = 1.0
        self._crowded_at = -_ALONE_AFTER
        #: handlers got no connection: until when nothing is claimed, and for how long that was
        self._paused_until = self._pause = 0.0
        _dispatchers.add(self)

    @property
    def room(self) -> int:
        """How many tenants may be claimed now: the free slots, and ahead as fast as runs have been ending."""
        if self.draining or self._settling() >= 2 * _MOST_AHEAD or self.is_paused:
            return 0
        ahead = self._ahead
        room = self._slots + ahead - len(self.active) - len(self._queue)
        # Many small runs are claimed by the hundred, not each time a single one ends; of large ones so few
        # that those in hand are not done before the claim is.
        at_once = max(self._slots, min(_MOST_AT_ONCE, int(_EVENTS_AT_ONCE / self._mean)))
        return min(room, at_once) if room > ahead // 2 else 0

    @property
    def is_paused(self) -> bool:
        """Whether what is claimed now could not be handled, as far as is known."""
        return asyncio.get_running_loop().time() < self._paused_until

    def pause(self) -> None:
        """Handlers got no connection: what waits is better claimed by another replica, or later."""
        metrics.RUNS_WITHOUT_CONNECTION.inc()
        now = asyncio.get_running_loop().time()
        if now >= self._paused_until:
            known = self.is_starved
            again = now - self._paused_until < 2 * _LONGEST_PAUSE
            self._pause = min(2 * self._pause, _LONGEST_PAUSE) if again and self._pause else _FIRST_PAUSE
            self._paused_until = now + self._pause
            if self.is_starved and not known:
                log.error(
                    names.HANDLERS_STARVED,
                    hint="raise max_connections, or the limit of the role or the database, or lower "
                    "REACTOR_CONCURRENCY; `reactor doctor` counts. Until then events wait, or go slowly",
                )

    @property
    def is_starved(self) -> bool:
        """Whether handlers get connections too seldom: more than once in a row there was none, lately."""
        since = asyncio.get_running_loop().time() - self._paused_until
        return self._pause > _FIRST_PAUSE and since < 2 * _LONGEST_PAUSE

    @property
    def _ahead(self) -> int:
        # What began less than a tenth of a second ago has a mean of that much too little.
        seen = min(1.0, max(self._rated_at - self._busy_since, 1e-6) / _AHEAD)
        # A quick one says little about the next: no more than have ended since there was work again.
        return min(_MOST_AHEAD, self._ended, int(self._rate * _AHEAD / seen))

    @property
    def has_spare(self) -> bool:
        """Whether a tenant with more work may go on: nobody here waits for its slot."""
        return not self._queue and len(self.active) < self._slots

    @property
    def has_one(self) -> bool:
        """Whether one tenant has had this replica to itself for a while."""
        return asyncio.get_running_loop().time() - self._crowded_at > _ALONE_AFTER

    @property
    def is_idle(self) -> bool:
        return not self.active and not self._queue

    @property
    def waiting(self) -> Iterable[Run]:
        """Runs that were claimed ahead and have not begun."""
        return self._queue

    def held(self) -> list[Run]:
        """All runs whose leases this replica holds."""
        return [*self.active, *self._queue]

    def suspects(self) -> list[UUID]:
        """Tenants in hand with events that were interrupted before, and may end this process."""
        return [run.tenant_id for run in self.held() if run.is_suspect]

    @staticmethod
    def share(batch: int, tenants: int) -> int:
        """How many events each of so many tenants may bring, when ``batch`` is what one may at most."""
        return max(1, min(batch, _MOST_EVENTS // max(1, tenants)))

    def start(self, rows: Rows, batch: int) -> int:
        """Take the rows of one claim, at most ``batch`` of each tenant; how many tenants it brought."""
        now = asyncio.get_running_loop().time()
        by_run = rows_by_run(rows)
        if self.is_idle and now - self._rated_at > _AHEAD:
            self._rate, self._ended = 0.0, 0
            self._rated_at = self._busy_since = now
        for run_id, own in by_run.items():
            run = Run(own[0]["tenant_id"], run_id, own, claimed_at=now, batch=batch)
            run.is_suspect = own[0]["interruptions"] > 0
            self._queue.append(run)
            self._arrived.release()
        self._mean = len(rows) / len(by_run)
        if len(self.active) + len(self._queue) > 1:
            self._crowded_at = now
        return len(by_run)

    def take_waiting(self, longer_than: float = _LONGEST_WAIT) -> list[Run]:
        """Runs that have waited too long for a slot, taken out of the queue; the caller gives them back."""
        now = asyncio.get_running_loop().time()
        late = [run for run in self._queue if now - run.claimed_at >= longer_than]
        self._queue = deque(run for run in self._queue if now - run.claimed_at < longer_than)
        return late

    async def hand_back(self, abandon: Callable[[list[Run]], Awaitable[None]]) -> None:
        """Claimed runs that wait for a slot too long go to whoever has one. Until cancelled."""
        while True:
            await asyncio.sleep(0.5)
            late = self.take_waiting()
            if late:
                await abandon(late)

    def drop(self, run: Run) -> None:
        """A waiting run lost its lease."""
        if run in self._queue:
            self._queue.remove(run)

    def start_worker(self, group: TaskGroup, name: str) -> None:
        """The engine starts one for each slot."""
        group.start_soon(self.run, name, name=f"keeper of {name}")

    async def run(self, name: str) -> None:
        """One worker, and another in its place when a handler has touched its task.

        That task is the handlers' as well: one of them may cancel it, at once or by a timer that it left
        behind, or leave a cancel scope open in it. It is not of the task group, which would end with it, and
        with it the replica: it is ours to end.
        """
        inherited = copy_context()
        while True:
            scope = anyio.CancelScope()
            worker = asyncio.create_task(self._serve(scope), name=name, context=inherited.copy())
            try:
                await asyncio.wait([worker])
            except asyncio.CancelledError:
                for run in self.active:
                    run.stopped = run.stopped or run.task is worker
                scope.cancel()
                with anyio.CancelScope(shield=True):
                    await asyncio.wait([worker])
                raise
            if not worker.cancelled():
                worker.result()
            # In a drain there is nothing left for another one.
            if self.draining:
                return

    async def _serve(self, scope: anyio.CancelScope) -> None:
        """Runs, one after the other, until ``scope`` is cancelled or a handler has touched this task."""
        run: Run | None = None
        is_touched = False
        bindings = get_contextvars()
        inherited = copy_context()
        try:
            with scope:
                try:
                    while not is_touched:
                        await self._arrived.acquire()
                        if not self._queue:
                            continue  # it was given back, or lost its lease, before its turn
                        run = self._queue.popleft()
                        await self._take_up(run)
                        # What a handler bound for its log lines would be in those of the next tenant.
                        if len(copy_context()) > len(inherited) and get_contextvars() != bindings:
                            clear_contextvars()
                            bind_contextvars(**bindings)
                        # A scope that was left open with a limit: it would cancel what others do here.
                        is_touched = anyio.current_effective_deadline() < math.inf
                except asyncio.CancelledError:
                    is_touched = True
                if is_touched and not (scope.cancel_called or self.draining):
                    handler = run.handler if run is not None else ""
                    log.warning(names.WORKER_CANCELLED, handler=handler, hint=_HINT)
        except RuntimeError:
            if not is_touched:
                raise
            # It cannot be left: a handler's scope is open in it.

    async def _take_up(self, run: Run) -> None:
        self.active.add(run)
        try:
            await self._work(run)
        finally:
            self.active.discard(run)
            self._measure(asyncio.get_running_loop().time())
            self.freed.set()

    def _measure(self, now: float) -> None:
        """Runs ended a second, smoothed over about a tenth of one."""
        gap = max(now - self._rated_at, 1e-6)
        self._rated_at = now
        self._ended += 1
        weight = min(1.0, gap / _AHEAD)
        self._rate = self._rate * (1 - weight) + weight / gap
