"""``python -m tests.failure --minutes 5``: the proof, from one command."""

import argparse
import asyncio
import sys

from rich.console import Console
from rich.live import Live
from rich.table import Table

from tests.failure.faults import FAULTS
from tests.failure.proof import Plan, Progress, prove
from tests.failure.report import as_json, print_result


def main() -> int:
    parser = argparse.ArgumentParser(prog="make proof", description=__doc__)
    parser.add_argument("--minutes", type=float, default=5, help="how long faults are injected (5)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--replicas", type=int, default=3)
    parser.add_argument("--tenants", type=int, default=200)
    parser.add_argument("--rate", type=float, default=200, help="events a second (200)")
    parser.add_argument("--every", type=float, default=1.5, help="mean seconds between faults (1.5)")
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        type=_kind,
        metavar="KIND",
        help="a fault, or how its name begins",
    )
    parser.add_argument("--faults", type=int, help="end after so many faults instead")
    parser.add_argument("--json", metavar="FILE", help="write the result here as well")
    chosen = parser.parse_args()
    plan = Plan(
        seed=chosen.seed,
        seconds=chosen.minutes * 60,
        faults=chosen.faults,
        replicas=chosen.replicas,
        tenants=chosen.tenants,
        rate=chosen.rate,
        every=chosen.every,
        kinds=tuple(chosen.only),
    )
    console = Console()
    with Live(console=console, refresh_per_second=1, transient=True) as live:
        result = asyncio.run(prove(plan, tell=lambda progress: live.update(_table(plan, progress))))
    print_result(console, result)
    if chosen.json:
        as_json(result, chosen.json)
    return 0 if result.is_clean else 1


def _kind(text: str) -> str:
    fitting = [kind for kind in FAULTS if kind == text or kind.startswith(text)]
    if text in fitting:
        return text
    if len(fitting) != 1:
        raise argparse.ArgumentTypeError(
            f"{text!r} is {'several of' if fitting else 'none of'} {list(FAULTS)}"
        )
    return fitting[0]


def _table(plan: Plan, progress: Progress) -> Table:
    table = Table(title=f"{progress.seconds:.0f} of {plan.seconds:.0f} s, seed {plan.seed}")
    table.add_column("fault")
    table.add_column("times", justify="right")
    for kind, times in progress.doing.items():
        table.add_row(kind, str(times))
    table.add_row("all", str(progress.faults), style="bold")
    table.caption = f"{progress.handled} handled, {progress.waiting} waiting"
    return table


if __name__ == "__main__":
    sys.exit(main())
