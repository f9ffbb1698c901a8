"""What is wrong with an order, and what may be mended without asking: pure decisions.

Nothing here reads or writes. The handler loads an `Order` with its product and client, asks `judge`, and
writes down what came back.

Rows of the table are independent: an order that exceeds the credit also uses more than 80 % of it, and is
told both. Where the table is silent:

- A text is missing when it is NULL or blank.
- A fee of NULL is no fee: `FEE_NOT_POSITIVE`. A total of NULL was never filled in: it becomes the fee, like
  any total that is too small. A tech fee of NULL stays NULL.
- NaN and the infinities are what a broken calculation leaves behind. Nobody may guess what was meant, so
  nothing is mended and the order is invalid: `AMOUNT_UNUSABLE`. For credit such a total is larger than any.
- No credit limit (NULL, NaN) means no credit was given, a balance of NULL that nothing is owed, and a
  balance that is no number that nobody knows what is owed: no credit is left. A limit of infinity is a client
  who may always buy.
- A client whose is_active is NULL was never made inactive.
- A bound of a product that is NULL or NaN is no bound.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from decimal import MAX_EMAX, MAX_PREC, MIN_EMIN, Context, Decimal, localcontext
from typing import Final
from uuid import UUID

from reactor.automation.order_findings import Code, Finding, Fix, Judgement, Outcome, amount

ZERO: Final = Decimal(0)
INFINITE: Final = Decimal("Infinity")
NEARLY_USED: Final = Decimal("0.8")

BILLED_LATER: Final = "bill"
"""The payment method that lives on the client's credit."""

SETTLED_STATUSES: Final = (
    "billed",
    "invoiced",
    "paid",
    "refunded",
    "rejected",
    "cancelled",
    "canceled",
    "voided",
    "void",
)
"""Statuses of an order that takes no credit of its own any more: either the application has moved its amount
into clients.balance (counting it again would refuse good orders) or nobody will ever be billed for it. Any
other status, NULL too, is an order still to be billed."""


@dataclass(frozen=True, slots=True)
class Order:
    id: UUID
    client_id: UUID | None
    status: str | None
    payment_method: str | None
    fee_amount: Decimal | None
    total_amount: Decimal | None
    tech_fee: Decimal | None
    property_address: str | None
    property_city: str | None
    property_state: str | None
    property_zip: str | None
    borrower_name: str | None
    borrower_email: str | None
    borrower_phone: str | None
    property_contact_phone: str | None

    @property
    def on_credit(self) -> bool:
        return self.payment_method == BILLED_LATER

    @property
    def unbilled(self) -> bool:
        return self.status is None or self.status.lower() not in SETTLED_STATUSES


@dataclass(frozen=True, slots=True)
class Product:
    min_price: Decimal | None
    max_price: Decimal | None


@dataclass(frozen=True, slots=True)
class Client:
    id: UUID
    is_active: bool | None
    credit_limit: Decimal | None
    balance: Decimal | None


def exact() -> AbstractContextManager[Context]:
    """Arithmetic that keeps every digit, as numeric does in Postgres; Python's default rounds at 28."""
    return localcontext(Context(prec=MAX_PREC, Emax=MAX_EMAX, Emin=MIN_EMIN))


def judge(order: Order, product: Product | None, client: Client | None, taken: Decimal) -> Judgement:
    """Judge one order.

    `taken` is the credit that the tenant's earlier validated, unbilled orders of the same client take
    already, those judged before this one in the same batch included.
    """
    with exact():
        fixes = tuple(_fixes(order))
        total = next((fix.new_value for fix in fixes if fix.field == "total_amount"), order.total_amount)
        findings = (
            *_pricing(order, product),
            *(_credit(client, total, taken) if order.on_credit else ()),
            *_requirements(order),
        )
        judged = Judgement(findings, fixes, ZERO)
        if judged.outcome is Outcome.VALIDATED and order.on_credit and order.unbilled and total is not None:
            return Judgement(findings, fixes, total)
        return judged


def _number(value: Decimal | None) -> Decimal | None:
    return value if value is not None and value.is_finite() else None


def _fixes(order: Order) -> Iterator[Fix]:
    fee, total, tech = order.fee_amount, order.total_amount, order.tech_fee
    if fee is not None and fee.is_finite():
        if total is None:
            yield Fix("total_amount", total, fee, "the total was not filled in; it is at least the fee")
        elif total.is_finite() and total < fee:
            yield Fix("total_amount", total, fee, "the total was below the fee")
    if tech is not None and tech.is_finite() and tech < ZERO:
        yield Fix("tech_fee", tech, ZERO, "the tech fee was negative")


def _pricing(order: Order, product: Product | None) -> Iterator[Finding]:
    amounts = {
        "fee_amount": order.fee_amount,
        "total_amount": order.total_amount,
        "tech_fee": order.tech_fee,
    }
    for field, value in amounts.items():
        if value is not None and not value.is_finite():
            yield Finding(
                Code.AMOUNT_UNUSABLE,
                f"{field} is {value}, which is no amount of money: somebody must enter it again.",
                {"field": field, field: str(value)},
            )
    fee = order.fee_amount
    if fee is None:
        yield Finding(Code.FEE_NOT_POSITIVE, "The order has no fee.", {"fee_amount": None})
        return
    if not fee.is_finite():
        return
    if fee <= ZERO:
        yield Finding(
            Code.FEE_NOT_POSITIVE, f"The fee of {fee:f} is not above zero.", {"fee_amount": amount(fee)}
        )
    if product is None:
        return
    low, high = product.min_price, product.max_price
    if low is not None and not low.is_nan() and fee < low:
        yield Finding(
            Code.FEE_BELOW_MINIMUM,
            f"The fee of {fee:f} is below the product's lowest price of {low:f}.",
            {"fee_amount": amount(fee), "min_price": amount(low)},
        )
    if high is not None and not high.is_nan() and fee > high:
        yield Finding(
            Code.FEE_ABOVE_MAXIMUM,
            f"The fee of {fee:f} is above the product's highest price of {high:f}.",
            {"fee_amount": amount(fee), "max_price": amount(high)},
        )


def _credit(client: Client | None, total: Decimal | None, taken: Decimal) -> Iterator[Finding]:
    if client is None:
        yield Finding(Code.CLIENT_MISSING, "The order is to be billed, but it has no client.", {})
        return
    if client.is_active is False:
        yield Finding(
            Code.CLIENT_INACTIVE,
            "The order is to be billed to a client who is not active.",
            {"client_id": str(client.id)},
        )
    limit, owed, asked = client.credit_limit, client.balance, _number(total)
    if limit == INFINITE:
        return
    granted = _number(limit) or ZERO
    owing = ZERO if owed is None else owed if owed.is_finite() else INFINITE
    using = owing + (taken if taken.is_finite() else INFINITE)
    facts = {
        "total_amount": amount(total),
        "credit_limit": amount(limit),
        "balance": amount(owed),
        "taken": amount(taken),
        "client_id": str(client.id),
    }
    if asked is None or asked > granted - using:
        yield Finding(
            Code.CREDIT_EXCEEDED,
            "The total cannot be read, so no credit can be given for it."
            if asked is None
            else f"The total of {asked:f} exceeds what is left of the credit: limit {granted:f}, "
            f"of which {using:f} is in use.",
            facts,
        )
    if asked is not None and using + asked > granted * NEARLY_USED:
        yield Finding(
            Code.CREDIT_NEARLY_USED,
            f"With this order {using + asked:f} of a credit of {granted:f} is in use: more than 80 %.",
            facts,
        )


def _requirements(order: Order) -> Iterator[Finding]:
    if _missing(order.property_address):
        yield Finding(Code.ADDRESS_MISSING, "The property's address is missing.", {})
    places = {
        "property_city": order.property_city,
        "property_state": order.property_state,
        "property_zip": order.property_zip,
    }
    if absent := [field.removeprefix("property_") for field, value in places.items() if _missing(value)]:
        yield Finding(
            Code.LOCALITY_INCOMPLETE,
            f"The property's {', '.join(absent)} {'is' if len(absent) == 1 else 'are'} missing.",
            {"missing": ", ".join(absent)},
        )
    if _missing(order.borrower_name):
        yield Finding(Code.BORROWER_NAME_MISSING, "The borrower's name is missing.", {})
    if _missing(order.borrower_email) and _missing(order.borrower_phone):
        yield Finding(Code.BORROWER_UNREACHABLE, "There is neither an email nor a phone of the borrower.", {})
    if _missing(order.property_contact_phone):
        yield Finding(Code.CONTACT_PHONE_MISSING, "The phone of the contact at the property is missing.", {})


def _missing(text: str | None) -> bool:
    return text is None or not text.strip()
