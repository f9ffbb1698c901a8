"""What a proof found: for the terminal, as JSON, and as docs/proof.md with its plot."""

import json
from collections import Counter
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.failure.proof import Result
from tests.failure.recovery import by_kind, limit


def percentile(values: list[float], share: float) -> float:
    """The value that ``share`` of all do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def print_result(console: Console, result: Result) -> None:
    table = Table(title=f"seed {result.plan.seed}: recovery, seconds")
    for name in ("fault", "times", "p50", "p99", "longest", "alone", "longest alone", "limit", "leases"):
        table.add_column(name, justify="left" if name == "fault" else "right")
    alone = by_kind(result.recoveries, alone=True)
    for kind, times in sorted(by_kind(result.recoveries).items()):
        promised = limit(kind, result.plan.lease)
        by_itself = alone.get(kind, [])
        table.add_row(
            kind,
            str(sum(f.kind == kind for f in result.faults)),
            *(f"{x:.2f}" for x in (percentile(times, 0.5), percentile(times, 0.99), max(times))),
            str(len(by_itself)),
            f"{max(by_itself):.2f}" if by_itself else "",
            f"{promised:g}" if promised else "",
            # Of how many it is known that a lease had to run out first.
            str(sum(r.waited_for_lease for r in result.recoveries if r.fault.kind == kind)),
        )
    console.print(table)
    ledger = result.ledger
    console.print(
        f"{len(result.faults)} faults, {ledger.events} events, {ledger.runs} runs, "
        f"{ledger.takeovers} takeovers, {ledger.interrupted} interrupted, {ledger.retried} retried, "
        f"{ledger.poisoned} poisonous; {ledger.rotations} rotations of the outbox, {result.rotations} of "
        f"them by a leader, {ledger.kept} events written again"
    )
    console.print(
        f"{ledger.outside} events with an effect outside: {ledger.arrived} arrived, "
        f"{ledger.repeated} of them repetitions, {ledger.repeated_after_yes} after a yes; "
        f"all was settled {result.settling:.0f} s after the last fault"
    )
    console.print(", ".join(f"{name} {count}" for name, count in ledger.counts.items()))
    for name, cases in ledger.cases.items():
        for case in cases:
            console.print(f"[red]{name}[/]: {case}")
    for surprise in result.surprises:
        console.print(f"[red]replica {surprise.replica} ended by itself with code {surprise.code}[/]")
        console.print(surprise.log, markup=False)
    if not result.settled:
        console.print("[red]not all was settled in time[/]")
    if not result.is_clean:
        console.print(f"repeat it with --seed {result.plan.seed}; logs in {result.directory}")


def as_json(result: Result, path: str) -> None:
    document = {
        "plan": asdict(result.plan),
        "began": result.began.isoformat(),
        "ended": result.ended.isoformat(),
        "clean": result.is_clean,
        "settled": result.settled,
        "settling": result.settling,
        "ledger": asdict(result.ledger),
        "undrained": result.undrained,
        "rotations": result.rotations,
        "recoveries": by_kind(result.recoveries),
        "alone": by_kind(result.recoveries, alone=True),
        "waited_for_lease": Counter(r.fault.kind for r in result.recoveries if r.waited_for_lease),
        "limits": {kind: limit(kind, result.plan.lease) for kind in by_kind(result.recoveries)},
        "slowest": result.slowest,
        "faults": [
            {
                "kind": f.kind,
                "at": f.began.isoformat(),
                "healed": f.healed.isoformat() if f.healed else None,
                "over": f.over.isoformat() if f.over else None,
                "victim": f.victim,
                "detail": f.detail,
            }
            for f in result.faults
        ],
    }
    Path(path).write_text(json.dumps(document, indent=1) + "\n")
