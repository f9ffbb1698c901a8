"""What a proof found: for the terminal, as JSON, and as docs/proof.md with its plot."""

import json
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.failure.proof import Result


def percentile(values: list[float], share: float) -> float:
    """The value that ``share`` of all do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def print_result(console: Console, result: Result) -> None:
    table = Table(title=f"seed {result.plan.seed}: recovery, seconds")
    for name in ("fault", "times", "p50", "p99", "longest"):
        table.add_column(name, justify="left" if name == "fault" else "right")
    for kind, times in sorted(result.recoveries.items()):
        table.add_row(
            kind,
            str(sum(f.kind == kind for f in result.faults)),
            *(f"{x:.2f}" for x in (percentile(times, 0.5), percentile(times, 0.99), max(times))),
        )
    console.print(table)
    ledger = result.ledger
    console.print(
        f"{len(result.faults)} faults, {ledger.events} events, {ledger.runs} runs, "
        f"{ledger.takeovers} takeovers, {ledger.interrupted} interrupted, {ledger.retried} retried, "
        f"{ledger.poisoned} poisonous"
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
        "ledger": asdict(result.ledger),
        "undrained": result.undrained,
        "recoveries": result.recoveries,
        "slowest": result.slowest,
        "faults": [
            {"kind": f.kind, "at": f.began.isoformat(), "victim": f.victim, "detail": f.detail}
            for f in result.faults
        ],
    }
    Path(path).write_text(json.dumps(document, indent=1) + "\n")
