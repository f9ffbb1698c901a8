"""``make bench``: ourselves and the peers side by side, in one run on one embedded server.

    make bench BENCH_ARGS="drain wakeup --contenders reactor,graphile-worker --repeat 3"

Prints the tables. A run of everything also writes results.json, results.md and results.svg beside this file
and puts the tables into its README; any run does so in the folder that --out names.
"""

import argparse
import asyncio
import json
import logging
import platform
import sys
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path

import structlog
from rich.console import Console

from benchmarks import backlog, fleet, footprint, install, own, pipeline, plot, promises
from benchmarks.harness import CONTENDERS, SLOW, Arena, arena
from benchmarks.results import Results, percentile, render

HERE = Path(__file__).parent
BEGIN, END = "<!-- results -->", "<!-- end of results -->"
console = Console(stderr=True)

Workload = Callable[[Arena, list[str], argparse.Namespace, Results], Awaitable[None]]


async def drain(ring: Arena, contenders: list[str], options: argparse.Namespace, results: Results) -> None:
    """Drain 20,000 no-op jobs, jobs a second."""
    jobs = max(2000, int(20_000 * options.scale) // 2000 * 2000)
    shapes = {"100 × 200": 100, "1 × 20,000": 1, "20,000 × 1": jobs}
    for shape, tenants in shapes.items():
        for contender in contenders:
            # Peers know no tenants: for them the three are one.
            if contender == "reactor" or (tenants == 100 and not (options.turn and contender in SLOW)):
                name = f"drain {shape}, jobs/s"
                try:
                    value = await ring.drain(contender, jobs, tenants)
                except (RuntimeError, TimeoutError) as error:
                    results.fail(name, contender, str(error) or "not done in time")
                    console.print(f"  [red]{error}[/]")
                    continue
                results.note(name, contender, value)
                console.print(f"  {name}: {contender} {value:,.0f}")


async def wakeup(ring: Arena, contenders: list[str], options: argparse.Namespace, results: Results) -> None:
    """Latency of an idle worker, and at 200 and 2,000 jobs a second, milliseconds."""
    for label, jobs, pause in (("idle", 300, 0.1), ("200/s", 2_000, 0.005), ("2,000/s", 6_000, 0.0005)):
        for contender in contenders:
            if options.turn and contender in (*SLOW, "floor"):
                continue
            try:
                found = await ring.latencies(contender, max(20, int(jobs * options.scale)), pause)
            except (RuntimeError, TimeoutError) as error:
                for share in (0.5, 0.99):
                    name = f"wake-up {label} p{share * 100:.0f}, ms"
                    results.fail(name, contender, str(error) or "not done in time")
                console.print(f"  [red]{error}[/]")
                continue
            for share in (0.5, 0.99):
                results.note(f"wake-up {label} p{share * 100:.0f}, ms", contender, percentile(found, share))
            console.print(
                f"  wake-up {label}: {contender} p50 {percentile(found, 0.5):.2f} "
                f"p99 {percentile(found, 0.99):.2f} ms"
            )


WORKLOADS: dict[str, Workload] = {
    "drain": drain,
    "wakeup": wakeup,
    "pipeline": pipeline.pipeline,
    "writers": own.writers,
    "deadlines": own.deadlines,
    "backlog": backlog.backlog,
    "replicas": fleet.replicas,
    "footprint": footprint.footprint,
}


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="make bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("workloads", nargs="*", default=[], help=f"of {', '.join(WORKLOADS)}; default: all")
    parser.add_argument("--contenders", default=",".join(CONTENDERS), help="comma separated; default: all")
    parser.add_argument("--repeat", type=int, default=3, help="times that everything is measured, in turn")
    parser.add_argument(
        "--scale", type=float, default=1.0, help="of all sizes; below 1 to see it work, not to measure"
    )
    parser.add_argument("--out", type=Path, help="folder for the results; default: here, after a whole run")
    parser.add_argument("--json", action="store_true", help="print the results as JSON")
    options = parser.parse_args()
    options.contenders = options.contenders.split(",")
    whole = not options.workloads and options.scale == 1 and options.contenders == list(CONTENDERS)
    options.workloads = options.workloads or list(WORKLOADS)
    for wrong in [
        *(set(options.workloads) - set(WORKLOADS)),
        *(set(options.contenders) - set(CONTENDERS)),
    ]:
        parser.error(f"{wrong} is unknown")
    if options.out is None and whole:
        options.out = HERE
    return options


async def main() -> int:
    options = parse()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    contenders: list[str] = options.contenders
    if contenders != ["reactor"]:
        install.install()
        if install.node() is None:
            contenders = [c for c in contenders if not CONTENDERS[c].endswith(".mjs")]
        else:
            install.copy_node_contenders()
    results = Results()
    async with arena() as ring:
        for turn in range(options.repeat):
            options.turn = turn
            for workload in options.workloads:
                console.print(f"[bold]{workload}[/], turn {turn + 1} of {options.repeat}")
                began = time.monotonic()
                results.workload = workload
                try:
                    await WORKLOADS[workload](ring, contenders, options, results)
                except Exception as error:  # what else was measured is not lost for it
                    reason = f"turn {turn + 1}: {type(error).__name__}: {error}"
                    results.fail("the whole workload", "reactor", reason)
                    console.print_exception()
                console.print(f"  {workload}: {time.monotonic() - began:.0f} s")
    tables = render(results, contenders) + "\n" + promises.render(results)
    found = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "scale": options.scale,
        "repeat": options.repeat,
        "results": results.workloads,
        "missing": results.missing,
        "promises": [vars(promise) for promise in promises.promises(results)],
    }
    if options.out is not None:
        write(options.out, found, tables, plot.draw(results))
    print(json.dumps(found) if options.json else tables)
    return 0


def write(folder: Path, found: dict[str, object], tables: str, chart: str) -> None:
    """The files, and the part of the folder's README between the marks, if it has one."""
    folder.mkdir(exist_ok=True)
    (folder / "results.json").write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n")
    (folder / "results.md").write_text(tables)
    (folder / "results.svg").write_text(chart)
    readme = folder / "README.md"
    if readme.exists() and BEGIN in (text := readme.read_text()):
        before, _, rest = text.partition(BEGIN)
        after = rest.partition(END)[2]
        when = f"Run of {found['at']}, Python {found['python']}, --repeat {found['repeat']}."
        shown = "![Medians beside the peers](results.svg)"
        readme.write_text(f"{before}{BEGIN}\n\n{when}\n\n{shown}\n\n{tables}\n{END}{after}")


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
