"""``make bench``: ourselves and the peers side by side, in one run on one embedded server.

    make bench BENCH_ARGS="drain wakeup --contenders reactor,graphile-worker --repeat 3"

Prints a table, and writes benchmarks/results.json and benchmarks/results.md.
"""

import argparse
import asyncio
import json
import platform
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks import install, own
from benchmarks.harness import CONTENDERS, Arena, Figures, arena, percentile

HERE = Path(__file__).parent
console = Console(stderr=True)

Results = dict[str, dict[str, dict[str, list[float]]]]


async def drain(ring: Arena, contenders: list[str], options: argparse.Namespace, results: Results) -> None:
    """Drain 20,000 no-op jobs, jobs a second."""
    shapes = {"100 × 200": 100, "1 × 20,000": 1, "20,000 × 1": 20_000}
    for shape, tenants in shapes.items():
        for contender in contenders:
            # Peers know no tenants: for them the three are one.
            if contender == "reactor" or tenants == 100:
                await _measure(
                    results,
                    f"drain {shape}, jobs/s",
                    contender,
                    lambda c=contender, t=tenants: ring.drain(c, 20_000, t),
                )


async def wakeup(ring: Arena, contenders: list[str], options: argparse.Namespace, results: Results) -> None:
    """Latency of an idle worker, and at 200 and 2,000 jobs a second, milliseconds."""
    for label, jobs, pause in (("idle", 60, 0.25), ("200/s", 2000, 0.005), ("2,000/s", 10_000, 0.0005)):
        for contender in contenders:
            try:
                found = await ring.latencies(contender, jobs, pause)
            except RuntimeError as error:
                console.print(f"  [red]{error}[/]")
                continue
            for share in (0.5, 0.99):
                name = f"wake-up {label} p{share * 100:.0f}, ms"
                results.setdefault(name, {}).setdefault(contender, {"values": []})["values"].append(
                    percentile(found, share)
                )
            console.print(
                f"  wake-up {label}: {contender} p50 {percentile(found, 0.5):.2f} "
                f"p99 {percentile(found, 0.99):.2f} ms"
            )


async def _measure(results: Results, name: str, contender: str, run: Callable[[], Awaitable[float]]) -> None:
    try:
        value = await run()
    except RuntimeError as error:
        console.print(f"  [red]{error}[/]")
        return
    results.setdefault(name, {}).setdefault(contender, {"values": []})["values"].append(value)
    console.print(f"  {name}: {contender} {value:,.1f}")


WORKLOADS: dict[str, Any] = {
    "drain": drain,
    "wakeup": wakeup,
    "writers": own.writers,
    "deadlines": own.deadlines,
    "backlog": own.backlog,
}


def render(results: Results, contenders: list[str]) -> str:
    """A Markdown table: median (minimum–maximum) of each figure."""
    used = [c for c in contenders if any(c in rows for rows in results.values())]
    others = sorted({c for rows in results.values() for c in rows} - set(used))
    lines = [
        "| measured | " + " | ".join([*used, *others]) + " |",
        "| --- |" + " ---: |" * (len(used) + len(others)),
    ]
    for name, rows in results.items():
        cells = [str(Figures(rows[c]["values"])) if c in rows else "" for c in [*used, *others]]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


async def main() -> int:
    parser = argparse.ArgumentParser(
        prog="make bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("workloads", nargs="*", default=[], help=f"of {', '.join(WORKLOADS)}; default: all")
    parser.add_argument("--contenders", default=",".join(CONTENDERS), help="comma separated; default: all")
    parser.add_argument("--repeat", type=int, default=3, help="times that everything is measured, in turn")
    parser.add_argument("--json", action="store_true", help="print the results as JSON")
    options = parser.parse_args()
    workloads = options.workloads or list(WORKLOADS)
    contenders = options.contenders.split(",")
    for wrong in [*(set(workloads) - set(WORKLOADS)), *(set(contenders) - set(CONTENDERS))]:
        parser.error(f"{wrong} is unknown")
    if contenders != ["reactor"]:
        install.install()
        if install.node() is None:
            contenders = [c for c in contenders if not CONTENDERS[c].endswith(".mjs")]
        else:
            install.copy_node_contenders()
    results: Results = {}
    async with arena() as ring:
        for turn in range(options.repeat):
            for workload in workloads:
                console.print(f"[bold]{workload}[/], turn {turn + 1} of {options.repeat}")
                await WORKLOADS[workload](ring, contenders, options, results)
    table = render(results, contenders)
    (HERE / "results.json").write_text(
        json.dumps(
            {"at": datetime.now(UTC).isoformat(), "python": platform.python_version(), "results": results},
            indent=1,
        )
    )
    (HERE / "results.md").write_text(table)
    print(json.dumps(results) if options.json else table)
    _show(results)
    return 0


def _show(results: Results) -> None:
    shown = Table(title="medians (lowest–highest)")
    shown.add_column("measured")
    shown.add_column("contender")
    shown.add_column("figure", justify="right")
    for name, rows in results.items():
        for contender, row in rows.items():
            shown.add_row(name, contender, str(Figures(row["values"])))
    console.print(shown)


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
