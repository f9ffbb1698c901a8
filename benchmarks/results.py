"""What was measured, and the tables made of it."""

import statistics
from dataclasses import dataclass, field


def short(value: float) -> str:
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.2f}" if value < 10 else f"{value:.1f}"


def percentile(values: list[float], share: float) -> float:
    """The value that ``share`` of all are not above (nearest rank)."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def cell(values: list[float]) -> str:
    """The median, with the lowest and the highest."""
    if len(values) == 1:
        return short(values[0])
    return f"{short(statistics.median(values))} ({short(min(values))}–{short(max(values))})"


@dataclass
class Results:
    """Figures by workload, by what was measured, by contender; and why some are missing."""

    workloads: dict[str, dict[str, dict[str, list[float]]]] = field(default_factory=dict)
    missing: dict[str, dict[str, dict[str, str]]] = field(default_factory=dict)
    workload: str = ""

    def note(self, name: str, who: str, value: float) -> None:
        rows = self.workloads.setdefault(self.workload, {})
        rows.setdefault(name, {}).setdefault(who, []).append(value)

    def fail(self, name: str, who: str, reason: str) -> None:
        """A figure that could not be had; the row is there all the same."""
        self.workloads.setdefault(self.workload, {}).setdefault(name, {})
        self.missing.setdefault(self.workload, {}).setdefault(name, {})[who] = reason

    def median(self, name: str, who: str) -> float | None:
        for rows in self.workloads.values():
            if values := rows.get(name, {}).get(who):
                return statistics.median(values)
        return None

    def medians(self, name: str, without: tuple[str, ...] = ()) -> dict[str, float]:
        """The median of everyone who has this figure."""
        for rows in self.workloads.values():
            if name in rows:
                found = {who: statistics.median(v) for who, v in rows[name].items() if v}
                return {who: value for who, value in found.items() if who not in without}
        return {}


def render(results: Results, order: list[str]) -> str:
    """A Markdown table for each workload: median (lowest–highest) of each figure."""
    return "\n".join(_table(results, workload, order) for workload in results.workloads)


def _table(results: Results, workload: str, order: list[str]) -> str:
    rows, missing = results.workloads[workload], results.missing.get(workload, {})
    found = dict.fromkeys(who for part in (rows, missing) for row in part.values() for who in row)
    columns = [who for who in order if who in found] + [who for who in found if who not in order]
    lines = [
        f"### {workload}\n",
        "| measured | " + " | ".join(columns) + " |",
        "| --- |" + " ---: |" * len(columns),
    ]
    notes: dict[str, None] = {}
    for name, row in rows.items():
        cells = []
        for who in columns:
            failed = missing.get(name, {}).get(who)
            cells.append(cell(row[who]) if who in row else "failed" if failed else "")
            if failed:
                notes[f"{who}, {name}: {' '.join(failed.split())}"] = None
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n" + "".join(f"\n- {note}" for note in notes) + ("\n" if notes else "")
