"""tenants.agent_settings: what is read, what is refused, and that a wrong part harms nothing else."""

import uuid

import pytest

from reactor.automation.followup import OverdueClock, card_for, priority_for, propose
from reactor.automation.templates import Tone
from reactor.automation.tenant_settings import (
    KNOWN_KEYS,
    ActionType,
    AgentSettings,
    AlertSettings,
    EmailMode,
    Severity,
    check_settings,
    parse_settings,
)

SECRET = "whsec_" + "c2VjcmV0IHNlY3JldCBzZWNyZXQgc2VjcmV0"


def test_nothing_said_means_the_documented_defaults():
    settings = parse_settings(None).settings
    assert settings.email_mode is EmailMode.SUGGEST
    assert settings.allowed_action_types is None
    assert (settings.max_emails_per_hour, settings.max_emails_per_day, settings.max_actions_per_hour) == (
        20,
        100,
        100,
    )
    assert settings.alerts.min_severity is Severity.INFO


@pytest.mark.parametrize("key", sorted(KNOWN_KEYS))
def test_null_is_a_key_that_is_not_there(key):
    loaded = parse_settings({key: None})
    assert (loaded.settings, loaded.problems) == (AgentSettings(), ())
    assert check_settings({key: None}) == []


def test_null_is_a_key_that_is_not_there_within_a_setting_too():
    alerts = dict.fromkeys(AlertSettings.model_fields)
    loaded = parse_settings({"alerts": alerts, "templates": dict.fromkeys(Tone), "email_mode": "send"})
    assert loaded.problems == ()
    assert loaded.settings == AgentSettings(email_mode=EmailMode.SEND)


def test_keys_of_the_application_are_left_alone_but_told_to_who_saves():
    raw = {"email_mode": "send", "theme": "dark"}
    assert parse_settings(raw).usable
    assert check_settings(raw) == ["theme: not a setting of ours"]


@pytest.mark.parametrize(
    ("raw", "where"),
    [
        ({"email_mode": "shout"}, "email_mode"),
        ({"max_emails_per_hour": -1}, "max_emails_per_hour"),
        ({"max_emails_per_hour": "many"}, "max_emails_per_hour"),
        ({"allowed_action_types": ["launch"]}, "allowed_action_types.0"),
        ({"email_from": "nobody"}, "email_from"),
        ({"templates": {"furious": {"subject": "x", "text": "y"}}}, "templates.furious"),
        ({"templates": {"urgent": {"subject": "x"}}}, "templates.urgent.text"),
        ({"templates": {"urgent": {"subject": "{{", "text": "y"}}}, "templates.urgent.subject"),
        ({"alerts": {"webhook_url": "https://hook.test"}}, "alerts"),
        ({"alerts": {"webhook_url": "nowhere", "webhook_secret": SECRET}}, "alerts.webhook_url"),
        ({"alerts": {"webhook_url": "https://a.test", "webhook_secret": "short"}}, "alerts.webhook_secret"),
        ({"alerts": {"emails": ["nobody"]}}, "alerts.emails.0"),
        ({"alerts": {"min_severity": "loud"}}, "alerts.min_severity"),
        ({"alerts": {"webhok_url": "https://a.test"}}, "alerts.webhok_url"),
        ([], "agent_settings"),
        ("send", "agent_settings"),
    ],
)
def test_what_is_wrong_is_named_and_the_rest_is_still_read(raw, where):
    if isinstance(raw, dict):
        raw = {"max_actions_per_hour": 7, **raw}
    loaded = parse_settings(raw)
    assert not loaded.usable
    assert any(problem.startswith(where) for problem in loaded.problems), loaded.problems
    if isinstance(raw, dict):
        assert loaded.settings.max_actions_per_hour == 7
    assert loaded.channels_known == (not where.startswith("alerts"))


def test_no_secret_appears_in_a_problem_or_a_repr():
    raw = {"alerts": {"webhook_url": "nowhere", "webhook_secret": ["sesame-open", SECRET]}}
    assert "sesame" not in str(parse_settings(raw))
    for url in (
        "https://me:open/sesame@a.test",
        "https://me:sesame",
        "https://[sesame]/",
        "https://a.test:sesame",
    ):
        told = parse_settings({"alerts": {"webhook_url": url, "webhook_secret": SECRET}})
        assert "alerts.webhook_url: this is not a URL" in told.problems[0]
        assert "sesame" not in str(told)
        assert "open" not in str(told)
    good = parse_settings({"alerts": {"webhook_url": "https://a.test", "webhook_secret": SECRET}})
    assert good.usable
    assert SECRET not in repr(good)


def test_one_secret_or_several():
    one = parse_settings({"alerts": {"webhook_url": "https://a.test", "webhook_secret": SECRET}})
    two = parse_settings({"alerts": {"webhook_url": "https://a.test", "webhook_secret": [SECRET, SECRET]}})
    assert (len(one.settings.alerts.webhook_secret), len(two.settings.alerts.webhook_secret)) == (1, 2)


@pytest.mark.parametrize(
    ("days", "priority"), [(0, "low"), (7, "low"), (8, "medium"), (14, "medium"), (15, "high"), (100, "high")]
)
def test_priority_by_days(days, priority):
    assert priority_for(days) == priority


def clock(**more):
    fields = {
        "id": uuid.uuid4(),
        "days_overdue": 10,
        "score": 20.0,
        "client_id": None,
        "contact_id": uuid.uuid4(),
        "first_name": "Ada",
        "last_name": "Lovelace",
        "email": "ada@widgets.test",
        "title": "",
        "company_name": "Widgets",
    }
    return OverdueClock(**{**fields, **more})


@pytest.mark.parametrize(
    ("mode", "email", "kind"),
    [
        ("suggest", "ada@widgets.test", ActionType.EMAIL_SUGGEST),
        ("send", "ada@widgets.test", ActionType.EMAIL_SEND),
        ("dry_run", "ada@widgets.test", ActionType.EMAIL_SEND),
        ("send", "", ActionType.CREATE_TASK),
        ("send", "no address", ActionType.CREATE_TASK),
    ],
)
def test_what_an_overdue_clock_calls_for(mode, email, kind):
    settings = parse_settings({"email_mode": mode}).settings
    proposal = propose(clock(email=email), settings, tenant_name="Acme", sender_name="Acme")
    assert proposal.action.type == kind
    card = card_for(proposal)
    assert card["type"] == ("create_task" if kind == ActionType.CREATE_TASK else "send_email")
    assert "Ada Lovelace (Widgets)" in str(card["title"])


@pytest.mark.parametrize("fails", ["title > 3", "1e999 > days_overdue"])
def test_a_template_that_fails_only_for_some_people_gives_way_to_ours(fails):
    risky = f"{{% if days_overdue > 100 %}}{{{{ {fails} }}}}{{% endif %}}Hey"
    loaded = parse_settings({"templates": {"urgent": {"subject": "Hey", "text": risky}}})
    assert loaded.usable
    proposal = propose(clock(days_overdue=101), loaded.settings, tenant_name="Acme", sender_name="Acme")
    assert proposal.letter is not None
    assert proposal.letter.subject == "We would like to hear from you, Ada"
