"""What a run of the demo comes to: for programs as one JSON object, for people as a page."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import isnan
from time import monotonic

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from reactor.demo.latency import IMPORTED, percentile
from reactor.demo.verdict import Verdict
from reactor.demo.view import TenantRow

_KINDS = {
    "order.queued": "order queued → verdict committed",
    IMPORTED: "dozens of orders queued at once → verdicts committed",
    "engagement.overdue": "clock's deadline → outcome committed",
    "alert.created": "alert raised → taken up",
}

_ALL_IS_WELL = (
    "Every event was handled.",
    "Every order's verdict agrees with an independent check of the rules.",
    "Every overdue clock has an outcome.",
    "Nothing was done for a tenant while it was switched off.",
)


@dataclass(slots=True)
class Report:
    """Filled while the demo runs."""

    seed: int
    bounded: bool
    seconds: dict[str, float] = field(default_factory=dict)
    """How long each part took."""
    backlog: int = 0
    waited_for_tenants: int = 0
    """Events of switched-off tenants that were handled once these were switched on."""
    traffic: dict[str, int] = field(default_factory=dict)
    latencies: dict[str, list[float]] = field(default_factory=dict)
    webhooks: int = 0
    listener_kills: list[float] = field(default_factory=list)
    """Milliseconds until the listener was back."""
    tenants: list[TenantRow] = field(default_factory=list)
    verdict: Verdict = field(default_factory=Verdict)
    warnings: int = 0
    log: str = ""
    memory_mb: float = 0.0

    @contextmanager
    def timing(self, name: str) -> Iterator[None]:
        """Notes how long the block takes."""
        began = monotonic()
        try:
            yield
        finally:
            self.seconds[name] = monotonic() - began

    @property
    def ok(self) -> bool:
        return self.verdict.ok

    @property
    def handled(self) -> int:
        return sum(self.verdict.handled.values())

    def latency(self, kind: str) -> dict[str, float | int]:
        """Milliseconds: half of them took at most p50, 99 of 100 at most p99."""
        values = self.latencies.get(kind, [])
        return {
            "count": len(values),
            "p50": round(percentile(values, 0.5), 2),
            "p90": round(percentile(values, 0.9), 2),
            "p99": round(percentile(values, 0.99), 2),
            "max": round(max(values), 2),
        }

    def as_json(self) -> dict[str, object]:
        """For ``--json``. Durations are in the unit that their name ends with."""
        verdict = self.verdict
        drained = self.seconds.get("backlog", 0.0)
        return {
            "ok": self.ok,
            "problems": verdict.problems,
            "seed": self.seed,
            "events": {
                "handled": self.handled,
                "by_type": verdict.handled,
                "discarded": verdict.discarded,
                "dead": verdict.dead,
                "left": verdict.left,
                "waiting_for_tenant": verdict.parked,
                "waited_for_tenant": self.waited_for_tenants,
            },
            "counts": verdict.counts,
            "traffic": self.traffic,
            "latency_ms": {kind: self.latency(kind) for kind in sorted(self.latencies)},
            "backlog": {
                "events": self.backlog,
                "seconds": round(drained, 3),
                "events_per_second": round(self.backlog / drained) if drained else None,
            },
            "webhooks_received": self.webhooks,
            "listener_kills_ms": [round(ms, 1) for ms in self.listener_kills],
            "tenants": [
                {
                    "name": row.name,
                    "open": row.open,
                    "queued": row.queued,
                    "validated": row.validated,
                    "exceptions": row.exceptions,
                    "overdue": row.overdue,
                    "alerts": row.alerts,
                    "waiting": row.parked,
                }
                for row in self.tenants
            ],
            "seconds": {name: round(value, 2) for name, value in self.seconds.items()},
            "memory_mb": round(self.memory_mb),
            "log": {"file": self.log, "warnings": self.warnings},
        }

    def as_page(self) -> RenderableType:
        """For people, at the end."""
        counts = self.verdict.counts
        facts = Table.grid(padding=(0, 2))
        facts.add_column(style="dim")
        facts.add_column()
        verdict = self.verdict
        facts.add_row("Events", f"{self.handled:,} handled, {verdict.left} left, {verdict.dead} dead")
        if verdict.parked:
            facts.add_row("", f"{verdict.parked:,} wait for tenants that are switched off")
        facts.add_row(
            "Orders",
            f"{counts['orders']:,}: {counts['validated']:,} validated ({counts['corrected']:,} corrected), "
            f"{counts['with_exceptions']:,} with exceptions",
        )
        facts.add_row(
            "Follow-ups",
            f"{counts['cards']:,} cards for people, {counts['emails_sent']:,} emails, "
            f"{counts['emails_dry_run']:,} drafts, {counts['blocked_actions']:,} actions blocked by policies",
        )
        facts.add_row("Alerts", f"{counts['alerts']:,}, {self.webhooks:,} brought by signed webhook")
        if self.seconds.get("backlog"):
            rate = self.backlog / self.seconds["backlog"]
            facts.add_row(
                "Backlog",
                f"{self.backlog:,} events in {self.seconds['backlog']:.2f} s ({rate:,.0f} a second)",
            )
        if self.waited_for_tenants:
            facts.add_row(
                "Switched off",
                f"{self.waited_for_tenants:,} events waited for their tenants, and went on with these",
            )
        if self.listener_kills:
            worst = max(self.listener_kills)
            facts.add_row(
                "Listener",
                f"killed {len(self.listener_kills)} times, back within {worst:,.0f} ms, nothing lost",
            )
        drained = Text(f"Drained in {self.seconds.get('drain', 0):.1f} s. Goodbye.\n", style="bold")
        return Group(drained, facts, Text(), self._latencies(), *self._ending())

    def _latencies(self) -> Table:
        table = Table(box=None, pad_edge=False, header_style="dim")
        table.add_column("from commit to commit, by the server's clock")
        for name in ("count", "p50 ms", "p99 ms", "worst ms"):
            table.add_column(name, justify="right")
        for kind, label in _KINDS.items():
            if kind in self.latencies:
                numbers = self.latency(kind)
                table.add_row(
                    label,
                    f"{numbers['count']:,}",
                    *(f"{numbers[name]:,.1f}" for name in ("p50", "p99", "max")),
                )
        return table

    def _ending(self) -> list[RenderableType]:
        lines: list[RenderableType] = [Text()]
        if self.verdict.problems:
            lines += [Text(f"✗ {problem}", style="red") for problem in self.verdict.problems]
        elif self.bounded:
            lines += [Text.assemble(("✓ ", "green"), text) for text in _ALL_IS_WELL]
        if self.warnings:
            lines.append(Text(f"{self.warnings} warnings in {self.log}", style="dim"))
        return lines


def milliseconds(value: float) -> str:
    """For a cell of the live table."""
    if isnan(value):
        return "–"
    return f"{value:.1f}" if value < 100 else f"{value:,.0f}"
