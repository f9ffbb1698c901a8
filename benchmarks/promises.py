"""What we aim at, each aim with the figure that the run gives for it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from benchmarks.results import Results, short

PYTHON = ("pgqueuer", "procrastinate", "chancy", "awa-pg")
OURS = ("reactor", "floor")


@dataclass(frozen=True)
class Promise:
    text: str
    figure: str
    bound: str
    kept: bool


def promises(results: Results) -> list[Promise]:
    """Every one whose figures this run has."""
    return [*_drains(results), *_pipeline(results), *_latencies(results), *_writers(results), *_time(results)]


def render(results: Results) -> str:
    """A Markdown table; empty when nothing that has an aim was measured."""
    found = promises(results)
    if not found:
        return ""
    lines = ["### ratios\n", "| aim | bound | figure | |", "| --- | ---: | ---: | --- |"]
    for promise in found:
        verdict = "reached" if promise.kept else "**not reached**"
        lines.append(f"| {promise.text} | {promise.bound} | {promise.figure} | {verdict} |")
    return "\n".join(lines) + "\n"


def _ratio(
    text: str,
    ours: float | None,
    peers: dict[str, float],
    bound: float,
    best: Callable[..., str] = max,
) -> Iterator[Promise]:
    """Ours over the best peer: at least the bound where more is better, at most where less is."""
    if ours is None or not peers:
        return
    who = best(peers, key=lambda name: peers[name])
    ratio = ours / peers[who]
    kept = ratio >= bound if best is max else ratio <= bound
    sign = "≥" if best is max else "≤"
    yield Promise(text, f"{ratio:.2f} × {who}", f"{sign} {bound:g} ×", kept)


def _at_most(text: str, value: float | None, bound: float, unit: str) -> Iterator[Promise]:
    if value is not None:
        yield Promise(text, f"{short(value)}{unit}", f"≤ {bound:g}{unit}", value <= bound)


def _drains(results: Results) -> Iterator[Promise]:
    # Peers know no tenants: what they drain is one figure.
    peers = results.medians("drain 100 × 200, jobs/s", without=OURS)
    python = {who: value for who, value in peers.items() if who in PYTHON}
    for shape, against, bound, whom in (
        ("100 × 200", peers, 3, "fastest peer"),
        ("1 × 20,000", peers, 2, "fastest peer"),
        ("20,000 × 1", python, 1, "fastest Python peer"),
    ):
        ours = results.median(f"drain {shape}, jobs/s", "reactor")
        yield from _ratio(f"drain {shape}, to the {whom}", ours, against, bound)


def _pipeline(results: Results) -> Iterator[Promise]:
    name = "orders validated and written back, orders/s"
    peers = results.medians(name, without=OURS)
    yield from _ratio("the real work, to the better peer", results.median(name, "reactor"), peers, 5)


def _latencies(results: Results) -> Iterator[Promise]:
    for load in ("idle", "200/s"):
        for share, bound in (("p50", 0.75), ("p99", 1.0)):
            name = f"wake-up {load} {share}, ms"
            peers = results.medians(name, without=OURS)
            yield from _ratio(
                f"wake-up {load} {share}, to the best peer",
                results.median(name, "reactor"),
                peers,
                bound,
                min,
            )
    yield from _at_most("2,000/s, p99", results.median("wake-up 2,000/s p99, ms", "reactor"), 10, " ms")


def _writers(results: Results) -> Iterator[Promise]:
    for disk in ("", ", a flush of 2 ms"):
        figures = results.medians(f"writers, 32 clients{disk}, inserts/s")
        for who in ("ours, nobody asleep", "ours, reactor at work"):
            for against, bound in (
                ("outbox row", 0.9),
                ("outbox row a consumer can use", 0.9),
                ("row trigger with pg_notify", 3.0),
            ):
                if against in figures:
                    rival = {against: figures[against]}
                    yield from _ratio(f"32 writers{disk}, {who}", figures.get(who), rival, bound)


def _time(results: Results) -> Iterator[Promise]:
    def ours(name: str) -> float | None:
        return results.median(name, "reactor")

    yield from _at_most(
        "a deadline among 10⁶ clocks, late by p99", ours("deadline, 10⁶ clocks, late by p99, ms"), 20, " ms"
    )
    few, many = (ours(f"sweep, nothing due, {n:,} clocks, ms") for n in (10_000, 1_000_000))
    if few and many:
        yield from _at_most("a sweep of 10⁶ clocks, to one of 10⁴", many / few, 1.5, " ×")
    claims = {
        name: value
        for name, rows in results.workloads.get("backlog", {}).items()
        if name.startswith("claim of 8 tenants") and (value := ours(name)) is not None and rows
    }
    alone = claims.pop("claim of 8 tenants, 160 events, ms", None)
    if alone and claims:
        worst = max(claims.values())
        yield from _at_most("a claim beside any backlog, to one without", worst / alone, 2, " ×")
    yield from _at_most(
        "memory of a replica in a backlog of 10⁶",
        ours("backlog of 10⁶, replica's peak memory, MB"),
        100,
        " MB",
    )
