"""One proof: a fleet under load, a monkey, and the ledger at the end."""

import asyncio
import random
import signal
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic

import asyncpg

from tests.failure import fleet as fleets
from tests.failure.faults import FAULTS, Fault, Monkey
from tests.failure.fleet import Fleet, Surprise
from tests.failure.ledger import Ledger, read


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do. ``rate``: events a second of all writers; ``every``: mean seconds between faults."""

    seed: int = 1
    seconds: float = 60
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


@dataclass(slots=True)
class Result:
    """What came of it."""

    plan: Plan
    began: datetime
    ended: datetime
    faults: list[Fault]
    ledger: Ledger
    surprises: list[Surprise]
    #: seconds by fault kind, one entry a probe
    recoveries: dict[str, list[float]]
    settled: bool
    directory: Path
    #: what happened to the tenants of the slowest probes meanwhile
    slowest: list[list[str]] = field(default_factory=list)
    undrained: int = 0

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
    settings = {
        "REACTOR_LEASE_SECONDS": str(plan.lease),
        "REACTOR_BATCH_SIZE": "50",
        "REACTOR_CONCURRENCY": "8",
        "REACTOR_DRAIN_SECONDS": "5",
        "REACTOR_MAX_ATTEMPTS": str(plan.max_attempts),
        "REACTOR_MAX_INTERRUPTIONS": "200",
        **dict(plan.environment),
    }
    async with fleets.running(directory, tenants=plan.tenants, settings=settings, patch=plan.patch) as fleet:
        for number in range(plan.replicas):
            await fleet.add_slot(through_proxy=number > 0)
        for number in range(plan.writers):
            await fleet.add_writer(number, plan.writers, plan.rate / plan.writers, plan.seed, plan.rows)
        monkey = Monkey(fleet, chance, lease=plan.lease)
        began = datetime.now(UTC)
        watcher = asyncio.create_task(_watch(fleet, monkey, tell))
        try:
            await _play(monkey, plan)
            await fleet.stop_writers()
            settled = await _settle(fleet, plan.settle_within)
        finally:
            watcher.cancel()
        ended = datetime.now(UTC)
        connection = await fleet.connect()
        try:
            ledger = await read(connection, fleet.confirmed)
            recoveries = await _recoveries(connection, monkey.done)
            slowest = await _slowest(connection, monkey.done)
        finally:
            await connection.close()
        return Result(
            plan=plan,
            began=began,
            ended=ended,
            faults=[fault for fault in monkey.done if fault.healed is not None],
            ledger=ledger,
            surprises=fleet.surprises,
            recoveries=recoveries,
            settled=settled,
            directory=directory,
            slowest=slowest,
            undrained=sum(f.detail == "did not drain" for f in monkey.done),
        )


async def _play(monkey: Monkey, plan: Plan) -> None:
    """Faults at random moments until the time is up, then wait until the last one has healed."""
    kinds = list(plan.kinds) or list(FAULTS)
    weights = [FAULTS[kind][1] for kind in kinds]
    until = monotonic() + plan.seconds
    async with asyncio.TaskGroup() as group:
        await asyncio.sleep(min(3, plan.seconds / 10))
        while (left := until - monotonic()) > 0:
            kind = monkey.chance.choices(kinds, weights)[0]
            fault = Fault(len(monkey.done) + 1, kind, datetime.now(UTC))
            monkey.done.append(fault)
            group.create_task(FAULTS[kind][0](monkey, fault), name=kind)
            await asyncio.sleep(min(left, monkey.chance.expovariate(1 / plan.every)))


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


async def _recoveries(connection: asyncpg.Connection, faults: list[Fault]) -> dict[str, list[float]]:
    """How long probes took, from the moment of the fault (or its end) to the commit of their effect."""
    rows = await connection.fetch(
        "select subject, pg_xact_commit_timestamp(xmin) as at from public.proof_effects where kind = 'probe'"
    )
    at = {row["subject"]: row["at"] for row in rows}
    found: dict[str, list[float]] = {}
    for fault in faults:
        times = [(at[s] - fault.healed).total_seconds() for s in fault.probes if s in at and fault.healed]
        if times:
            found.setdefault(fault.kind, []).append(max(times))
    return found


async def _slowest(connection: asyncpg.Connection, faults: list[Fault]) -> list[list[str]]:
    """The stories of the five slowest probes: leases of their tenants, and faults, while they waited."""
    by_probe = {probe: fault for fault in faults for probe in fault.probes}
    rows = await connection.fetch(
        "select e.subject, e.tenant_id, e.interruptions, e.attempts, h.created_at, "
        "pg_xact_commit_timestamp(e.xmin) as at from public.proof_effects e "
        "join reactor.history h on h.id = e.event_id where e.kind = 'probe' "
        "order by pg_xact_commit_timestamp(e.xmin) - h.created_at desc limit 5"
    )
    stories = []
    for row in rows:
        fault = by_probe.get(row["subject"])
        leases = await connection.fetch(
            "select l.at, concat_ws(' ', l.holder, l.what, r.status, r.error_message) "
            "from public.proof_leases l left join public.agent_autonomous_runs r on r.id = l.run_id "
            "where l.tenant_id = $1 and l.at between $2::timestamptz - interval '5 s' and $3 order by l.at",
            row["tenant_id"],
            row["created_at"],
            row["at"],
        )
        met = [
            (other.began, f"fault: {other.kind} {other.victim} {other.detail}")
            for other in faults
            if row["created_at"] <= other.began <= row["at"]
        ]
        story = sorted([*((lease[0], lease[1]) for lease in leases), *met])
        stories.append(
            [
                f"probe of {fault.kind if fault else 'nothing'}, {fault.victim if fault else ''}",
                f"{row['created_at']:%T.%f} written",
                *(f"{at:%T.%f} {what}" for at, what in story),
                f"{row['at']:%T.%f} handled after {row['interruptions']} interruptions",
            ]
        )
    return stories


async def _watch(fleet: Fleet, monkey: Monkey, tell: Callable[[Progress], None]) -> None:
    began = monotonic()
    while True:
        rows = await monkey.ask(
            "select (select count(*) from public.proof_effects) as handled, "
            "(select count(*) from reactor.events where event_type like 'proof.%') as waiting"
        )
        handled, waiting = (rows[0]["handled"], rows[0]["waiting"]) if rows else (0, 0)
        doing: dict[str, int] = {}
        for fault in monkey.done:
            doing[fault.kind] = doing.get(fault.kind, 0) + (fault.healed is not None)
        tell(Progress(monotonic() - began, sum(doing.values()), handled, waiting, doing))
        await asyncio.sleep(2)
