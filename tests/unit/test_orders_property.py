"""Whole batches of arbitrary orders, judged by the automation and by the table read naively."""

from collections import Counter
from dataclasses import asdict
from decimal import Decimal
from fractions import Fraction
from uuid import UUID

from hypothesis import example, given, settings
from hypothesis import strategies as st

from reactor.automation.order_findings import Check, Judgement, Outcome
from reactor.automation.order_handler import judge_in_turn
from reactor.automation.order_store import Ready
from reactor.automation.orders import SETTLED_STATUSES, Client, Order, Product
from reactor.demo.check_orders import NOT_COUNTED, Expected, expect

CLIENTS = [UUID(int=n) for n in range(1, 4)]

# Amounts near one another, so that edges are met; some with more digits than a float or Python's
# default decimal context holds; and what numeric columns hold besides numbers.
cents = st.integers(-300, 1200).map(lambda n: Decimal(n) / 100)
odd = st.sampled_from([None, *map(Decimal, ("NaN", "Infinity", "-Infinity", "1e30", "1e30", "0.0000000001"))])
amounts = st.one_of(cents, cents, cents, cents, odd)
texts = st.sampled_from([None, "", "  ", "x", "y"])

orders = st.builds(
    Order,
    id=st.uuids(),
    client_id=st.sampled_from([None, *CLIENTS]),
    status=st.sampled_from([None, "new", "completed", "billed", "PAID", "cancelled"]),
    payment_method=st.sampled_from(["bill", "bill", "bill", "card", None]),
    fee_amount=amounts,
    total_amount=amounts,
    tech_fee=amounts,
    property_address=texts,
    property_city=texts,
    property_state=texts,
    property_zip=texts,
    borrower_name=texts,
    borrower_email=texts,
    borrower_phone=texts,
    property_contact_phone=texts,
)
# Orders that have a good chance of passing, so that they compete for credit.
sound = st.builds(
    lambda order, n: Order(
        **asdict(order)
        | {
            "fee_amount": Decimal(n),
            "total_amount": Decimal(n),
            "property_address": "x",
            "borrower_email": "x",
            "tech_fee": None,
        }
    ),
    orders,
    st.integers(1, 6),
)
products = st.none() | st.builds(Product, min_price=amounts, max_price=amounts)
accounts = st.tuples(
    st.none() | st.builds(lambda *a: a, st.sampled_from([True, True, True, False, None]), amounts, amounts),
    st.one_of(cents.map(abs), cents.map(abs), st.just(Decimal("NaN"))),
)


def exactly(value: Decimal) -> Fraction | None:
    return Fraction(value) if value.is_finite() else None


def compare(judged: Judgement, expected: Expected) -> None:
    found = Counter((f.rule.check.value, f.rule.severity.value) for f in judged.findings)
    assert found == expected.findings
    assert judged.passed(Check.PRICING) is expected.pricing_valid
    assert judged.passed(Check.CREDIT) is expected.credit_valid
    assert judged.passed(Check.REQUIREMENTS) is expected.requirements_valid
    assert judged.outcome.value == expected.status
    fixes = {
        fix.field: (None if fix.old_value is None else Fraction(fix.old_value), Fraction(fix.new_value))
        for fix in judged.fixes
    }
    assert fixes == expected.fixes


@settings(max_examples=400, deadline=None)
@given(
    batch=st.lists(st.tuples(st.one_of(orders, sound), products), max_size=8),
    books=st.fixed_dictionaries(dict.fromkeys(CLIENTS, accounts)),
)
def test_a_batch_is_judged_as_the_table_says(batch, books):
    ready = []
    for n, (order, product) in enumerate(batch):
        account, taken = books.get(order.client_id, (None, Decimal(0)))
        client = None if account is None else Client(order.client_id, *account)
        ready.append(Ready(UUID(int=1000 + n), order, product, client, taken))

    judged = judge_in_turn(ready)

    running = {client: exactly(taken) for client, (_, taken) in books.items()}
    for item, (order, product) in zip(judged, batch, strict=True):
        account, _ = books.get(order.client_id, (None, None))
        row = asdict(order) | {
            "has_client": account is not None,
            "is_active": account and account[0],
            "credit_limit": account and account[1],
            "balance": account and account[2],
            "min_price": product and product.min_price,
            "max_price": product and product.max_price,
        }
        before = running.get(order.client_id, Fraction(0))
        expected = expect(row, before)
        compare(item.judgement, expected)
        billed_later = order.payment_method == "bill" and (order.status or "").lower() not in NOT_COUNTED
        if expected.status == "validated" and billed_later and account is not None and before is not None:
            total = expected.fixes.get("total_amount", (None, exactly(order.total_amount or Decimal(0))))[1]
            running[order.client_id] = before + total


@settings(max_examples=300, deadline=None)
@given(
    batch=st.lists(sound, min_size=1, max_size=12),
    limit=st.integers(0, 30).map(Decimal),
    taken=st.integers(0, 10).map(Decimal),
)
def test_orders_that_pass_together_fit_together_and_a_refused_one_did_not_fit(batch, limit, taken):
    client = Client(CLIENTS[0], True, limit, Decimal(0))
    free = limit - taken
    for item in judge_in_turn(
        [Ready(UUID(int=n), order, None, client, taken) for n, order in enumerate(batch)]
    ):
        order = item.ready.order
        if not order.on_credit:
            continue
        fits = order.total_amount is not None and order.total_amount <= free
        assert item.judgement.passed(Check.CREDIT) is fits
        if item.judgement.outcome is Outcome.VALIDATED and order.unbilled:
            free -= order.total_amount
    assert free >= min(limit - taken, 0)


@given(
    total=cents.map(abs), limit=cents.map(abs), balance=cents, taken=cents.map(abs), step=st.integers(1, 50)
)
@example(total=Decimal(8), limit=Decimal(10), balance=Decimal(0), taken=Decimal(0), step=1)
def test_less_credit_never_helps(total, limit, balance, taken, step):
    fields = dict.fromkeys(Order.__dataclass_fields__, "x")
    order = Order(
        **fields | {"payment_method": "bill", "fee_amount": total, "total_amount": total, "tech_fee": None}
    )

    def passes(*, limit=limit, balance=balance, taken=taken):
        client = Client(CLIENTS[0], True, limit, balance)
        (item,) = judge_in_turn([Ready(UUID(int=1), order, None, client, taken)])
        return item.judgement.passed(Check.CREDIT)

    less = Decimal(step) / 100
    tighter = [passes(limit=limit - less), passes(balance=balance + less), passes(taken=taken + less)]
    assert passes() or not any(tighter)


def test_the_check_and_the_automation_agree_on_what_is_billed():
    assert set(SETTLED_STATUSES) == NOT_COUNTED
