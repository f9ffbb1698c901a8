"""The policies as pure functions."""

import uuid
from datetime import UTC, datetime
from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reactor.automation import policies
from reactor.automation.policies import Action, Cause, Facts, Slot, Suppressions
from reactor.automation.tenant_settings import ActionType, AgentSettings

NOBODY = Suppressions(frozenset(), frozenset())
ANN = uuid.uuid4()


def facts(
    *, overdue: int = 0, suppressions: Suppressions | None = NOBODY, allowed: frozenset[str] | None = None
):
    return Facts(frozenset(ActionType) if allowed is None else allowed, overdue, suppressions)


def action(
    kind: str = ActionType.EMAIL_SEND, cause: Cause = Cause.COMPLIANCE_DEADLINE, **more: object
) -> Action:
    return Action(kind, cause, **{"contact_id": ANN, "address": "ann@widgets.test", **more})


def blocked_by(an_action: Action, some_facts: Facts) -> str | None:
    violation = policies.check(an_action, some_facts)
    return None if violation is None else violation.policy


@pytest.mark.parametrize("kind", list(ActionType))
def test_an_ordinary_action_is_allowed(kind):
    assert blocked_by(action(kind), facts()) is None


def test_what_the_tenant_does_not_list_or_nobody_knows_is_blocked():
    listed = facts(allowed=frozenset({ActionType.CREATE_TASK}))
    assert blocked_by(action(), listed) == "allowed_action_types"
    assert blocked_by(action(ActionType.CREATE_TASK), listed) is None
    assert blocked_by(action("launch_rocket"), facts()) == "allowed_action_types"


@pytest.mark.parametrize(
    ("cause", "blocked"),
    [
        (Cause.INITIATIVE, True),
        (Cause.CLIENT_REQUEST, False),
        (Cause.COMPLIANCE_DEADLINE, False),
        (Cause.ESCALATION, False),
    ],
)
def test_a_task_for_a_person_needs_a_reason(cause, blocked):
    found = blocked_by(action(ActionType.CREATE_TASK, cause), facts())
    assert found == ("human_task_no_request" if blocked else None)


@pytest.mark.parametrize(
    ("overdue", "said"), [(1, "1 clock is overdue; it"), (2, "2 clocks are overdue; they")]
)
def test_the_reason_counts_clocks_as_people_do(overdue, said):
    violation = policies.check(action(ActionType.RESEARCH, topic="market"), facts(overdue=overdue))
    assert violation is not None
    assert violation.reason == f"{said} come{'s' if overdue == 1 else ''} before research"


@pytest.mark.parametrize(
    ("overdue", "topic", "blocked"),
    [(1, None, True), (1, "market", True), (1, "contact_discovery", False), (0, "market", False)],
)
def test_research_waits_until_nobody_is_overdue_except_for_finding_contacts(overdue, topic, blocked):
    found = blocked_by(action(ActionType.RESEARCH, topic=topic), facts(overdue=overdue))
    assert found == ("research_before_exhaustion" if blocked else None)


@pytest.mark.parametrize("word", policies.SENSITIVE)
@pytest.mark.parametrize(
    "place", ["key", "value", "nested", "upper", "line", "tab", "quoted", "lines", "odd"]
)
def test_a_payload_that_names_something_sensitive_is_blocked_wherever_it_stands(word, place):
    payload = {
        "key": {word: True},
        "value": {"sql": f"please {word} now"},
        "nested": {"steps": [{"do": [word]}]},
        "upper": {"command": word.upper()},
        "line": {"text": f"Hello,\n{word} now"},
        "tab": {f"a\t{word}": 1},
        "quoted": {"text": f'say "{word}"\\'},
        "lines": {"text": f"\b{word}\r\n"},
        "odd": {"deep": MappingProxyType({"set": frozenset({f"\n{word}"})})},
    }[place]
    assert blocked_by(action(payload=payload), facts()) == "sensitive_action"


def test_words_that_merely_contain_a_sensitive_one_are_fine():
    assert blocked_by(action(payload={"text": "the file was truncated"}), facts()) is None


@pytest.mark.parametrize("kind", [ActionType.EMAIL_SEND, ActionType.EMAIL_SUGGEST])
def test_suppressed_recipients_are_blocked_by_contact_and_by_address_in_any_spelling(kind):
    by_contact = facts(suppressions=Suppressions(frozenset({ANN}), frozenset()))
    by_address = facts(suppressions=Suppressions(frozenset(), frozenset({"ann@widgets.test"})))
    assert blocked_by(action(kind), by_contact) == "suppression"
    assert (
        blocked_by(action(kind, contact_id=None, address=" Ann@Widgets.TEST "), by_address) == "suppression"
    )
    assert blocked_by(action(kind, contact_id=uuid.uuid4(), address="bob@widgets.test"), by_contact) is None


def test_a_suppressed_contact_may_still_become_a_task():
    suppressed = facts(suppressions=Suppressions(frozenset({ANN}), frozenset()))
    assert blocked_by(action(ActionType.CREATE_TASK), suppressed) is None


def test_an_unreadable_suppression_list_fails_closed():
    assert blocked_by(action(), facts(suppressions=None)) == "suppression"
    assert blocked_by(action(address=None), facts()) == "suppression"
    assert blocked_by(action(ActionType.CREATE_TASK), facts(suppressions=None)) is None


def test_a_closed_window_blocks_and_says_when_it_opens():
    opens = datetime(2030, 1, 1, 12, tzinfo=UTC)
    assert policies.rate_limit(action(), Slot(opens, True, "the limit")) is None
    waiting = policies.rate_limit(action(), Slot(opens, False, "the limit"))
    assert waiting is not None
    assert (waiting.policy, waiting.retry_at) == ("rate_limit", opens)
    never = policies.rate_limit(action(), Slot(None, False, "the limit"))
    assert never is not None
    assert never.retry_at is None


def test_each_kind_has_its_own_limits():
    settings = AgentSettings(max_emails_per_hour=3, max_emails_per_day=9, max_actions_per_hour=50)
    email = policies.limits_for(ActionType.EMAIL_SEND, settings)
    assert (email.per_hour, email.per_day, email.actions_per_hour) == (3, 9, 50)
    defaults = AgentSettings()
    assert policies.limits_for(ActionType.EMAIL_SEND, defaults).per_hour == 20
    assert policies.limits_for(ActionType.EMAIL_SEND, defaults).per_day == 100
    assert policies.limits_for(ActionType.RESEARCH, defaults).per_hour == 10
    assert policies.limits_for(ActionType.SANDBOX, defaults).per_hour == 5
    assert policies.limits_for(ActionType.CREATE_TASK, defaults).per_hour is None
    assert policies.limits_for(ActionType.CREATE_TASK, defaults).actions_per_hour == 100


@given(
    kind=st.sampled_from([*ActionType, "unknown"]),
    cause=st.sampled_from(Cause),
    overdue=st.integers(0, 3),
    suppressed=st.booleans(),
    readable=st.booleans(),
    payload=st.dictionaries(st.text(), st.text()),
)
def test_no_email_passes_that_a_policy_forbids(kind, cause, overdue, suppressed, readable, payload):
    found = Suppressions(frozenset({ANN} if suppressed else ()), frozenset()) if readable else None
    violation = policies.check(
        action(kind, cause, payload=payload), facts(overdue=overdue, suppressions=found)
    )
    if violation is None:
        assert kind in ActionType
        assert not (
            kind in (ActionType.EMAIL_SEND, ActionType.EMAIL_SUGGEST) and (suppressed or not readable)
        )
        assert not (kind == ActionType.CREATE_TASK and cause is Cause.INITIATIVE)
        assert not (kind == ActionType.RESEARCH and overdue)
    else:
        assert violation.policy in policies.POLICIES
        assert violation.reason
