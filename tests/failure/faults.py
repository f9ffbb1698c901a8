"""What the monkey can do. Each fault is a coroutine that injects, waits, heals, and probes.

A probe is an event written right after the fault, for tenants that it hit; how long its effect takes, by the
server's clock, is the recovery time. Faults overlap, as they do in life, so the slowest recoveries are those
that met the next fault.
"""

import asyncio
import random
import signal
from collections.abc import Awaitable, Callable, Sequence
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


class Monkey:
    """Knows the fleet, has the dice, remembers what it did."""

    def __init__(self, fleet: Fleet, chance: random.Random, *, lease: float) -> None:
        self.fleet = fleet
        self.chance = chance
        self.lease = lease
        self.done: list[Fault] = []
        self.probes = 0
        #: held while a fault hits the whole server
        self.server = asyncio.Lock()

    async def probe(self, fault: Fault, tenants: Sequence[UUID] = ()) -> None:
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
                        "select s, t, -1, n, 'probe' "
                        "from unnest($1::uuid[], $2::uuid[], $3::bigint[]) as x (s, t, n)",
                        subjects,
                        chosen,
                        list(numbers),
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


async def kill_nine(monkey: Monkey, fault: Fault) -> None:
    """SIGKILL, and a new replica at once."""
    slot = monkey.victim(fault)
    if slot is None:
        return
    slot.expected_end = True
    monkey.fleet.signal(slot, signal.SIGKILL)
    fault.healed = datetime.now(UTC)
    rows = await monkey.ask(
        "select tenant_id from public.agent_tenant_locks where lock_holder = $1", fault.victim
    )
    await monkey.probe(fault, [row["tenant_id"] for row in rows])


async def stop_past_lease(monkey: Monkey, fault: Fault) -> None:
    """SIGSTOP until the leases have run out and been taken over, then SIGCONT."""
    slot = monkey.victim(fault) if monkey.may_trouble() else None
    if slot is None:
        return
    slot.troubled = True
    try:
        process = slot.process
        monkey.fleet.signal(slot, signal.SIGSTOP)
        fault.healed = datetime.now(UTC)
        await monkey.probe(fault, await monkey.held_by(slot))
        await asyncio.sleep(monkey.lease * monkey.chance.uniform(1.2, 2.5))
        if slot.process is process:
            monkey.fleet.signal(slot, signal.SIGCONT)
    finally:
        slot.troubled = False


async def _terminate(monkey: Monkey, fault: Fault, suffix: str, limit: int) -> None:
    """End backends of a replica; those of open handler transactions carry the name of their run instead."""
    slot = monkey.victim(fault)
    if slot is None:
        return
    held = await monkey.held_by(slot)
    ended = await monkey.ask(
        "select pg_terminate_backend(pid) from (select pid from pg_stat_activity "
        "where datname = 'proof' and (application_name = $1 or $3 and application_name in ("
        "select 'reactor run ' || run_id from public.agent_tenant_locks where lock_holder = $4)) "
        "order by random() limit $2) x",
        slot.name + suffix,
        limit,
        suffix == " handlers",
        slot.name,
    )
    fault.detail = f"{len(ended)} backends"
    if ended:
        await monkey.probe(fault, held)


async def end_listener(monkey: Monkey, fault: Fault) -> None:
    """pg_terminate_backend of the listening connection."""
    await _terminate(monkey, fault, " listener", 1)


async def end_handlers(monkey: Monkey, fault: Fault) -> None:
    """pg_terminate_backend of handlers' connections, those in a transaction included."""
    await _terminate(monkey, fault, " handlers", 20)


async def end_engine(monkey: Monkey, fault: Fault) -> None:
    """pg_terminate_backend of the engine's own connections: claim, settle, heartbeat."""
    await _terminate(monkey, fault, "", monkey.chance.choice([1, 20]))


async def end_leader(monkey: Monkey, fault: Fault) -> None:
    """pg_terminate_backend of every connection of the replica that leads."""
    rows = await monkey.ask("select leader from reactor.leadership")
    if not rows or rows[0]["leader"] is None:
        return
    fault.victim = rows[0]["leader"]
    ended = await monkey.ask(
        "select pg_terminate_backend(pid) from pg_stat_activity where datname = 'proof' "
        "and application_name like $1 || '%'",
        fault.victim,
    )
    fault.detail = f"{len(ended)} backends"
    if ended:
        await monkey.probe(fault)


async def crash_server(monkey: Monkey, fault: Fault) -> None:
    """SIGKILL of the postmaster, a moment of nothing, a restart with crash recovery."""
    if monkey.server.locked():
        return
    async with monkey.server:
        await monkey.fleet.crash_server()
        await asyncio.sleep(monkey.chance.uniform(0, 1))
        await monkey.fleet.start_server()
        (await monkey.fleet.connect()).terminate()
        await monkey.probe(fault)


async def read_only(monkey: Monkey, fault: Fault) -> None:
    """Every transaction is read-only for a while, as after a failover to a standby."""
    if monkey.server.locked():
        return
    async with monkey.server:
        await monkey.ask("alter system set default_transaction_read_only = on")
        await monkey.ask("select pg_reload_conf()")
        await asyncio.sleep(monkey.chance.uniform(0.5, 3))
        while not await monkey.ask("select 1 as fine"):
            await asyncio.sleep(0.1)
        await monkey.ask("alter system reset default_transaction_read_only")
        await monkey.ask("select pg_reload_conf()")
        await monkey.probe(fault)


async def fill_slots(monkey: Monkey, fault: Fault) -> None:
    """Strangers take every connection that the server has left; some of the fleet's are ended as well."""
    if monkey.server.locked():
        return
    async with monkey.server:
        strangers: list[asyncpg.Connection] = []
        try:
            for _ in range(150):
                try:
                    strangers.append(await asyncpg.connect(monkey.fleet.url_for("proof_writer"), timeout=5))
                except LOST:
                    break
            fault.detail = f"{len(strangers)} connections taken"
            await monkey.ask(
                "select pg_terminate_backend(pid) from (select pid from pg_stat_activity "
                "where datname = 'proof' and usename = 'proof_replica' order by random() limit 4) x"
            )
            await asyncio.sleep(monkey.chance.uniform(0.5, 3))
        finally:
            for connection in strangers:
                connection.terminate()
        await monkey.probe(fault)


async def half_open(monkey: Monkey, fault: Fault) -> None:
    """All connections of a replica stay open for it and carry nothing ever again; new ones work."""
    slot = monkey.victim(fault, proxied=True) if monkey.may_trouble() else None
    if slot is None or slot.proxy is None:
        return
    held = await monkey.held_by(slot)
    silent = monkey.chance.random() < 0.5
    fault.detail = "the server hears nothing" if silent else "the server's ends are closed"
    slot.proxy.forget_open(close_upstream=not silent)
    await monkey.probe(fault, held)


async def black_hole(monkey: Monkey, fault: Fault) -> None:
    """Nothing passes between a replica and the server, then all of it does."""
    slot = monkey.victim(fault, proxied=True) if monkey.may_trouble() else None
    if slot is None or slot.proxy is None:
        return
    held = await monkey.held_by(slot)
    slot.troubled = slot.proxy.black_hole = True
    slot.proxy.hold_open()
    try:
        await monkey.probe(fault, held)
        await asyncio.sleep(monkey.chance.uniform(0.5, 3 * monkey.lease))
    finally:
        slot.proxy.black_hole = slot.troubled = False
        slot.proxy.resume_open()


async def reset(monkey: Monkey, fault: Fault) -> None:
    """Every connection of a replica is cut, and new ones are refused for a moment."""
    slot = monkey.victim(fault, proxied=True) if monkey.may_trouble() else None
    if slot is None or slot.proxy is None:
        return
    held = await monkey.held_by(slot)
    slot.proxy.refuse = True
    slot.proxy.reset_open()
    try:
        await asyncio.sleep(monkey.chance.uniform(0, 0.5))
    finally:
        slot.proxy.refuse = False
    await monkey.probe(fault, held)


async def slow_network(monkey: Monkey, fault: Fault) -> None:
    """Every packet of a replica takes 20 to 200 ms longer."""
    slot = monkey.victim(fault, proxied=True) if monkey.may_trouble() else None
    if slot is None or slot.proxy is None:
        return
    slot.troubled = True
    slot.proxy.delay = monkey.chance.uniform(0.01, 0.1)
    try:
        await monkey.probe(fault, await monkey.held_by(slot))
        await asyncio.sleep(monkey.chance.uniform(1, 4))
    finally:
        slot.proxy.delay = 0
        slot.troubled = False


async def jump_clock(monkey: Monkey, fault: Fault) -> None:
    """A replica's wall clock is set an hour forward or back."""
    slot = monkey.victim(fault)
    if slot is None:
        return
    monkey.fleet.signal(slot, monkey.chance.choice([signal.SIGUSR1, signal.SIGUSR2]))
    await monkey.probe(fault, await monkey.held_by(slot))


async def deploy(monkey: Monkey, fault: Fault) -> None:
    """SIGTERM; a new replica starts when the old one has drained. One that does not within 30 s is killed."""
    slot = monkey.victim(fault)
    if slot is None or slot.process is None:
        return
    process = slot.process
    held = await monkey.held_by(slot)
    slot.expected_end = True
    monkey.fleet.signal(slot, signal.SIGTERM)
    await monkey.probe(fault, held)
    try:
        async with asyncio.timeout(30):
            await process.wait()
        fault.detail = f"exit code {process.returncode}"
    except TimeoutError:
        fault.detail = "did not drain"
        process.kill()


async def outsider(monkey: Monkey, fault: Fault) -> None:
    """Somebody else takes a tenant's lock through acquire_tenant_lock() and gives it back after a while."""
    tenant = monkey.chance.choice(monkey.fleet.tenants)
    run = None
    for _ in range(50):
        rows = await monkey.ask("select public.acquire_tenant_lock($1, 'outsider', 1) as run", tenant)
        run = rows[0]["run"] if rows else None
        if run is not None:
            break
        await asyncio.sleep(0.02)
    if run is None:
        fault.detail = "never got it"
        return
    await asyncio.sleep(monkey.chance.uniform(0.1, 2))
    for _ in range(200):
        rows = await monkey.ask("select public.release_tenant_lock($1, $2) as released", tenant, run)
        if rows:
            fault.detail = "released" if rows[0]["released"] else "lost"
            break
        await asyncio.sleep(0.05)
    await monkey.probe(fault, [tenant])


async def long_reader(monkey: Monkey, fault: Fault) -> None:
    """A REPEATABLE READ snapshot pins vacuum."""
    try:
        connection = await monkey.fleet.connect(patience=1)
    except LOST:
        return
    try:
        await connection.execute("begin isolation level repeatable read read only")
        await connection.fetchval("select count(*) from reactor.events")
        await monkey.probe(fault)
        await asyncio.sleep(monkey.chance.uniform(3, 15))
        await connection.fetchval("select count(*) from public.proof_source")
    except LOST:
        pass
    finally:
        connection.terminate()


async def poison(monkey: Monkey, fault: Fault) -> None:
    """An event that kills every process that handles it, until it is dead."""
    tenant = monkey.chance.choice(monkey.fleet.tenants)
    subject = UUID(int=monkey.chance.getrandbits(128), version=4)
    monkey.probes += 1
    rows = await monkey.ask(
        "insert into public.proof_source (subject, tenant_id, writer, n, kind) "
        "values ($1, $2, -1, $3, 'poison') returning subject",
        subject,
        tenant,
        monkey.probes,
    )
    if rows:
        await monkey.probe(fault)


FAULTS: dict[str, tuple[Callable[[Monkey, Fault], Awaitable[None]], float]] = {
    "kill -9": (kill_nine, 10),
    "stopped past its lease": (stop_past_lease, 7),
    "listener backend ended": (end_listener, 11),
    "handler backends ended": (end_handlers, 11),
    "engine backends ended": (end_engine, 11),
    "leader's backends ended": (end_leader, 7),
    "server crash": (crash_server, 3),
    "server read-only": (read_only, 4),
    "connection slots full": (fill_slots, 4),
    "half-open connections": (half_open, 6),
    "black hole": (black_hole, 4),
    "connections reset": (reset, 8),
    "slow network": (slow_network, 5),
    "clock jump": (jump_clock, 8),
    "deploy": (deploy, 6),
    "outside lock holder": (outsider, 9),
    "long reader": (long_reader, 3),
    "poison event": (poison, 0.3),
}
