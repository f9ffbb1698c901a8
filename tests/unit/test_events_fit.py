"""A payload becomes a model, and an amount in it is what was written."""

from decimal import Decimal
from time import process_time
from typing import Annotated, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from reactor.events import fit


class Line(BaseModel):
    price: Decimal


class Invoice(BaseModel):
    total: Decimal
    lines: list[Line] = []
    share: float = 0
    note: str = ""
    parent: "Invoice | None" = None


class Strict(BaseModel):
    model_config = ConfigDict(strict=True)
    total: Decimal
    share: float


class Free(BaseModel):
    anything: Any


class Place(BaseModel):
    model_config = ConfigDict(extra="allow", frozen=True)
    fee: Decimal = Decimal(0)
    also: list[Any] = []
    named: dict[str, Any] = {}
    either: Decimal | str = ""
    inner: "Place | None" = None


class Child(BaseModel):
    cost: Decimal
    above: Any = None


class Family(BaseModel):
    children: list[Child]

    @model_validator(mode="after")
    def knows_its_children(self) -> "Family":
        for child in self.children:
            child.above = self
        return self


class Exact(BaseModel):
    total: Annotated[Decimal, Field(max_digits=20, decimal_places=2)]
    note: Any = None


@pytest.mark.parametrize(
    "amount", ["99999999999999.99", "-99999999999999.99", "1.123456789012345678", "20.00", "0.1", "7"]
)
def test_an_amount_is_exact_whether_a_number_or_a_string(amount):
    for written in (amount, f'"{amount}"'):
        invoice = fit(Invoice, f'{{"total": {written}, "lines": [{{"price": {written}}}]}}')
        assert invoice.total == invoice.lines[0].price == Decimal(amount)


@given(st.decimals(allow_nan=False, allow_infinity=False, places=6), st.text(), st.floats(0, 1))
def test_nothing_else_of_the_payload_changes(amount, note, share):
    given = Invoice(
        total=amount, note=f"{note} 12345678901.123456789", share=share, parent=Invoice(total=amount)
    )
    text = given.model_dump_json().replace(f'"total":"{amount}"', f'"total":{amount:f}')
    assert fit(Invoice, text) == given


def test_a_long_number_where_no_amount_is_wanted_stays_a_number():
    long = "52.520006599999988"
    text = f'{{"fee": {long}, "also": [{long}, "{long}"], "named": {{"lat": [{long}]}}, "lat": {long}'
    place = fit(Place, f'{text}, "inner": {text}, "either": {long}}}}}')
    inner = place.inner
    assert inner is not None
    for one in (place, inner):
        assert one.fee == Decimal(long)
        assert one.also == [float(long), long]
        assert one.named == {"lat": [float(long)]}
        assert one.model_extra == {"lat": float(long)}
    assert inner.either == Decimal(long)
    assert "either" not in place.model_fields_set


def test_a_model_that_leads_back_to_itself_fits():
    family = fit(Family, '{"children": [{"cost": 1.123456789012345678}]}')
    assert family.children[0].cost == Decimal("1.123456789012345678")
    assert family.children[0].above is family


def test_an_amount_that_only_fits_as_it_was_written_fits():
    exact = fit(Exact, '{"total": 99999999999999999.99}')
    assert exact.total == Decimal("99999999999999999.99")


def test_a_model_without_an_amount_gets_the_number_that_json_has():
    assert fit(Free, '{"anything": 0.12345678901234567}').anything == 0.12345678901234567


def test_a_field_that_takes_no_string_gets_a_number():
    assert fit(Strict, '{"total": 1.5, "share": 0.30000000000000004}').share == 0.30000000000000004


def test_what_is_wrong_is_said_of_the_payload_as_it_is():
    with pytest.raises(ValidationError) as caught:
        fit(Invoice, '{"total": 99999999999999.99, "share": "much"}')
    (error,) = caught.value.errors()
    assert (error["loc"], error["input"]) == (("share",), "much")


def test_a_number_of_a_hundred_thousand_digits_is_read_in_a_moment():
    """It took half a minute, in which the whole replica stood still."""
    began = process_time()
    with pytest.raises(ValidationError):
        fit(Invoice, f'{{"total": 1.5, "share": "much", "note": {"7" * 100_000}}}')
    assert process_time() - began < 2
