"""A plain bar chart beside the peers, as SVG, with nothing but text and rectangles."""

from collections.abc import Iterator
from html import escape

from benchmarks.results import Results, short

#: What is drawn, and whether more of it is better.
PANELS = (
    ("drain 100 × 200, jobs/s", "Drained, jobs/s (more is better)", True),
    ("orders validated and written back, orders/s", "Orders validated, orders/s (more is better)", True),
    ("wake-up idle p50, ms", "Idle worker wakes up, p50, ms (less is better)", False),
    ("wake-up 200/s p99, ms", "Latency at 200 jobs/s, p99, ms (less is better)", False),
    ("wake-up 2,000/s p99, ms", "Latency at 2,000 jobs/s, p99, ms (less is better)", False),
)
WIDTH, LEFT, RIGHT, BAR, GAP = 760, 150, 90, 18, 6
#: Where less is better, a bar of more than so many times the best one's length is cut, and an arrow says so.
_CUT = 10

_STYLE = """
text { font: 13px system-ui, sans-serif; fill: #57606a }
.title { font-weight: 600; fill: #24292f }
.bar { fill: #9aa7b4 }
.ours { fill: #0969da }
@media (prefers-color-scheme: dark) {
  text { fill: #9aa4af } .title { fill: #e6edf3 } .bar { fill: #57606a } .ours { fill: #4493f8 }
}
"""


def draw(results: Results) -> str:
    """Every panel whose figures this run has, one below the other, best first."""
    body: list[str] = []
    top = 0
    for name, title, more in PANELS:
        figures = results.medians(name)
        if figures:
            ranked = sorted(figures.items(), key=lambda item: item[1], reverse=more)
            longest = ranked[0][1] if more else min(ranked[-1][1], _CUT * ranked[0][1])
            body += _panel(top, title, ranked, longest or 1.0)
            top += 34 + len(figures) * (BAR + GAP) + 16
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {top}" width="{WIDTH}" role="img">\n'
        f"<title>Medians of the last run</title>\n<style>{_STYLE}</style>\n" + "\n".join(body) + "\n</svg>\n"
    )


def _panel(top: int, title: str, figures: list[tuple[str, float]], longest: float) -> Iterator[str]:
    yield f'<text class="title" x="0" y="{top + 20}">{escape(title)}</text>'
    for place, (who, value) in enumerate(figures):
        y = top + 34 + place * (BAR + GAP)
        width = max(1.0, min(1.0, value / longest) * (WIDTH - LEFT - RIGHT))
        kind = "bar ours" if who == "reactor" else "bar"
        figure = f"→ {short(value)}" if value > longest else short(value)
        yield f'<text x="{LEFT - 8}" y="{y + 14}" text-anchor="end">{escape(who)}</text>'
        yield f'<rect class="{kind}" x="{LEFT}" y="{y}" width="{width:.1f}" height="{BAR}"/>'
        yield f'<text x="{LEFT + width + 6:.1f}" y="{y + 14}">{figure}</text>'
