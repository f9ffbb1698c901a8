"""Who injects the faults, and what is remembered of each.

A probe is an event written right after the fault, for tenants that it hit; how long its effect takes, by the
server's clock, is the recovery time.
"""

import asyncio
import random
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
        rows = await self.ask(
            "select tenant_id from public.agent_tenant_locks where lock_holder = $1", slot.name
        )
        return [row["tenant_id"] for row in rows]

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
