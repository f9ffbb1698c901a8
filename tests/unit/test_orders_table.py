"""Each row of the table of checks, by name, and what we decided where the table is silent."""

from dataclasses import replace
from decimal import Decimal
from uuid import UUID

import pytest

from reactor.automation.order_findings import Check, Code, Outcome, Severity, card_priority
from reactor.automation.orders import Client, Judgement, Order, Product, judge

CLIENT_ID = UUID("00000000-0000-7000-8000-00000000c11e")

GOOD = Order(
    id=UUID("00000000-0000-7000-8000-00000000002d"),
    client_id=CLIENT_ID,
    status="new",
    payment_method="card",
    fee_amount=Decimal("450.00"),
    total_amount=Decimal("475.00"),
    tech_fee=Decimal("25.00"),
    property_address="12 Elm Street",
    property_city="Springfield",
    property_state="OH",
    property_zip="45501",
    borrower_name="A. Borrower",
    borrower_email="borrower@example.test",
    borrower_phone="555-0100",
    property_contact_phone="555-0101",
)
ON_CREDIT = replace(GOOD, payment_method="bill")
PRODUCT = Product(min_price=Decimal("400.00"), max_price=Decimal("900.00"))
CLIENT = Client(id=CLIENT_ID, is_active=True, credit_limit=Decimal("10000.00"), balance=Decimal("1000.00"))


def codes(judgement: Judgement) -> set[Code]:
    return {finding.code for finding in judgement.findings}


def look(order: Order, product: Product | None = PRODUCT, client: Client | None = CLIENT, taken: str = "0"):
    return judge(order, product, client, Decimal(taken))


def test_an_order_with_nothing_wrong_is_validated_without_findings_or_fixes():
    judged = look(ON_CREDIT)
    assert (judged.outcome, judged.findings, judged.fixes) == (Outcome.VALIDATED, (), ())
    assert all(judged.passed(check) for check in Check)


@pytest.mark.parametrize("fee", [Decimal(0), Decimal("-0.01"), None])
def test_pricing_a_fee_that_is_not_above_zero_is_an_error(fee):
    judged = look(replace(GOOD, fee_amount=fee))
    assert Code.FEE_NOT_POSITIVE in codes(judged)
    assert not judged.passed(Check.PRICING)
    assert judged.outcome is Outcome.EXCEPTION


def test_pricing_a_total_below_the_fee_becomes_the_fee():
    judged = look(replace(GOOD, total_amount=Decimal("449.99")))
    (fix,) = judged.fixes
    assert (fix.field, fix.old_value, fix.new_value) == ("total_amount", Decimal("449.99"), Decimal("450.00"))
    assert fix.entry()["old_value"] == "449.99"
    assert judged.outcome is Outcome.VALIDATED
    assert judged.findings == ()


def test_pricing_a_total_that_was_never_filled_in_becomes_the_fee():
    judged = look(replace(GOOD, total_amount=None))
    assert judged.new_value("total_amount") == Decimal("450.00")
    assert judged.outcome is Outcome.VALIDATED


def test_pricing_a_total_equal_to_the_fee_is_left_alone():
    assert look(replace(GOOD, total_amount=Decimal(450))).fixes == ()


def test_pricing_a_negative_tech_fee_becomes_zero():
    judged = look(replace(GOOD, tech_fee=Decimal(-3)))
    assert judged.new_value("tech_fee") == 0
    assert judged.new_value("total_amount") is None
    assert judged.outcome is Outcome.VALIDATED


def test_pricing_a_missing_tech_fee_stays_missing():
    judged = look(replace(GOOD, tech_fee=None))
    assert (judged.fixes, judged.findings) == ((), ())


@pytest.mark.parametrize(
    ("fee", "code"),
    [("399.99", Code.FEE_BELOW_MINIMUM), ("900.01", Code.FEE_ABOVE_MAXIMUM)],
)
def test_pricing_a_fee_outside_the_products_band_is_a_warning(fee, code):
    judged = look(replace(GOOD, fee_amount=Decimal(fee), total_amount=Decimal(1000)))
    assert codes(judged) == {code}
    assert judged.findings[0].rule.severity is Severity.WARNING
    assert judged.outcome is Outcome.VALIDATED


@pytest.mark.parametrize("fee", ["400.00", "900.00"])
def test_pricing_a_fee_on_the_edge_of_the_band_is_inside(fee):
    assert look(replace(GOOD, fee_amount=Decimal(fee), total_amount=Decimal(1000))).findings == ()


@pytest.mark.parametrize("product", [None, Product(None, None), Product(Decimal("NaN"), Decimal("NaN"))])
def test_pricing_without_a_band_every_fee_is_inside(product):
    assert look(replace(GOOD, fee_amount=Decimal("0.01")), product).findings == ()


@pytest.mark.parametrize("field", ["fee_amount", "total_amount", "tech_fee"])
@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity"])
def test_pricing_an_amount_that_is_no_number_is_an_error_and_never_mended(field, value):
    judged = look(replace(GOOD, **{field: Decimal(value)}))
    assert codes(judged) == {Code.AMOUNT_UNUSABLE}
    assert judged.findings[0].facts["field"] == field
    assert judged.fixes == ()
    assert judged.outcome is Outcome.EXCEPTION


def test_credit_is_asked_about_only_when_the_order_is_billed_later():
    broke = replace(CLIENT, is_active=False, credit_limit=Decimal(0))
    for method in ("card", "ach", None, "BILL"):
        judged = look(replace(GOOD, payment_method=method), client=broke)
        assert judged.findings == ()
        assert judged.passed(Check.CREDIT)
        assert judged.takes_credit == 0


def test_credit_a_missing_client_is_an_error():
    judged = look(ON_CREDIT, client=None)
    assert codes(judged) == {Code.CLIENT_MISSING}
    assert judged.findings[0].rule.severity is Severity.ERROR
    assert not judged.passed(Check.CREDIT)


def test_credit_an_inactive_client_is_critical():
    judged = look(ON_CREDIT, client=replace(CLIENT, is_active=False))
    assert codes(judged) == {Code.CLIENT_INACTIVE}
    assert judged.findings[0].rule.severity is Severity.CRITICAL
    assert not judged.passed(Check.CREDIT)


def test_credit_a_client_who_was_never_made_inactive_is_active():
    assert look(ON_CREDIT, client=replace(CLIENT, is_active=None)).outcome is Outcome.VALIDATED


def test_credit_an_order_that_just_fits_passes_and_one_cent_more_does_not():
    order = replace(ON_CREDIT, total_amount=Decimal("8999.99"))
    fits = look(order, taken="0.01")
    assert fits.passed(Check.CREDIT)
    assert fits.takes_credit == Decimal("8999.99")
    exceeds = look(order, taken="0.02")
    assert Code.CREDIT_EXCEEDED in codes(exceeds)
    assert not exceeds.passed(Check.CREDIT)
    assert exceeds.takes_credit == 0


def test_credit_counts_the_total_as_corrected():
    order = replace(ON_CREDIT, fee_amount=Decimal("9000.01"), total_amount=Decimal("1.00"))
    assert Code.CREDIT_EXCEEDED in codes(look(order, product=None))


def test_credit_use_above_eighty_percent_is_a_warning_and_exactly_eighty_is_not():
    at_eighty = replace(ON_CREDIT, total_amount=Decimal("7000.00"))
    assert look(at_eighty).findings == ()
    above = look(replace(ON_CREDIT, total_amount=Decimal("7000.01")))
    assert codes(above) == {Code.CREDIT_NEARLY_USED}
    assert above.outcome is Outcome.VALIDATED


@pytest.mark.parametrize("limit", [None, "NaN", "-Infinity", "0"])
def test_credit_no_limit_means_no_credit_was_given(limit):
    client = replace(CLIENT, credit_limit=None if limit is None else Decimal(limit), balance=Decimal(0))
    assert Code.CREDIT_EXCEEDED in codes(look(ON_CREDIT, client=client))


def test_credit_an_infinite_limit_is_never_exceeded():
    client = replace(CLIENT, credit_limit=Decimal("Infinity"))
    assert look(ON_CREDIT, client=client, taken="1e12").findings == ()


def test_credit_a_missing_balance_means_nothing_is_owed():
    client = replace(CLIENT, balance=None)
    assert look(replace(ON_CREDIT, total_amount=Decimal(8000)), client=client).findings == ()


@pytest.mark.parametrize("balance", ["NaN", "Infinity", "-Infinity"])
def test_credit_a_balance_that_is_no_number_leaves_no_credit(balance):
    client = replace(CLIENT, balance=Decimal(balance))
    assert not look(ON_CREDIT, client=client).passed(Check.CREDIT)


def test_credit_fails_closed_when_what_others_take_is_unknown():
    assert not look(ON_CREDIT, taken="NaN").passed(Check.CREDIT)


def test_credit_cannot_be_given_for_a_total_that_cannot_be_read():
    judged = look(replace(ON_CREDIT, fee_amount=None, total_amount=None))
    assert Code.CREDIT_EXCEEDED in codes(judged)


@pytest.mark.parametrize("status", ["billed", "Paid", "cancelled", "void"])
def test_credit_an_order_that_is_billed_already_takes_nothing_more(status):
    assert look(replace(ON_CREDIT, status=status)).takes_credit == 0


@pytest.mark.parametrize("status", ["new", "completed", None])
def test_credit_any_other_validated_order_takes_its_total(status):
    assert look(replace(ON_CREDIT, status=status)).takes_credit == Decimal("475.00")


def test_credit_an_order_that_fails_another_check_takes_nothing():
    judged = look(replace(ON_CREDIT, property_address=None))
    assert judged.passed(Check.CREDIT)
    assert judged.takes_credit == 0


def test_credit_arithmetic_keeps_every_digit():
    taken = "123456789012345678901234567890.01"
    order = replace(ON_CREDIT, total_amount=Decimal("1000.00"))
    enough = replace(CLIENT, balance=Decimal(0), credit_limit=Decimal("123456789012345678901234568890.01"))
    assert look(order, client=enough, taken=taken).takes_credit == 1000
    short = replace(enough, credit_limit=Decimal("123456789012345678901234568890.00"))
    assert Code.CREDIT_EXCEEDED in codes(look(order, client=short, taken=taken))


@pytest.mark.parametrize("blank", [None, "", "  \t"])
@pytest.mark.parametrize(
    ("fields", "code", "outcome"),
    [
        (["property_address"], Code.ADDRESS_MISSING, Outcome.EXCEPTION),
        (["property_city"], Code.LOCALITY_INCOMPLETE, Outcome.VALIDATED),
        (["property_state"], Code.LOCALITY_INCOMPLETE, Outcome.VALIDATED),
        (["property_zip"], Code.LOCALITY_INCOMPLETE, Outcome.VALIDATED),
        (["property_city", "property_state", "property_zip"], Code.LOCALITY_INCOMPLETE, Outcome.VALIDATED),
        (["borrower_name"], Code.BORROWER_NAME_MISSING, Outcome.VALIDATED),
        (["borrower_email", "borrower_phone"], Code.BORROWER_UNREACHABLE, Outcome.EXCEPTION),
        (["property_contact_phone"], Code.CONTACT_PHONE_MISSING, Outcome.VALIDATED),
    ],
)
def test_requirements_what_is_missing_is_found(fields, code, outcome, blank):
    judged = look(replace(GOOD, **dict.fromkeys(fields, blank)))
    assert [finding.code for finding in judged.findings] == [code]
    assert judged.outcome is outcome
    assert judged.passed(Check.REQUIREMENTS) is (outcome is Outcome.VALIDATED)


@pytest.mark.parametrize("field", ["borrower_email", "borrower_phone"])
def test_requirements_one_way_to_reach_the_borrower_is_enough(field):
    assert look(replace(GOOD, **{field: None})).findings == ()


def test_a_message_names_what_is_missing_of_the_place():
    judged = look(replace(GOOD, property_city=None, property_zip=""))
    assert judged.findings[0].message == "The property's city, zip are missing."
    assert judged.findings[0].details() == {"code": "locality_incomplete", "missing": "city, zip"}


def test_only_errors_and_critical_findings_ask_for_a_person():
    assert [card_priority(s) for s in Severity] == [None, None, "medium", "high"]
