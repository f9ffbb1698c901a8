"""What a person finds on the board about an order."""

from uuid import UUID

from reactor.automation.order_cards import card_id, cards
from reactor.automation.order_findings import RULES, Check, Code, Finding, Severity

ORDER, QUEUE, CLIENT = (UUID(int=n) for n in (1, 2, 3))


def found(*codes: Code) -> tuple[Finding, ...]:
    return tuple(Finding(code, f"about {code}", {}) for code in codes)


def test_warnings_put_nothing_on_the_board():
    warnings = [code for code, rule in RULES.items() if rule.severity is Severity.WARNING]
    assert warnings
    assert list(cards(ORDER, QUEUE, CLIENT, found(*warnings))) == []


def test_each_failed_check_is_one_card_with_all_its_serious_findings():
    findings = found(
        Code.FEE_NOT_POSITIVE,
        Code.CREDIT_NEARLY_USED,
        Code.CREDIT_EXCEEDED,
        Code.CLIENT_INACTIVE,
        Code.LOCALITY_INCOMPLETE,
    )
    pricing, credit = cards(ORDER, QUEUE, CLIENT, findings)
    assert (pricing.priority, credit.priority) == ("medium", "high")
    assert credit.action_payload["exception_type"] == "credit"
    assert credit.action_payload["severity"] == "critical"
    assert credit.action_payload["code"] == "client_inactive"
    told = [entry["details"]["code"] for entry in credit.action_payload["exceptions"]]
    assert told == ["credit_exceeded", "client_inactive"]
    assert credit.description == "about credit_exceeded\nabout client_inactive"
    assert credit.client_id == CLIENT


def test_a_card_has_the_same_id_whenever_the_same_order_fails_the_same_check():
    (first,) = cards(ORDER, QUEUE, CLIENT, found(Code.CREDIT_EXCEEDED))
    (second,) = cards(ORDER, QUEUE, None, found(Code.CLIENT_MISSING))
    assert first.id == second.id == card_id(ORDER, "credit")
    assert len({card_id(order, check) for order in (ORDER, QUEUE) for check in Check}) == 6
