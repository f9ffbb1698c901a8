"""The alert rules at their edges: what just does not fire, and what just does."""

import uuid

import pytest

from reactor.automation.rules import RULES, HourFacts, evaluate
from reactor.automation.tenant_settings import Severity

TENANT = uuid.uuid4()


@pytest.mark.parametrize(
    ("alert_type", "severity", "calm", "alarming"),
    [
        ("failure_rate", "critical", {"runs": 5, "runs_failed": 1}, {"runs": 9, "runs_failed": 2}),
        (
            "low_compliance",
            "warning",
            {"clocks": 10, "clocks_overdue": 2},
            {"clocks": 9, "clocks_overdue": 2},
        ),
        ("blocked_share", "warning", {"planned": 10, "blocked": 3}, {"planned": 10, "blocked": 4}),
        ("slow_runs", "warning", {"mean_run_seconds": 300.0}, {"mean_run_seconds": 300.1}),
        ("policy_blocks", "warning", {"violations": 9}, {"violations": 10}),
        (
            "email_spike",
            "warning",
            {"emails": 12, "emails_mean": 6.0, "hours_of_data": 24},
            {"emails": 13, "emails_mean": 6.0, "hours_of_data": 24},
        ),
        (
            "email_spike",
            "warning",
            {"emails": 100, "emails_mean": 5.0, "hours_of_data": 168},
            {"emails": 100, "emails_mean": 5.1, "hours_of_data": 168},
        ),
        (
            "email_spike",
            "warning",
            {"emails": 100, "emails_mean": 6.0, "hours_of_data": 23},
            {"emails": 100, "emails_mean": 6.0, "hours_of_data": 24},
        ),
    ],
)
def test_a_rule_fires_beyond_its_threshold_and_not_at_it(alert_type, severity, calm, alarming):
    assert evaluate(HourFacts(TENANT, **calm)) == []
    [finding] = evaluate(HourFacts(TENANT, **alarming))
    assert (finding.alert_type, finding.severity) == (alert_type, Severity(severity))


def test_an_hour_in_which_nothing_happened_breaks_no_rule():
    assert evaluate(HourFacts(TENANT)) == []


@pytest.mark.parametrize("planned", [1, 3])
def test_never_more_than_all_of_the_planned_actions_were_blocked(planned):
    [finding] = evaluate(HourFacts(TENANT, planned=planned, blocked=3))
    assert finding.message == "policies blocked 100% of the planned actions (3 of 3)"
    assert evaluate(HourFacts(TENANT, planned=0, blocked=3)) == []


def test_several_rules_may_fire_at_once_and_there_are_six():
    assert len(RULES) == 6
    found = evaluate(HourFacts(TENANT, runs=1, runs_failed=1, violations=10, mean_run_seconds=999))
    assert {finding.alert_type for finding in found} == {"failure_rate", "policy_blocks", "slow_runs"}
