"""What an alert counts is there before it happens for the first time."""

import re
import subprocess
import sys


def test_a_replica_that_has_done_nothing_yet_shows_its_counters_at_zero() -> None:
    # In a process of its own: others have counted in this one.
    program = (
        "from prometheus_client import generate_latest\n"
        "from reactor.telemetry import metrics\n"
        "print(generate_latest(metrics.REGISTRY).decode())\n"
    )
    said = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout
    shown = dict(re.findall(r"^(reactor_\w+_total(?:\{.*\})?) (.+)$", said, re.MULTILINE))
    for outcome in ("handled", "retry", "dead", "discard"):
        assert shown[f'reactor_events_settled_total{{outcome="{outcome}"}}'] == "0.0"
    for outcome in ("rotated", "held", "backlog", "published"):
        assert shown[f'reactor_rotations_total{{outcome="{outcome}"}}'] == "0.0"
    for severity in ("info", "warning", "critical"):
        assert shown[f'reactor_alerts_created_total{{severity="{severity}"}}'] == "0.0"
    for channel in ("webhook", "email"):
        assert shown[f'reactor_alerts_failed_total{{channel="{channel}"}}'] == "0.0"
        assert shown[f'reactor_alerts_delivered_total{{channel="{channel}"}}'] == "0.0"
