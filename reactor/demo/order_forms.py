"""Orders as people fill them in: most are right, about a fifth has something wrong with it."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime
from decimal import Decimal
from random import Random
from typing import Final
from uuid import UUID

from reactor.demo import names

FAULTY_SHARE: Final = 0.2


@dataclass(frozen=True, slots=True)
class OrderForm:
    """A row of orders; the fields are its columns."""

    id: UUID
    tenant_id: UUID
    client_id: UUID | None
    product_id: UUID | None
    status: str
    fee_amount: Decimal
    total_amount: Decimal
    tech_fee: Decimal
    payment_method: str
    property_address: str | None
    property_city: str | None
    property_state: str | None
    property_zip: str | None
    borrower_name: str | None
    borrower_email: str | None
    borrower_phone: str | None
    property_contact_name: str | None
    property_contact_phone: str | None
    created_at: datetime

    def record(self) -> tuple[object, ...]:
        return tuple(getattr(self, name) for name in COLUMNS)


COLUMNS: Final = tuple(field.name for field in fields(OrderForm))


@dataclass(frozen=True, slots=True)
class Service:
    """A product that can be ordered."""

    id: UUID
    price: Decimal
    min_price: Decimal
    max_price: Decimal


def new_uuid(rng: Random) -> UUID:
    """A version 4 id that the seed decides."""
    return UUID(int=rng.getrandbits(128), version=4)


def fill_in(
    rng: Random, *, tenant_id: UUID, clients: Sequence[UUID], services: Sequence[Service], at: datetime
) -> OrderForm:
    """One order, faults included."""
    service = rng.choice(services)
    form = fill_in_well(rng, tenant_id=tenant_id, client_id=rng.choice(clients), service=service, at=at)
    if rng.random() < FAULTY_SHARE:
        form = spoil(rng, form, service)
        if rng.random() < 0.25:
            form = spoil(rng, form, service)
    return form


def fill_in_well(
    rng: Random, *, tenant_id: UUID, client_id: UUID, service: Service, at: datetime
) -> OrderForm:
    """One order with no fault of its own; its client may still be inactive, or lack the credit."""
    fee = min(max(service.price + rng.randint(-4, 10) * 5, service.min_price), service.max_price)
    tech = rng.choice(names.PLATFORM_FEES)
    first, last = names.person(rng)
    contact = " ".join(names.person(rng))
    city, state, code = rng.choice(names.TOWNS)
    return OrderForm(
        id=new_uuid(rng),
        tenant_id=tenant_id,
        client_id=client_id,
        product_id=service.id,
        status="new",
        fee_amount=fee,
        total_amount=fee + tech,
        tech_fee=tech,
        payment_method=rng.choices(("bill", "card", "ach"), (45, 40, 15))[0],
        property_address=names.address(rng),
        property_city=city,
        property_state=state,
        property_zip=code,
        borrower_name=f"{first} {last}",
        borrower_email=names.email(first, last, "mailbox") if rng.random() < 0.9 else None,
        borrower_phone=names.phone(rng),
        property_contact_name=contact,
        property_contact_phone=names.phone(rng),
        created_at=at,
    )


def spoil(rng: Random, form: OrderForm, service: Service) -> OrderForm:
    """The same order with one more thing wrong."""
    match rng.randrange(11):
        case 0:
            return replace(form, fee_amount=Decimal("0.00"))
        case 1:
            return replace(form, total_amount=form.fee_amount / 2)
        case 2:
            return replace(form, tech_fee=Decimal("-9.50"))
        case 3:
            fee = service.max_price + 50
            return replace(form, fee_amount=fee, total_amount=fee + max(form.tech_fee, Decimal(0)))
        case 4:
            return replace(form, fee_amount=service.min_price - 10)
        case 5:
            return replace(form, payment_method="bill", client_id=None)
        case 6:
            return replace(form, property_address=rng.choice((None, "", "  ")))
        case 7:
            return replace(form, property_zip=None)
        case 8:
            return replace(form, borrower_name=None)
        case 9:
            return replace(form, borrower_email=None, borrower_phone=None)
        case _:
            return replace(form, property_contact_phone=None)
