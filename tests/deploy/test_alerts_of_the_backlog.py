"""The alerts on the backlog and the autoscaler's query as Prometheus reckons, over a change of leader."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.manifests import ALERTS, FOLDER, documents

PROMTOOL = shutil.which("promtool")
pytestmark = pytest.mark.skipif(PROMTOOL is None, reason="no promtool, which comes with Prometheus")

#: Every 15 s a value. Pod a leads until minute 30, then b, which has the series from there on.
SERIES = {
    'reactor_events_ready{namespace="reactor",pod="a",database="grows"}': "9000+100x119 stale",
    'reactor_events_ready{namespace="reactor",pod="b",database="grows"}': "_x120 21000+100x200",
    'reactor_events_ready{namespace="reactor",pod="b",database="shrinks"}': "90000-100x320",
    'reactor_events_oldest_seconds{namespace="reactor",pod="a",database="grows"}': "0x39 301+15x79 stale",
    'reactor_events_oldest_seconds{namespace="reactor",pod="b",database="grows"}': "_x120 1500+15x200",
    # One each five seconds from minute 10 to 40; on the other pod two at a restart of the server.
    'reactor_runs_without_connection_total{namespace="reactor",pod="a"}': "0x40 3+3x119 360x160",
    'reactor_runs_without_connection_total{namespace="reactor",pod="b"}': "0x20 2x300",
    'reactor_runs_active{namespace="reactor",pod="a"}': "8x320",
    'reactor_runs_active{namespace="reactor",pod="b"}': "8x320",
    'reactor_tenants_waiting{namespace="reactor",pod="a",database="grows"}': "20x119 stale",
    'reactor_tenants_waiting{namespace="reactor",pod="b",database="grows"}': "_x120 20x60 stale",
    'reactor_tenants_waiting{namespace="reactor",pod="b",database="shrinks"}': "3x180 stale",
}


def prometheus(tmp_path: Path, **asked: list[dict[str, Any]]) -> None:
    """Let it look at the alerts, or at queries, at some moment of the series."""
    rules = documents((FOLDER / "components" / "prometheus-operator" / "prometheusrule.yaml").read_text())[0][
        "spec"
    ]
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(rules))
    given = [{"series": name, "values": values} for name, values in SERIES.items()]
    test = {
        "rule_files": ["rules.yaml"],
        "evaluation_interval": "1m",
        "tests": [{"interval": "15s", "input_series": given, **asked}],
    }
    (tmp_path / "test.yaml").write_text(yaml.safe_dump(test))
    assert PROMTOOL is not None
    done = subprocess.run(
        [PROMTOOL, "test", "rules", "test.yaml"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def fires(alert: str, at: str, *values: str) -> dict[str, Any]:
    """For the database that grows, where there is a value."""
    said = ALERTS[alert]["annotations"]
    labels = {"namespace": "reactor", "database": "grows", "severity": ALERTS[alert]["labels"]["severity"]}

    def filled(text: str, value: str) -> str:
        before, _, rest = text.partition("{{ $value")
        shown = before + value + rest.partition("}}")[2] if rest else text
        return shown.replace("{{ $labels.database }}", "grows")

    expected = [
        {"exp_labels": labels, "exp_annotations": {name: filled(text, value) for name, text in said.items()}}
        for value in values
    ]
    return {"alertname": alert, "eval_time": at, "exp_alerts": expected}


def test_an_old_backlog_is_told_after_a_while_and_a_change_of_leader_is_no_pause(tmp_path: Path) -> None:
    prometheus(
        tmp_path,
        alert_rule_test=[
            fires("ReactorBacklogOld", "14m"),
            fires("ReactorBacklogOld", "16m", "11m 1s"),
            fires("ReactorBacklogOld", "33m", "28m 0s"),
        ],
    )


def test_a_backlog_that_grows_is_told_and_one_that_shrinks_is_not(tmp_path: Path) -> None:
    prometheus(
        tmp_path,
        alert_rule_test=[
            fires("ReactorBacklogGrows", "30m"),
            fires("ReactorBacklogGrows", "40m", "25k"),
        ],
    )


def test_the_autoscaler_asks_for_those_in_hand_and_those_who_wait(tmp_path: Path) -> None:
    (scaled,) = documents((FOLDER / "components" / "autoscaling-keda" / "scaledobject.yaml").read_text())
    (trigger,) = scaled["spec"]["triggers"]
    query = trigger["metadata"]["query"]
    prometheus(
        tmp_path,
        promql_expr_test=[
            {"expr": query, "eval_time": at, "exp_samples": [{"labels": "{}", "value": value}]}
            # With the old leader, in the minute of the change, and while nobody leads.
            for at, value in (("20m", 39), ("31m", 39), ("55m", 16))
        ],
    )


def test_handlers_without_connections_are_told_and_a_server_that_restarts_is_not(tmp_path: Path) -> None:
    alert = "ReactorHandlersStarve"
    starved = fires(alert, "30m", "")
    del starved["exp_alerts"][0]["exp_labels"]["database"]
    prometheus(
        tmp_path, alert_rule_test=[fires(alert, "9m"), fires(alert, "12m"), starved, fires(alert, "60m")]
    )
