"""What the protocol's calls must answer: leases, events and runs as a model in Python keeps them."""

from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID

import asyncpg

REPLICAS = 3
TENANTS = 3


@dataclass
class Lease:
    """What the model knows of the lock of a tenant."""

    run: UUID
    holder: int
    expires: timedelta
    in_flight: list[int] = field(default_factory=list)


@dataclass
class Work:
    """A replica's run: what it took, and whether its handler's transaction is open."""

    tenant: int
    run: UUID
    rows: list[asyncpg.Record]
    written: bool = False


class Believed:
    """What should be true of the database."""

    def __init__(self) -> None:
        self.now = timedelta(0)
        self.leases: dict[int, Lease] = {}
        self.working: dict[int, Work] = {}
        self.outside: dict[int, UUID] = {}
        #: unfinished events of each tenant: id → (priority, interruptions, attempts)
        self.events: list[dict[int, tuple[int, int, int]]] = [{} for _ in range(TENANTS)]
        self.handled: set[int] = set()

    def live(self, tenant: int) -> Lease | None:
        lease = self.leases.get(tenant)
        return lease if lease is not None and lease.expires > self.now else None

    def holds(self, work: Work) -> bool:
        lease = self.live(work.tenant)
        return lease is not None and lease.run == work.run

    def in_order(self, tenant: int) -> list[int]:
        return sorted(self.events[tenant], key=lambda id_: (self.events[tenant][id_][0], id_))

    def is_marked(self, tenant: int) -> bool:
        return any(interruptions > 1 for _, interruptions, _ in self.events[tenant].values())

    def has_marked(self, number: int) -> bool:
        return any(
            lease.holder == number and lease.expires > self.now and self.is_marked(tenant)
            for tenant, lease in self.leases.items()
        )

    def mark_takeover(self, tenant: int) -> None:
        """A lease that ran out is ended: what was in flight is marked."""
        lease = self.leases.pop(tenant)
        unfinished = [id_ for id_ in lease.in_flight if id_ in self.events[tenant]]
        alone = len(lease.in_flight) == 1
        for id_ in unfinished:
            priority, interruptions, attempts = self.events[tenant][id_]
            if alone and interruptions > 1:
                attempts += 1
            else:
                interruptions += 1
            self.events[tenant][id_] = (priority, interruptions, attempts)
