"""Puts the result of a proof into its report: ``python -m tests.failure.publish RESULT.json docs/proof.md``.

The report is written by hand but for what stands between its two marks; the plot is drawn beside it.
"""

import json
import math
import sys
from collections import Counter
from datetime import datetime
from html import escape
from pathlib import Path
from typing import Any

from tests.failure.report import percentile

BEGIN, END = "<!-- results -->", "<!-- end of results -->"

#: What stands between these says that a long clean run is owed. Such a run takes it out.
_OWED, _PAID = "<!-- owed -->", "<!-- end of owed -->"
_LONG = 25 * 60

_LEFT, _ROW, _TOP, _WIDTH = 190, 22, 34, 640
#: The plot's axis, in seconds.
_LEAST, _MOST = 0.01, 100.0


def results(document: dict[str, Any], plot: str) -> str:
    """The generated part, as Markdown."""
    plan, ledger, faults = document["plan"], document["ledger"], document["faults"]
    began, ended = (datetime.fromisoformat(document[name]) for name in ("began", "ended"))
    minutes = (ended - began).total_seconds() / 60
    times = Counter(fault["kind"] for fault in faults)
    lines = [
        (
            f"Seed {plan['seed']}, {began:%Y-%m-%d}, {minutes:.0f} minutes: {plan['replicas']} replicas, "
            f"{plan['tenants']} tenants, leases of {plan['lease']:g} s, "
            f"**{len(faults):,} faults** of {len(times)} kinds, **{ledger['events']:,} events** "
            f"in {ledger['runs']:,} runs. {ledger['takeovers']:,} leases ran out and were taken over, "
            f"{ledger['interrupted']:,} events were interrupted at least once, {ledger['retried']:,} failed "
            "at least once and were tried again. "
            f"The outbox was rewritten {ledger['rotations']:,} times, {document['rotations']:,} of those by "
            f"a leader of its own accord, with {ledger['kept']:,} events in it. {_end(document)}"
        ),
        "",
        "| must be 0 | found |",
        "| --- | ---: |",
        *(f"| {name} | {count} |" for name, count in ledger["counts"].items()),
        "",
        (
            f"{ledger['outside']:,} of the events reached outside the database, as a webhook or an email: "
            f"{ledger['arrived']:,} requests and emails arrived, {ledger['repeated']:,} of them repetitions "
            f"({ledger['repeated_after_yes']:,} although a receiver had said yes), each with the key of the "
            "first."
            if not ledger["counts"]["sent under another key"]
            else "Some repetitions had another key than the first."
        ),
        "",
        "Recovery, in seconds. *Alone*: those that met no other fault on their way. The limits are for them.",
        "",
        "| fault | times | p50 | p99 | longest | alone | p99 alone | limit | over it, alone |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
        *(_row(kind, times[kind], document) for kind in sorted(document["recoveries"])),
        *_leases(document),
    ]
    return "\n".join([*lines, "", f"![Recovery times by kind of fault, on a logarithmic axis]({plot})"])


def _end(document: dict[str, Any]) -> str:
    """How it ended: a run that did not end well says so first."""
    if not document["settled"]:
        return "**The outbox was not empty when the time to settle was over.**"
    ended = "" if document["clean"] else " **Not clean: see the counts, or a replica ended by itself.**"
    return f"The outbox was empty {document['settling']:.0f} s after the last fault.{ended}"


def _leases(document: dict[str, Any]) -> list[str]:
    """Whether the end of a lease was measured where it is part of the recovery. Older results do not know."""
    waited = document.get("waited_for_lease", {})
    told = [
        f"{waited.get(kind, 0)} of the {len(found)} recoveries after {what}"
        for kind, what in (("kill -9", "a kill"), ("stopped past its lease", "a stop"))
        if (found := document["recoveries"].get(kind))
    ]
    return ["", f"A lease had to run out first in {' and '.join(told)}."] if waited and told else []


def _row(kind: str, times: int, document: dict[str, Any]) -> str:
    found, alone = document["recoveries"][kind], document["alone"].get(kind, [])
    limit = document["limits"].get(kind)
    cells = [
        kind,
        f"{times}",
        *(f"{x:.2f}" for x in (percentile(found, 0.5), percentile(found, 0.99), max(found))),
        f"{len(alone)}",
        f"{percentile(alone, 0.99):.2f}" if alone else "",
        f"{limit:g}" if limit else "",
        f"{sum(x > limit for x in alone)}" if limit else "",
    ]
    return f"| {' | '.join(cells)} |"


def draw(recoveries: dict[str, list[float]]) -> str:
    """Every recovery as a dot, one row a kind, with marks for p50 and p99."""
    kinds = sorted(recoveries, key=lambda kind: percentile(recoveries[kind], 0.5))
    height = _TOP + _ROW * len(kinds) + 30
    parts = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_LEFT + _WIDTH + 30} {height}" '
            'font-family="system-ui, sans-serif" font-size="12">'
        ),
        (
            "<style>text{fill:#444}.d{fill:#2b6cb0;fill-opacity:.25}.m{stroke:#c2410c;stroke-width:2}"
            ".n{stroke:#7c2d12;stroke-width:2;stroke-dasharray:2 2}.g{stroke:#8884}"
            "@media(prefers-color-scheme:dark){text{fill:#ccc}.d{fill:#7cb7ff}}</style>"
        ),
        (
            f'<text x="{_LEFT}" y="14">seconds until an event written at the fault was handled '
            "(line: p50, dashed: p99)</text>"
        ),
    ]
    for second in (0.01, 0.1, 1, 10, 100):
        x = _place(second)
        parts.append(f'<line class="g" x1="{x}" x2="{x}" y1="{_TOP - 10}" y2="{height - 24}"/>')
        parts.append(f'<text x="{x}" y="{height - 8}" text-anchor="middle">{second:g}</text>')
    for row, kind in enumerate(kinds):
        y = _TOP + _ROW * row
        found = recoveries[kind]
        parts.append(f'<text x="{_LEFT - 10}" y="{y + 4}" text-anchor="end">{escape(kind)}</text>')
        parts += [f'<circle class="d" cx="{_place(seconds)}" cy="{y}" r="3.5"/>' for seconds in found]
        for share, style in ((0.5, "m"), (0.99, "n")):
            x = _place(percentile(found, share))
            parts.append(f'<line class="{style}" x1="{x}" x2="{x}" y1="{y - 8}" y2="{y + 8}"/>')
    return "\n".join([*parts, "</svg>", ""])


def _place(seconds: float) -> str:
    share = math.log(min(max(seconds, _LEAST), _MOST) / _LEAST) / math.log(_MOST / _LEAST)
    return f"{_LEFT + share * _WIDTH:.1f}"


def main(source: str, target: str) -> None:
    document = json.loads(Path(source).read_text())
    report = Path(target)
    plot = report.with_suffix(".svg")
    plot.write_text(draw(document["recoveries"]))
    text = report.read_text()
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    if document["clean"] and document["plan"]["seconds"] >= _LONG and _OWED in after:
        after = after[: after.index(_OWED)] + after[after.index(_PAID) + len(_PAID) :].lstrip("\n")
    report.write_text(f"{before}{BEGIN}\n\n{results(document, plot.name)}\n\n{END}{after}")


if __name__ == "__main__":
    main(*sys.argv[1:])
