"""Who injects the faults, and what is remembered of each.

A probe is an event written right after the fault; how long its effect takes, by the server's clock, is the
recovery time. It goes to tenants that the fault hit, and to idle ones where the fault is about being woken: a
run that had begun before, and was not hit, says nothing of the recovery.
"""

import asyncio
import random
import signal
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID

import asyncpg

from reactor.db.borrow import LOST
from tests.failure.fleet import Fleet, Slot, pick


@dataclass(slots=True)
class Fault:
    """One thing that was done."""

    number: int
    kind: str
    began: datetime
    detail: str = ""
    victim: str = ""
    #: from when recovery counts; none for a fault that was not carried out
    healed: datetime | None = None
    probes: list[UUID] = field(default_factory=list)
    #: when it had been undone, or had done what it does
    over: datetime | None = None


class Monkey:
    """Knows the fleet, has the dice, remembers what it did."""

    def __init__(self, fleet: Fleet, chance: random.Random, *, lease: float) -> None:
        self.fleet = fleet
        self.chance = chance
        self.lease = lease
        self.done: list[Fault] = []
        self.probes = 0
        #: of the outbox, that it did itself
        self.rotations = 0
        #: where in the reserved tenants the next probe looks for idle ones
        self._turn = 0
        #: held while a fault hits the whole server
        self.server = asyncio.Lock()
        #: receivers, by kind, that a fault is at work on
        self.troubled_receivers: set[str] = set()

    async def probe(self, fault: Fault, tenants: Sequence[UUID] = (), *, kind: str = "probe") -> None:
        """Write an event for each of these tenants (or for two at random), as soon as the server takes it."""
        chosen = list(tenants)[:5] or self.chance.sample(self.fleet.tenants, 2)
        fault.healed = fault.healed or datetime.now(UTC)
        while True:
            numbers = range(self.probes + 1, self.probes + 1 + len(chosen))
            self.probes += len(chosen)
            subjects = [UUID(int=self.chance.getrandbits(128), version=4) for _ in chosen]
            try:
                connection = await self.fleet.connect(patience=60)
                try:
                    await connection.execute(
                        "insert into public.proof_source (subject, tenant_id, writer, n, kind) "
                        "select s, t, -1, n, $4 "
                        "from unnest($1::uuid[], $2::uuid[], $3::bigint[]) as x (s, t, n)",
                        subjects,
                        chosen,
                        list(numbers),
                        kind,
                    )
                finally:
                    connection.terminate()
            except LOST:
                await asyncio.sleep(0.05)
            else:
                fault.probes += subjects
                return

    async def held_by(self, slot: Slot) -> list[UUID]:
        """Tenants whose leases this replica holds now."""
        return await self._held(slot.name) or []

    async def _held(self, name: str) -> list[UUID] | None:
        """None when the server is away."""
        rows = await self.ask(
            "select array(select tenant_id from public.agent_tenant_locks where lock_holder = $1) as held",
            name,
        )
        return rows[0]["held"] if rows else None

    async def freeze(self, fault: Fault, slot: Slot) -> list[UUID] | None:
        """SIGSTOP at a random moment at which the victim holds leases; whose they are. None: it never did.

        Where it holds none it runs on for a moment: no lease would have to run out, and the recovery would
        be that of any event. While the server is away nobody can tell, and it stays stopped.
        """
        process, slot.troubled = slot.process, True
        try:
            for _ in range(40):
                self.fleet.signal(slot, signal.SIGSTOP)
                fault.healed = datetime.now(UTC)
                held = await self._held(fault.victim)
                if slot.process is not process:
                    break
                if held or held is None:
                    return held or []
                self.fleet.signal(slot, signal.SIGCONT)
                await asyncio.sleep(self.chance.uniform(0, 0.1))
            fault.healed = None
            return None
        finally:
            slot.troubled = False

    async def idle(self) -> list[UUID]:
        """Two of the reserved tenants, which no run holds and no event waits for."""
        reserved = self.fleet.reserved
        # Not the ones that were probed just now: their probes may not have been committed yet.
        self._turn = (self._turn + 2) % len(reserved)
        in_turn = reserved[self._turn :] + reserved[: self._turn]
        rows = await self.ask(
            "select t from unnest($1::uuid[]) with ordinality as x (t, n) "
            "where not exists (select from public.agent_tenant_locks l where l.tenant_id = t) "
            "and not exists (select from reactor.events e where e.tenant_id = t) order by n limit 2",
            in_turn,
        )
        return [row["t"] for row in rows] or in_turn[:2]

    async def ask(self, query: str, *arguments: object) -> list[asyncpg.Record]:
        """As superuser; nothing when the server is away."""
        try:
            connection = await self.fleet.connect(patience=1)
        except LOST:
            return []
        try:
            return await connection.fetch(query, *arguments)
        except LOST:
            return []
        finally:
            connection.terminate()

    def victim(self, fault: Fault, *, proxied: bool = False) -> Slot | None:
        slots = [s for s in self.fleet.slots if s.proxy is not None] if proxied else self.fleet.slots
        slot = pick(slots, self.chance)
        fault.victim = slot.name if slot else ""
        return slot

    def may_trouble(self) -> bool:
        """A fault that lasts leaves at least one replica alone."""
        return sum(not s.troubled for s in self.fleet.slots) > 1
