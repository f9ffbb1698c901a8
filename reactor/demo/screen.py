"""The demo in a terminal: a table of the tenants, what happens above it, what happened below it.

On a pipe there is no screen to draw on: then a line is printed now and then.
"""

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import monotonic

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from reactor.demo.latency import Tracker, percentile
from reactor.demo.report import milliseconds
from reactor.demo.view import Queue, TenantRow

_BARS = "▁▂▃▄▅▆▇█"
_PLAIN_PAUSE = 5.0
_COLUMNS = ("queued", "validated", "exceptions", "overdue", "alerts", "p50 ms", "p99 ms")
#: A terminal of so many columns has room between those of the table.
_WIDE = 100
#: What a tenant's name keeps on the narrowest.
_NAME = 16


@dataclass(slots=True)
class Scene:
    """What there is to see at a moment."""

    title: str
    advice: str
    tracker: Tracker
    began: float = field(default_factory=monotonic)
    doing: str = ""
    dashboard: str | None = None
    tenants: list[TenantRow] = field(default_factory=list)
    queue: Queue | None = None
    handled: int = 0
    rates: deque[float] = field(default_factory=lambda: deque(maxlen=40))
    """Events a second, one number for each time we looked."""
    listening: bool = False
    leading: bool = False
    notes: deque[tuple[float, str]] = field(default_factory=lambda: deque(maxlen=4))

    def say(self, note: str) -> None:
        """Adds a line below the table."""
        self.notes.append((monotonic() - self.began, note))


class Screen:
    """Where the demo shows itself. ``quiet``: nowhere."""

    def __init__(self, console: Console, *, quiet: bool) -> None:
        self._console = console
        self._quiet = quiet
        self._live: Live | None = None
        self._printed_at = 0.0
        self._noted = 0.0

    @contextmanager
    def step(self, text: str) -> Iterator[None]:
        """Something that takes a moment before the show begins."""
        if self._quiet:
            yield
            return
        began = monotonic()
        if self._console.is_terminal:
            with self._console.status(f"{text} …", spinner="dots"):
                yield
        else:
            yield
        self._console.print(
            Text.assemble(("✓ ", "green"), text, (f"  {monotonic() - began:.1f} s", "dim")), soft_wrap=True
        )

    def say(self, text: str) -> None:
        """A line outside the show."""
        if not self._quiet:
            self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    @contextmanager
    def show(self) -> Iterator[None]:
        """The terminal is ours inside the block, and afterwards as it was."""
        if self._quiet or not self._console.is_terminal:
            yield
            return
        with Live(console=self._console, screen=True, auto_refresh=False) as live:
            self._live = live
            try:
                yield
            finally:
                self._live = None

    def tell(self, text: str) -> None:
        """A line for whoever has no screen; on one the scene says it."""
        if not self._console.is_terminal:
            self.say(text)

    def draw(self, scene: Scene) -> None:
        """Shows the scene as it is now."""
        if self._live is not None:
            self._live.update(render(scene, self._console.height, self._console.width), refresh=True)
        elif not self._quiet and monotonic() - self._printed_at >= _PLAIN_PAUSE:
            self._printed_at = monotonic()
            self.say(plain(scene))

    def end(self, page: RenderableType) -> None:
        """The last page, which stays."""
        if not self._quiet:
            self._console.print(page)


def render(scene: Scene, height: int = 50, width: int = 120) -> RenderableType:
    """The whole screen. On a low one some tenants are left out, on a narrow one some columns."""
    advice = f"Dashboard: {scene.dashboard}\n{scene.advice}" if scene.dashboard else scene.advice
    room = max(3, height - (12 if width >= _WIDE else 13) - advice.count("\n") - 1)
    parts: list[RenderableType] = [_headline(scene), Text(), _pulse(scene), _table(scene, room, width)]
    hidden = len(scene.tenants) - room
    if hidden > 0:
        parts.append(Text(f"  and {hidden} more tenants", style="dim"))
    parts += [Text.assemble((f"  {_clock(at)}  ", "dim"), (note, "dim")) for at, note in scene.notes]
    parts.append(Text(f"\n{advice}", style="dim", overflow="fold"))
    return Padding(Group(*parts), (0, 1))


def plain(scene: Scene) -> str:
    """One line for a pipe."""
    values = [ms for recent in scene.tracker.recent.values() for ms in recent]
    queue = scene.queue
    return (
        f"{_clock(monotonic() - scene.began)}  {scene.doing}: {scene.handled:,} events handled, "
        f"{scene.rates[-1] if scene.rates else 0:,.0f}/s, {queue.ready if queue else 0} ready, "
        f"p50 {milliseconds(percentile(values, 0.5))} ms, p99 {milliseconds(percentile(values, 0.99))} ms"
    )


def _headline(scene: Scene) -> Table:
    line = Table.grid(expand=True)
    line.add_column()
    line.add_column(justify="right")
    line.add_row(
        Text.assemble(("reactor demo", "bold"), (f"   {scene.title}", "dim")),
        Text.assemble((scene.doing, "cyan"), (f"   {_clock(monotonic() - scene.began)}", "dim")),
    )
    return line


def _pulse(scene: Scene) -> Group:
    """The health of the whole, in two lines."""
    queue = scene.queue
    values = [ms for recent in scene.tracker.recent.values() for ms in recent]
    top = max(scene.rates, default=0.0) or 1.0
    bars = "".join(_BARS[min(7, int(rate / top * 7.99))] for rate in scene.rates)
    numbers = Text.assemble(
        (f"{scene.handled:,}", "bold"),
        (" events handled   ", "dim"),
        (f"{scene.rates[-1] if scene.rates else 0:,.0f}/s ", "bold"),
        (bars, "cyan"),
        ("   p50 ", "dim"),
        (milliseconds(percentile(values, 0.5)), "bold"),
        ("  p99 ", "dim"),
        (milliseconds(percentile(values, 0.99)), "bold"),
        (" ms from commit to handled", "dim"),
    )
    if queue is None:
        return Group(numbers, Text())
    lamp = ("● listening", "green") if scene.listening else ("● listener is away", "red")
    state = Text.assemble(
        lamp,
        ("   doorbell ", "dim"),
        "armed (asleep)" if queue.armed else "silent (awake)",
        ("   lag ", "dim"),
        f"{queue.lag * 1000:,.0f} ms" if queue.ready else "none",
        ("   ready ", "dim"),
        f"{queue.ready:,}",
        ("   later ", "dim"),
        f"{queue.delayed:,}",
        ("   emails ", "dim"),
        f"{queue.emails:,}",
        ("   dead ", "dim"),
        (f"{queue.dead:,}", "bold red" if queue.dead else ""),
    )
    numbers.no_wrap = True
    numbers.overflow = "ellipsis"
    return Group(numbers, state)


def _table(scene: Scene, room: int, width: int) -> Table:
    narrow = width < _WIDE
    gap = 1 if narrow else 3
    table = Table(
        box=SIMPLE_HEAD,
        expand=True,
        header_style="dim",
        pad_edge=False,
        show_edge=False,
        padding=0 if narrow else (0, 1),
    )
    table.add_column("tenant", ratio=1, no_wrap=True, overflow="ellipsis")
    left = width - 2 - _NAME
    shown = []
    for name in _COLUMNS:
        left -= len(name) + gap
        if left >= 0:
            shown.append(name)
            table.add_column(name, justify="right", no_wrap=True, min_width=len(name))
    for row in scene.tenants[:room]:
        cells = _cells(row, list(scene.tracker.recent.get(row.id, ())))
        table.add_row(row.name, *(cells[name] for name in shown), style="" if row.open else "dim")
    return table


def _cells(row: TenantRow, values: list[float]) -> dict[str, RenderableType]:
    """A tenant's line, by column. One that is switched off is dim as a whole, and has no latencies."""
    counts = (row.queued, row.validated, row.exceptions, row.overdue, row.alerts)
    if not row.open:
        return dict(zip(_COLUMNS, (*(f"{n:,}" for n in counts), "off", ""), strict=True))
    styles = ("cyan", "green", "yellow", "", "magenta")
    latencies = (milliseconds(percentile(values, share)) for share in (0.5, 0.99))
    return dict(zip(_COLUMNS, (*map(_count, counts, styles), *latencies), strict=True))


def _count(number: int, style: str) -> Text:
    return Text(f"{number:,}", style=style if number else "dim")


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60:02}:{int(seconds) % 60:02}"
