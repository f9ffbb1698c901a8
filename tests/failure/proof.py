"""One proof: a fleet under load, a monkey, and the ledger at the end."""

import asyncio
import random
import signal
import tempfile
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import TypeVar

from reactor.db.borrow import LOST
from tests.failure import fleet as fleets
from tests.failure.faults import FAULTS
from tests.failure.fleet import Fleet, Surprise
from tests.failure.ledger import CHECKS, Ledger, read
from tests.failure.monkey import Fault, Monkey
from tests.failure.recovery import Recovery, recoveries, stories

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do. ``rate``: events a second of all writers; ``every``: mean seconds between faults."""

    seed: int = 1
    seconds: float = 60
    #: when given, the run ends after so many, however long that takes
    faults: int | None = None
    replicas: int = 3
    tenants: int = 200
    writers: int = 2
    rate: float = 200
    every: float = 1.5
    lease: float = 3.0
    max_attempts: int = 6
    #: of faults, and of rows; empty: all
    kinds: tuple[str, ...] = ()
    rows: tuple[str, ...] = ()
    #: SQL that breaks the protocol, and environment for the replicas that does
    patch: tuple[str, ...] = ()
    environment: tuple[tuple[str, str], ...] = ()
    settle_within: float = 300
    #: entries of the ledger: it ends as soon as one of them is not zero
    until_found: tuple[str, ...] = ()


@dataclass(slots=True)
class Result:
    """What came of it."""

    plan: Plan
    began: datetime
    ended: datetime
    faults: list[Fault]
    ledger: Ledger
    surprises: list[Surprise]
    recoveries: list[Recovery]
    settled: bool
    #: seconds from the last fault until nothing was left to do
    settling: float
    directory: Path
    #: what happened to the tenants of the slowest probes meanwhile
    slowest: list[list[str]] = field(default_factory=list)
    undrained: int = 0
    #: of the outbox, by the leaders themselves; the ledger counts those of the monkey as well
    rotations: int = 0

    @property
    def is_clean(self) -> bool:
        return self.ledger.is_clean and self.settled and not self.surprises


@dataclass(slots=True)
class Progress:
    """What a watcher is told once a second."""

    seconds: float
    faults: int
    handled: int
    waiting: int
    doing: dict[str, int] = field(default_factory=dict)


async def prove(plan: Plan, *, tell: Callable[[Progress], None] = lambda _: None) -> Result:
    """Run a plan. Raises only when the harness itself cannot go on."""
    # Children inherit this until they have handlers of their own: a clock may jump while they start.
    for number in (signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)
    chance = random.Random(plan.seed)
    directory = Path(tempfile.mkdtemp(prefix="reactor-proof-"))
    settings: dict[str, str] = {
        "REACTOR_LEASE_SECONDS": str(plan.lease),
        "REACTOR_BATCH_SIZE": "50",
        "REACTOR_CONCURRENCY": "8",
        "REACTOR_DRAIN_SECONDS": "5",
        "REACTOR_MAX_ATTEMPTS": str(plan.max_attempts),
        "REACTOR_MAX_INTERRUPTIONS": "200",
        # Long readers stay for seconds here, not for hours.
        "REACTOR_ROTATE_DEAD_ROWS": "300",
        **dict(plan.environment),
    }
    async with fleets.running(directory, tenants=plan.tenants, settings=settings, patch=plan.patch) as fleet:
        await fleet.add_receivers()
        for number in range(plan.replicas):
            await fleet.add_slot(through_proxy=number > 0)
        for number in range(plan.writers):
            await fleet.add_writer(number, plan.writers, plan.rate / plan.writers, plan.seed, plan.rows)
        monkey = Monkey(fleet, chance, lease=plan.lease)
        began = datetime.now(UTC)
        watcher = asyncio.create_task(_watch(fleet, monkey, tell))
        try:
            await _unless_found(fleet, plan.until_found, _play(monkey, plan))
            await fleet.stop_writers()
            last = monotonic()
            settled = await _unless_found(fleet, plan.until_found, _settle(fleet, plan.settle_within))
            settling = monotonic() - last
        finally:
            watcher.cancel()
        ended = datetime.now(UTC)
        connection = await fleet.connect()
        try:
            await fleet.receivers.load(connection)
            ledger = await read(connection, fleet.confirmed)
            carried_out = [fault for fault in monkey.done if fault.healed is not None]
            recovered = await recoveries(connection, carried_out)
            told = await stories(connection, recovered, monkey.done, plan.lease)
        finally:
            await connection.close()
        return Result(
            plan=plan,
            began=began,
            ended=ended,
            faults=carried_out,
            ledger=ledger,
            surprises=fleet.surprises,
            recoveries=recovered,
            settled=bool(settled),
            settling=settling,
            directory=directory,
            slowest=told,
            rotations=ledger.rotations - monkey.rotations,
            undrained=sum(f.detail == "did not drain" for f in monkey.done),
        )


async def _play(monkey: Monkey, plan: Plan) -> None:
    """Faults at random moments until the time is up, or there were enough; then wait for the last to heal."""
    kinds = list(plan.kinds) or list(FAULTS)
    weights = [FAULTS[kind][1] for kind in kinds]
    until = monotonic() + plan.seconds

    def left() -> float:
        if plan.faults is None:
            return until - monotonic()
        # One that cannot be carried out (everybody is in trouble already) does not count.
        under_way = sum(fault.healed is not None or fault.over is None for fault in monkey.done)
        return plan.every * 10 if under_way < plan.faults else 0

    await asyncio.sleep(min(3, plan.seconds / 10))
    while left() > 0:
        async with asyncio.TaskGroup() as group:
            while (rest := left()) > 0:
                kind = monkey.chance.choices(kinds, weights)[0]
                fault = Fault(len(monkey.done) + 1, kind, datetime.now(UTC))
                monkey.done.append(fault)
                group.create_task(_inject(monkey, fault), name=kind)
                await asyncio.sleep(min(rest, monkey.chance.expovariate(1 / plan.every)))


async def _inject(monkey: Monkey, fault: Fault) -> None:
    await FAULTS[fault.kind][0](monkey, fault)
    fault.over = datetime.now(UTC)


async def _unless_found(fleet: Fleet, names: Sequence[str], work: Coroutine[None, None, T]) -> T | None:
    """Until the work is done; or, given up for it, until the ledger has an entry of one of these names."""
    if not names:
        return await work
    working, looking = asyncio.create_task(work), asyncio.create_task(_look(fleet, names))
    try:
        await asyncio.wait([working, looking], return_when=asyncio.FIRST_COMPLETED)
        if looking.done():
            looking.result()
        return await working if working.done() else None
    finally:
        for task in (working, looking):
            task.cancel()
        await asyncio.wait([working, looking])


async def _look(fleet: Fleet, names: Sequence[str]) -> None:
    """Read these entries twice a second, until one is not zero."""
    while True:
        try:
            connection = await fleet.connect()
            try:
                for name in names:
                    if await connection.fetch(f"select from ({CHECKS[name]}) as found limit 1"):
                        return
            finally:
                connection.terminate()
        except LOST:
            pass
        await asyncio.sleep(0.5)


async def _settle(fleet: Fleet, within: float) -> bool:
    """Wait until nothing is left to do: no event, delayed ones included, and no lease."""
    until = monotonic() + within
    while monotonic() < until:
        connection = await fleet.connect()
        try:
            if not await connection.fetchval(
                "select exists (select from reactor.events where event_type like 'proof.%') "
                "or exists (select from public.agent_tenant_locks)"
            ):
                return True
        finally:
            connection.terminate()
        await asyncio.sleep(0.2)
    return False


async def _watch(fleet: Fleet, monkey: Monkey, tell: Callable[[Progress], None]) -> None:
    began = monotonic()
    while True:
        rows = await monkey.ask(
            # What was tried, rather: counting the rows themselves would be a load of its own.
            "select (select last_value from public.proof_effects_position_seq) as handled, "
            "(select count(*) from reactor.events where event_type like 'proof.%') as waiting"
        )
        handled, waiting = (rows[0]["handled"], rows[0]["waiting"]) if rows else (0, 0)
        doing: dict[str, int] = {}
        for fault in monkey.done:
            doing[fault.kind] = doing.get(fault.kind, 0) + (fault.healed is not None)
        tell(Progress(monotonic() - began, sum(doing.values()), handled, waiting, doing))
        await asyncio.sleep(2)
