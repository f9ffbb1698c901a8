"""A writer process: ``python -m tests.failure.writer URL NUMBER WRITERS RATE TENANTS SEED KINDS``.

It alone writes for its tenants, in one session at a time, so their events' ids are in commit order. After
each commit that the server confirmed it prints the last number it wrote; at SIGTERM it stops.
"""

import asyncio
import random
import signal
import sys
from collections.abc import Sequence
from uuid import UUID

import asyncpg
import uvloop

from reactor.db.borrow import LOST

#: What a row asks of its handler, and how often.
KINDS = {
    "fast": 53,
    "batch": 20,
    "slow": 5,
    "lazy": 4,
    "flaky": 3,
    "later": 3,
    "intent": 4,
    "chain": 4,
    "spy": 2,
    "call": 1,
    "mail": 1,
}
_INSERT = (
    "insert into public.proof_source (subject, tenant_id, writer, n, kind, emitted, after_subject, delayed) "
    "values ($1, $2, $3, $4, $5, $6, $7, $8)"
)


class Writer:
    """One session's worth of writing at a time; reconnects until it is stopped."""

    def __init__(
        self,
        url: str,
        number: int,
        tenants: Sequence[UUID],
        rate: float,
        seed: int,
        kinds: Sequence[str],
    ) -> None:
        self._url = url
        self._number = number
        self._tenants = tenants
        self._rate = rate
        self._random = random.Random(seed * 1000 + number)
        self._kinds = {kind: KINDS[kind] for kind in kinds or KINDS}
        self._next = 0
        self.stopped = asyncio.Event()

    async def run(self) -> None:
        while not self.stopped.is_set():
            try:
                connection = await asyncpg.connect(self._url, timeout=5, command_timeout=15)
                try:
                    await self._write(connection)
                finally:
                    connection.terminate()
            except LOST:
                await asyncio.sleep(self._random.uniform(0.05, 0.3))

    async def _write(self, connection: asyncpg.Connection) -> None:
        owed = 0.0
        clock = asyncio.get_running_loop().time
        before = clock()
        while not self.stopped.is_set():
            now = clock()
            owed = min(owed + (now - before) * self._rate, self._rate)
            before = now
            if owed < 1:
                await asyncio.sleep((1 - owed) / self._rate)
                continue
            written = await self._transaction(connection)
            if written:
                owed -= written
                print(self._next, flush=True)

    async def _transaction(self, connection: asyncpg.Connection) -> int:
        draw = self._random.random()
        transaction = connection.transaction()
        await transaction.start()
        if draw < 0.5:
            written = await self._rows(connection, 1)
        elif draw < 0.75:
            written = await self._rows(connection, self._random.randint(5, 40))
        elif draw < 0.85:
            written = await self._pair(connection)
        elif draw < 0.95:
            written = await self._delayed(connection)
        else:
            await self._rows(connection, 3)
            await transaction.rollback()
            return 0
        if self._random.random() < 0.05:
            await asyncio.sleep(self._random.uniform(0, 0.2))
        await transaction.commit()
        return written

    async def _rows(self, connection: asyncpg.Connection, count: int) -> int:
        """Rows of a few tenants in one statement: the trigger emits."""
        few = self._random.sample(self._tenants, min(3, len(self._tenants)))
        kinds = self._random.choices(list(self._kinds), list(self._kinds.values()), k=count)
        first = self._next + 1
        self._next += count
        await connection.execute(
            "insert into public.proof_source (subject, tenant_id, writer, n, kind) "
            "select gen_random_uuid(), t, $1, n, k "
            "from unnest($2::uuid[], $3::bigint[], $4::text[]) as x (t, n, k)",
            self._number,
            [self._random.choice(few) for _ in range(count)],
            list(range(first, first + count)),
            kinds,
        )
        return count

    async def _pair(self, connection: asyncpg.Connection) -> int:
        """Two events of one tenant, the later one more urgent: it must be handled first."""
        tenant = self._random.choice(self._tenants)
        relaxed, urgent = self._uuid(), self._uuid()
        await self._emit(connection, tenant, relaxed, priority=5, after=urgent)
        await self._emit(connection, tenant, urgent, priority=0)
        return 2

    async def _delayed(self, connection: asyncpg.Connection) -> int:
        tenant = self._random.choice(self._tenants)
        await self._emit(connection, tenant, self._uuid(), delay=self._random.uniform(0.1, 3))
        return 1

    async def _emit(
        self,
        connection: asyncpg.Connection,
        tenant: UUID,
        subject: UUID,
        *,
        priority: int = 0,
        delay: float = 0,
        after: UUID | None = None,
    ) -> None:
        self._next += 1
        await connection.execute(
            _INSERT, subject, tenant, self._number, self._next, "fast", True, after, delay > 0
        )
        await connection.execute(
            "select reactor.emit($1, 'proof.row', '{\"kind\": \"fast\"}', $2, make_interval(secs => $3), $4)",
            tenant,
            subject,
            delay,
            priority,
        )

    def _uuid(self) -> UUID:
        return UUID(int=self._random.getrandbits(128), version=4)


async def main(arguments: Sequence[str]) -> None:
    url, number, writers, rate, tenants, seed, *kinds = arguments
    every = tenants_of(int(tenants))
    own = every[int(number) :: int(writers)]
    writer = Writer(url, int(number), own, float(rate), int(seed), kinds)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, writer.stopped.set)
    await writer.run()


def tenants_of(count: int) -> list[UUID]:
    """The proof's tenants: ids that are spread over the whole range, the same in every run."""
    spread = random.Random(7)
    return [UUID(int=spread.getrandbits(128), version=4) for _ in range(count)]


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1:]))
