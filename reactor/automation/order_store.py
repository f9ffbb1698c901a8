"""Loads a batch of queued orders and writes back what was decided about them; the SQL is in `order_sql`."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from uuid import UUID

import orjson
from asyncpg import Record

from reactor.automation import order_sql
from reactor.automation.order_cards import Card, card_id, cards
from reactor.automation.order_findings import Check, Judgement, Outcome, Severity
from reactor.automation.orders import BILLED_LATER, SETTLED_STATUSES, Client, Order, Product
from reactor.automation.written import count_of, require_written
from reactor.context import TenantDb


@dataclass(frozen=True, slots=True)
class Ready:
    """A pending queue row with everything needed to judge its order; its rows are locked."""

    queue_id: UUID
    order: Order
    product: Product | None
    client: Client | None
    taken: Decimal
    """Of the client's credit, by orders validated in earlier transactions."""


@dataclass(frozen=True, slots=True)
class OrderGone:
    """The queue row is pending, but there is no such order, or it is not this tenant's."""

    queue_id: UUID
    order_id: UUID


@dataclass(frozen=True, slots=True)
class NotPending:
    """Somebody has dealt with the queue row already, or ('processing') has it in hand."""

    status: str


@dataclass(frozen=True, slots=True)
class Busy:
    """Another transaction holds the order or its queue row just now."""


Subject = Ready | OrderGone | NotPending | Busy


@dataclass(frozen=True, slots=True)
class Judged:
    ready: Ready
    judgement: Judgement


async def load(db: TenantDb, queue_ids: Sequence[UUID]) -> dict[UUID, Subject]:
    """Lock and read the batch; a queue row that does not exist is not in the answer."""
    locked = {row["id"] for row in await db.fetch(order_sql.LOCK, queue_ids)}
    rows = await db.fetch(order_sql.LOAD, queue_ids, BILLED_LATER, SETTLED_STATUSES)
    return {row["queue_id"]: _subject(row, locked) for row in rows}


def _subject(row: Record, locked: set[UUID]) -> Subject:
    if row["queue_status"] != "pending":
        return NotPending(row["queue_status"])
    if row["found_order"] is None:
        return OrderGone(row["queue_id"], row["order_id"])
    if row["queue_id"] not in locked:
        return Busy()
    order = Order(
        id=row["order_id"],
        client_id=row["client_id"],
        status=row["order_status"],
        payment_method=row["payment_method"],
        fee_amount=row["fee_amount"],
        total_amount=row["total_amount"],
        tech_fee=row["tech_fee"],
        property_address=row["property_address"],
        property_city=row["property_city"],
        property_state=row["property_state"],
        property_zip=row["property_zip"],
        borrower_name=row["borrower_name"],
        borrower_email=row["borrower_email"],
        borrower_phone=row["borrower_phone"],
        property_contact_phone=row["property_contact_phone"],
    )
    product = None if row["found_product"] is None else Product(row["min_price"], row["max_price"])
    client = (
        None
        if row["found_client"] is None
        else Client(row["found_client"], row["is_active"], row["credit_limit"], row["balance"])
    )
    return Ready(row["queue_id"], order, product, client, row["taken"])


async def write(db: TenantDb, tenant_id: UUID, judged: Sequence[Judged], gone: Sequence[OrderGone]) -> int:
    """Write a batch back; returns how many cards are new."""
    await _correct(db, [item for item in judged if item.judgement.fixes])
    await _finish(db, judged, gone)
    order_ids = [item.ready.order.id for item in judged] + [item.order_id for item in gone]
    found = await db.fetch(order_sql.RESOLVE, order_ids)
    await _record(db, tenant_id, judged)
    proposed = [card for item in judged for card in _cards(item)]
    stale = {card_id(row["order_id"], row["exception_type"]) for row in found} - {c.id for c in proposed}
    if stale:
        await db.execute(order_sql.WITHDRAW, list(stale))
    return await _propose(db, tenant_id, proposed)


async def _correct(db: TenantDb, judged: Sequence[Judged]) -> None:
    if judged:
        done = await db.execute(
            order_sql.CORRECT,
            [item.ready.order.id for item in judged],
            [item.judgement.new_value("total_amount") for item in judged],
            [item.judgement.new_value("tech_fee") for item in judged],
        )
        await require_written(db, "public.orders", "update", asked=len(judged), written=count_of(done))


async def _finish(db: TenantDb, judged: Sequence[Judged], gone: Sequence[OrderGone]) -> None:
    rest = len(gone)
    ids = [item.ready.queue_id for item in judged] + [item.queue_id for item in gone]
    done = await db.fetch(
        order_sql.FINISH,
        ids,
        [item.judgement.outcome.value for item in judged] + [Outcome.SKIPPED.value] * rest,
        [item.judgement.passed(Check.PRICING) for item in judged] + [None] * rest,
        [item.judgement.passed(Check.CREDIT) for item in judged] + [None] * rest,
        [item.judgement.passed(Check.REQUIREMENTS) for item in judged] + [None] * rest,
        [_json([fix.entry() for fix in item.judgement.fixes]) for item in judged] + ["[]"] * rest,
    )
    if len(done) < len(ids):
        # One whose order is gone is not locked: somebody else may have finished it.
        missed = set(ids) - {row["id"] for row in done}
        pending = await db.fetchval(order_sql.STILL_PENDING, list(missed))
        await require_written(db, "public.order_processing_queue", "update", asked=pending, written=0)


async def _record(db: TenantDb, tenant_id: UUID, judged: Sequence[Judged]) -> None:
    findings = [(item.ready, finding) for item in judged for finding in item.judgement.findings]
    if findings:
        written = await db.fetchrow(
            order_sql.RECORD,
            tenant_id,
            [ready.order.id for ready, _ in findings],
            [ready.queue_id for ready, _ in findings],
            [finding.rule.check.value for _, finding in findings],
            [finding.rule.severity.value for _, finding in findings],
            [finding.message for _, finding in findings],
            [_json(finding.details()) for _, finding in findings],
        )
        assert written is not None
        asked = len(findings)
        critical = sum(finding.rule.severity is Severity.CRITICAL for _, finding in findings)
        exceptions = "public.order_processing_exceptions"
        await require_written(db, exceptions, "insert", asked=asked, written=written["recorded"])
        await require_written(db, "public.agent_alerts", "insert", asked=critical, written=written["raised"])


def _cards(item: Judged) -> Sequence[Card]:
    # A client that the tenant cannot see is not written on the tenant's card.
    client_id = item.ready.client.id if item.ready.client else None
    return list(cards(item.ready.order.id, item.ready.queue_id, client_id, item.judgement.findings))


async def _propose(db: TenantDb, tenant_id: UUID, proposed: Sequence[Card]) -> int:
    if not proposed:
        return 0
    rows = await db.fetch(
        order_sql.PROPOSE,
        tenant_id,
        [card.id for card in proposed],
        [card.client_id for card in proposed],
        [card.title for card in proposed],
        [card.description for card in proposed],
        [card.rationale for card in proposed],
        [card.priority for card in proposed],
        [_json(card.action_payload) for card in proposed],
    )
    asked, written = len(proposed), len(rows)
    await require_written(db, "public.kanban_cards", "insert or update", asked=asked, written=written)
    return sum(row["created"] for row in rows)


def _json(value: object) -> str:
    return orjson.dumps(value).decode()
