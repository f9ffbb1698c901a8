"""Claims: takes leases and reads their events, whenever there is room and something may be there."""

import asyncio
import random
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from operator import itemgetter
from typing import TYPE_CHECKING
from uuid import UUID

import anyio
import asyncpg
import structlog

from reactor.bell import Bell
from reactor.db import calls
from reactor.db.borrow import LOST, borrow
from reactor.engine.dispatcher import Dispatcher
from reactor.engine.wakeup import Pace, Rest, poll_seconds
from reactor.telemetry import metrics, names

if TYPE_CHECKING:
    Pool = asyncpg.Pool[asyncpg.Record]
else:
    Pool = asyncpg.Pool

log = structlog.get_logger("reactor.claimer")

_interruptions = itemgetter("interruptions")
_tenant = itemgetter("tenant_id")
_FOUND, _VAIN = metrics.CLAIMS.labels("yes"), metrics.CLAIMS.labels("no")

#: After so many seconds of sleep the connection is tried before it is relied on: a claim would wait longer
#: for an answer, and one that did reach the server would hold leases that nobody knows of.
_TRUST = 3.0
#: How long the replica that rendezvous hashing names has a woken event to itself, in seconds.
_GRACE = 0.025
#: How often a replica without room wakes those that sleep, in seconds.
_RING_PEERS = 0.2
#: How long what waits at a start is handled before the replica does anything else, in seconds.
_HEAD_START = 0.25
#: After a claim that failed, so many are of one tenant each: it may be a tenant of which none can be made,
#: because a trigger of the application refuses its run, or because what it has does not arrive in time.
_CAREFUL = 100


class Claimer:
    """Started by the engine; ends by itself when the drain begins."""

    def __init__(
        self,
        *,
        pool: Pool,
        dispatcher: Dispatcher,
        bell: Bell,
        pace: Pace,
        replica: str,
        process: str,
        slot: Callable[[], int],
        peers: Callable[[], Sequence[str]],
        listener_healthy: Callable[[], bool],
        batch: int,
        lease: timedelta,
        poll: timedelta,
        gated: Sequence[str],
        free: Callable[[], Mapping[str, int]],
        took: Callable[[float, int], None],
    ) -> None:
        self._pool = pool
        self._dispatcher = dispatcher
        self._bell = bell
        self._pace = pace
        self._replica = replica
        self._process = process
        self._slot = slot
        self._peers = peers
        self._listener_healthy = listener_healthy
        self._batch = batch
        self._lease = lease
        self._poll = poll.total_seconds()
        self._gated = list(gated)
        self._free = free
        self._took = took
        # Replicas begin at different places, so that they do not all reach for the same tenants.
        self._after: UUID | None = UUID(int=random.getrandbits(128))
        #: the last claim left nothing behind, so it does not matter where the next one begins
        self._took_all = False
        self._rang_at = 0.0
        #: a tenant was let go here since the last look
        self._let_go = False
        self._looked = asyncio.Event()
        #: how many claims are still to be of one tenant
        self._careful = 0
        #: shielded while a claim is on its way; one for all of them, because entering a new one takes
        #: a replica that was asleep 40 µs
        self._scope = anyio.CancelScope()

    async def run(self) -> None:
        with self._scope:
            await self._run()

    async def _run(self) -> None:
        failures = 0
        while not self._dispatcher.draining:
            try:
                async with borrow(self._pool) as connection:
                    while not self._dispatcher.draining:
                        await self._turn(connection)
                        failures = 0
            except LOST as error:
                failures += 1
                self._pace.armed = False
                if self._careful:
                    await self._step_past(error)
                self._careful = _CAREFUL
                log.warning(names.CLAIM_FAILED, error=str(error) or type(error).__name__)
                await anyio.sleep(random.uniform(0, min(2.0, 0.05 * 2**failures)))

    async def head_start(self) -> None:
        """Until the first look is over and what it found is handled, or for a moment.

        A backlog has the connection that is open already, and the processor, to itself.
        """
        with anyio.move_on_after(_HEAD_START):
            await self._looked.wait()
            for _ in range(10):
                if self._dispatcher.is_idle:
                    break
                await anyio.sleep(_HEAD_START / 10)

    def released(self) -> None:
        """A tenant was let go: what came for it meanwhile rang when nobody could take it."""
        self._let_go = True
        self._bell.ring()

    async def _step_past(self, error: BaseException) -> None:
        """The next claim begins behind the tenant with which the last one failed."""
        with suppress(*LOST):
            async with borrow(self._pool) as connection:
                self._after = await calls.next_tenant(connection, self._after)
                self._took_all = False
                if self._after is not None and isinstance(error, asyncpg.ProgramLimitExceededError):
                    # Stepping past it would be for ever, and its other events wait behind that one.
                    await calls.bury_unreadable(connection, self._after, self._batch)

    async def _turn(self, connection: calls.Connection) -> None:
        room = self._dispatcher.room
        if self._careful:
            self._careful -= 1
            room = min(room, 1)
        if room <= 0:
            self._dispatcher.freed.clear()
            if self._dispatcher.room <= 0 and not self._dispatcher.draining:
                now = asyncio.get_running_loop().time()
                if len(self._peers()) > 1 and now - self._rang_at > _RING_PEERS:
                    # There may be more than we can take: whoever sleeps while we have no room is woken.
                    self._rang_at = now
                    await calls.ring(connection)
                with suppress(TimeoutError):
                    async with asyncio.timeout(0.25):
                        await self._dispatcher.freed.wait()
            return
        self._bell.clear()
        # After a look that took all there was, whoever wrote since then has rung, if the bell is armed.
        if await self._look(connection, room) and (not self._pace.hears_all or self._bell.is_ringing):
            return
        await self._rest(connection)

    async def _look(self, connection: calls.Connection, room: int, *, only_mine: bool = False) -> bool:
        peers = self._peers()
        free = self._free()
        batch = self._dispatcher.share(self._batch, room)
        clock = asyncio.get_running_loop().time
        began = clock()
        # A claim that the drain cut short would have taken leases that nobody knows of.
        self._scope.shield = True
        try:
            let_go, self._let_go = self._let_go, False
            try:
                claimed = await calls.claim(
                    connection,
                    replica=self._replica,
                    tenants=room,
                    batch=batch,
                    lease=self._lease,
                    # A look that begins at the first tenant has no second half.
                    after=None if self._took_all else self._after,
                    gated=self._gated,
                    peers=peers if only_mine and len(peers) > 1 else None,
                    free=free,
                    held=self._dispatcher.suspects(),
                )
            except BaseException:
                self._let_go |= let_go
                raise
            rows = claimed.rows
            if self._after is not None and len(rows) > 1:
                # In turn: the look went from there to the last tenant, and on from the first.
                turn = bisect_right(rows, self._after, key=_tenant)
                rows = rows[turn:] + rows[:turn]
            took = clock() - began
            found = self._dispatcher.start(rows, batch) if rows else 0
            self._looked.set()
            if found == 1:
                # Whoever wrote it waits for its handler, and nobody for the books.
                await asyncio.sleep(0)
            self._pace.passed_over(claimed.passed_over)
            (_FOUND if rows else _VAIN).inc()
            self._took(took, len(rows))
            # Not where a tenant may have more, where a cap passes some over, or where others begin too.
            self._took_all = (
                found < room and len(rows) < batch and claimed.place is None and len(peers) < 2 and not free
            )
            if let_go and len(peers) > 1 and 0 in free.values():
                # What a cap withholds here may go on elsewhere.
                await calls.ring(connection)
            if claimed.place is not None:
                self._after = claimed.place
            elif found:
                self._after = rows[-1]["tenant_id"]
            if not found:
                return False
            pause = self._pace.found(clock(), tenants=found, room=room, took=took)
            if self._pace.is_to_ask(clock()):
                waits = await calls.notifiers_wait(connection)
                self._pace.answered(clock(), they_wait=waits)
            if self._pace.busy and self._pace.armed:
                # Work comes by itself: no writer shall stand in the queue of those that notify.
                await self._arm(connection, armed=False)
        finally:
            self._scope.shield = False
        if any(map(_interruptions, rows)):
            # Their last holder may be stopped, not dead, with rows locked that its successor will want.
            await calls.cut_off(connection)
        if pause:
            await anyio.sleep(pause)
        return True

    async def _rest(self, connection: calls.Connection) -> None:
        """Nothing is left: wait as the pace says. Returns when it is time to look."""
        step, pause = self._pace.rest(asyncio.get_running_loop().time())
        match step:
            case Rest.DISARM:
                await self._arm(connection, armed=False)
                await anyio.sleep(pause)
                return
            case Rest.ARM:
                if not await self._arm_and_look(connection):
                    return
            case Rest.LOOK:
                if pause:
                    await anyio.sleep(pause)
                    return
        if self._bell.is_ringing or self._dispatcher.draining:
            return
        clock = asyncio.get_running_loop().time
        slept_at = clock()
        poll = poll_seconds(self._poll, mode=self._pace.mode, listener_healthy=self._listener_healthy)
        rang = await self._bell.wait(min(poll, self._pace.again))
        if clock() - slept_at > _TRUST:
            await calls.probe(connection)
        if rang:
            self._pace.woken()
            await self._answer(connection)
        elif self._pace.again >= poll:
            # A server that crashed behind a pooler forgets the bit, and nobody tells us: set it anew.
            self._pace.armed = False

    async def _answer(self, connection: calls.Connection) -> None:
        """The bell rang: one replica reacts at once, the others if that one does not."""
        if len(self._peers()) < 2 or self._pace.busy:
            return
        room = self._dispatcher.room
        if room > 0 and not await self._look(connection, room, only_mine=True):
            await anyio.sleep(_GRACE)

    async def _arm_and_look(self, connection: calls.Connection) -> bool:
        """Set the bit, then look until every writer that may have missed it has ended.

        True: it is safe to sleep. False: work was found, or it is time for another turn.
        """
        await self._arm(connection, armed=True)
        before = await calls.open_writers(connection)
        wait = 0.001
        while True:
            room = self._dispatcher.room
            if room <= 0 or await self._look(connection, room) or (before and await self._bell.wait(wait)):
                # Those that are open still may have missed the bell: it is armed, and they are counted, anew.
                self._pace.armed = not before
                return False
            if not before:
                return True
            wait = min(wait * 2, 0.1)
            before &= await calls.open_writers(connection)

    async def _arm(self, connection: calls.Connection, *, armed: bool) -> None:
        slot = self._slot()
        await calls.arm(connection, slot, armed=armed, process=self._process)
        # Whoever was enlisted anew meanwhile has another bit, which nobody has set.
        self._pace.armed = armed and slot == self._slot()
