"""Breaks the protocol on purpose, one rule at a time, and looks whether the proof notices:
``python -m tests.failure.breaks``.

Each break is made in a database of its own (or in the replicas' processes), never in sql/.
"""

import asyncio
import sys
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import mkdtemp
from time import monotonic
from typing import Any

from tests.failure import fleet as fleets
from tests.failure.fleet import ROOT, Fleet
from tests.failure.proof import Plan, prove

FUNCTIONS = ROOT / "sql" / "functions"


def without(function: str, *changes: tuple[str, str]) -> str:
    """The SQL of a function with something taken out. What is to be taken out must be there."""
    text = (FUNCTIONS / f"{function}.sql").read_text()
    for old, new in changes:
        if old not in text:
            raise AssertionError(f"{function}.sql has no {old!r} any more: adapt the break")
        text = text.replace(old, new)
    return text


@dataclass(frozen=True, slots=True)
class Break:
    """What is taken out, how the proof is run, and what it must find."""

    plan: Plan
    expected: frozenset[str]


_SMALL = Plan(
    seed=5, seconds=12, replicas=2, tenants=20, writers=1, rate=60, every=1.0, lease=1.0, settle_within=30
)

# The note is made, and names an event that never was.
_NO_NOTE = ("b.run_id, array_agg(b.id)", "b.run_id, '{0}'::bigint[]")
_NO_NEXT_NOTE = ("array_agg(a.id) as ids", "'{0}'::bigint[] as ids")


def breaks() -> dict[str, Break]:
    """All that the ledger can notice; the catch-up claim is :func:`caught_up_within`."""
    return {
        "the fence": Break(
            _with(
                kinds=("stopped past its lease",),
                rows=("lazy", "intent"),
                environment=(("PROOF_SLEEP", "2"),),
                rate=25,
                # Not every stop meets a handler that commits before its replica looks at the lease again.
                seconds=60,
                patch=(
                    without(
                        "settle",
                        (
                            "if cardinality(v_kept) + cardinality(v_released) <> cardinality(p_runs) then",
                            "if false then",
                        ),
                    ),
                    without("checkpoint", ("if not found then", "if false then")),
                ),
            ),
            frozenset({"stale"}),
        ),
        "the lease check at takeover": Break(
            _with(
                kinds=("listener backend ended",),
                rows=("lazy", "slow", "fast"),
                patch=(without("rescue", ("l.expires_at <= v_now and (p_tenants", "(p_tenants")),),
            ),
            frozenset({"overlapping runs"}),
        ),
        "row level security": Break(
            _with(
                kinds=("listener backend ended",),
                rows=("spy", "fast"),
                patch=("alter role reactor_handler bypassrls",),
            ),
            frozenset({"cross-tenant"}),
        ),
        "the in-flight note": Break(
            _with(
                kinds=("poison event",),
                patch=(without("claim", _NO_NOTE), without("settle", _NO_NEXT_NOTE)),
                seconds=6,
                # Where nothing is broken, it takes two.
                settle_within=10,
                every=5,
                max_attempts=2,
            ),
            frozenset({"lost"}),
        ),
    }


def _with(**changes: Any) -> Plan:
    return replace(_SMALL, **changes)


async def noticed(broken: Break) -> str | None:
    """What the ledger found, or None when the break went unnoticed."""
    # What is still in the outbox before the end is not lost: for that the whole proof is needed.
    result = await prove(replace(broken.plan, until_found=tuple(broken.expected - {"lost"})))
    found = {name for name, count in result.ledger.counts.items() if count}
    if not found & broken.expected:
        return None
    name = min(found & broken.expected)
    return f"{name} {result.ledger.counts[name]}: {next(iter(result.ledger.cases[name]), '')}"


async def caught_up_within(environment: dict[str, str]) -> float:
    """Seconds that an event waits which was written while nobody listened; it is not watched for much longer
    than the limit.

    One replica that sleeps, its poll far away. Its listening connection is ended and refused
    for a moment; the event's notification reaches nobody.
    """
    # A canary would wake it by chance, and so hide that nobody else did.
    quiet = {"REACTOR_POLL_SECONDS": "600", "REACTOR_CANARY_SECONDS": "0"}
    settings = {**quiet, "REACTOR_LEASE_SECONDS": "5", **environment}
    async with fleets.running(Path(mkdtemp(prefix="reactor-proof-")), tenants=1, settings=settings) as fleet:
        slot = await fleet.add_slot(through_proxy=True)
        assert slot.proxy is not None
        # Twice: how long it sleeps is decided when it falls asleep, and the first time nobody listened yet.
        for _ in range(2):
            await _handled(fleet, await _emit(fleet))
            await _until(fleet, "select last_value > 1 from reactor.doorbell")
            # It looks once more when it has armed the bell.
            await _until(
                fleet,
                "select bool_and(state_change < clock_timestamp() - interval '0.5 s') "
                "and bool_or(application_name like '% listener') from pg_stat_activity "
                "where datname = current_database() and pid <> pg_backend_pid()",
            )
        slot.proxy.refuse = True
        await _until(
            fleet,
            "select count(pg_terminate_backend(pid)) > 0 from pg_stat_activity "
            "where application_name like '% listener'",
        )
        await _until(
            fleet, "select not exists (select from pg_stat_activity where application_name like '% listener')"
        )
        event = await _emit(fleet)
        began = monotonic()
        slot.proxy.refuse = False
        with suppress(TimeoutError):
            await _handled(fleet, event, within=CATCH_UP_LIMIT + 1)
        return monotonic() - began


async def _emit(fleet: Fleet) -> int:
    connection = await fleet.connect()
    try:
        event: int = await connection.fetchval(
            "select reactor.emit($1, 'proof.row', '{\"kind\": \"fast\"}', gen_random_uuid())",
            fleet.tenants[0],
        )
        return event
    finally:
        await connection.close()


async def _handled(fleet: Fleet, event: int, within: float = 60) -> None:
    await _until(fleet, f"select exists (select from reactor.history where id = {event})", within)


async def _until(fleet: Fleet, question: str, within: float = 60) -> None:
    connection = await fleet.connect()
    try:
        async with asyncio.timeout(within):
            while not await connection.fetchval(question):
                await asyncio.sleep(0.02)
    finally:
        await connection.close()


CATCH_UP_LIMIT = 5.0


async def main() -> int:
    missed = 0
    for name, broken in breaks().items():
        found = await noticed(broken)
        print(f"without {name}: {found or 'NOT NOTICED'}")
        missed += found is None
    waited = await caught_up_within({"PROOF_WITHOUT": "catch-up"})
    print(f"without the catch-up claim: an event waited {waited:.1f} s, or longer")
    return missed + (waited < CATCH_UP_LIMIT)


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
