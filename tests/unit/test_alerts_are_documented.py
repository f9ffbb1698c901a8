"""docs/alerts.md has every type of alert that is raised: a constraint on them must allow all."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "alerts.md").read_text()
#: A type and its severity beside it, in Python and in SQL; or a channel's failure, which has one severity.
RAISED = re.compile(
    r"""(["'])(?P<type>[a-z]+(?:_[a-z]+)+)\1,\s*"""
    r"""(?:["'](?:info|warning|critical)["']|Severity\.[A-Z]+|tried\.detail)"""
)


def raised() -> set[str]:
    files = [*(ROOT / "reactor" / "automation").glob("*.py"), *(ROOT / "sql" / "functions").glob("*.sql")]
    return {found["type"] for file in files for found in RAISED.finditer(file.read_text())}


def test_every_alert_that_is_raised_is_on_the_page() -> None:
    found = raised()
    # One of each way to raise it, so that a new way is noticed here.
    assert {"order_exception", "clock_failed", "touch_refused", "alert_channel_off", "failure_rate"} <= found
    assert found <= set(re.findall(r"[a-z]+(?:_[a-z]+)+", PAGE))
