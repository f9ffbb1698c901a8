"""docs/telemetry.md is the table of what the process says; it must name everything, and nothing else."""

import re
from pathlib import Path

from reactor.telemetry import metrics, names

PAGE = (Path(__file__).parents[2] / "docs" / "telemetry.md").read_text()


def test_every_log_event_is_documented_and_every_documented_one_exists() -> None:
    known = {value for name, value in vars(names).items() if name.isupper() and not name.startswith("SPAN_")}
    table = PAGE.split("## Metrics")[0]
    documented = set(
        re.findall(r"`([a-z_]+)`", "\n".join(re.findall(r"^\| (`[^|]*) \|", table, re.MULTILINE)))
    )
    assert documented == known


def test_every_metric_is_documented_and_every_documented_one_exists() -> None:
    known = {
        family.name + ("_total" if family.type == "counter" else "") for family in metrics.REGISTRY.collect()
    }
    documented = set(re.findall(r"`(reactor_[a-z_]+)", PAGE.split("## Metrics")[1])) - {"reactor_"}
    assert documented == known


def test_every_attribute_of_a_span_is_documented_and_every_documented_one_exists() -> None:
    known = {value for name, value in vars(names).items() if name.startswith("SPAN_")}
    rows = re.findall(r"^\| (`reactor\.[^|]*) \|", PAGE.split("## Traces")[1], re.MULTILINE)
    assert set(re.findall(r"`([a-z_.]+)`", "\n".join(rows))) == known
