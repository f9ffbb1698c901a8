"""Looks over the reactor's shoulder: is every processed order in the database what the table of checks says?

Written from the table alone and sharing no code with the automation, so that the two can only agree by both
being right. Values from before the corrections are kept in auto_fixes; so an order can be judged again long
after it was corrected.

How much credit other orders took at the moment an order was judged is not on record, because an order may be
queued again later and lose its credit. It has bounds, though: at least what orders that were judged earlier
take now, at most what all orders of the client could have taken. A finding that the lower bound demands must
be there, one that the upper bound excludes must not. And together the validated orders of a client must fit,
however they came in.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any, LiteralString
from uuid import UUID

from reactor.db.pool import Connection

NOT_COUNTED = {
    "billed",
    "invoiced",
    "paid",
    "refunded",
    "rejected",
    "cancelled",
    "canceled",
    "voided",
    "void",
}

QUEUED: LiteralString = """
select
    q.id as queue_id, q.tenant_id, q.order_id, q.status as queue_status, q.processed_at,
    q.pricing_valid, q.credit_valid, q.requirements_valid, q.auto_fixes::text as auto_fixes,
    o.id is not null as has_order, o.client_id, o.status::text as status,
    o.payment_method::text as payment_method, o.fee_amount, o.total_amount, o.tech_fee,
    o.property_address, o.property_city, o.property_state, o.property_zip,
    o.borrower_name, o.borrower_email, o.borrower_phone, o.property_contact_phone,
    p.min_price, p.max_price,
    c.id is not null as has_client, c.is_active, c.credit_limit, c.balance
from public.order_processing_queue q
left join public.orders o on o.id = q.order_id and o.tenant_id = q.tenant_id
left join public.products p on p.id = o.product_id and p.tenant_id = q.tenant_id
left join public.clients c on c.id = o.client_id and c.tenant_id = q.tenant_id
order by q.processed_at, q.id
"""

OPEN_EXCEPTIONS: LiteralString = """
select
    e.id, e.order_id, e.exception_type, e.severity,
    (select count(*) from public.agent_alerts a where a.metadata ->> 'exception_id' = e.id::text) as alerts
from public.order_processing_exceptions e
where not e.resolved
"""

CARDS: LiteralString = """
select k.action_payload ->> 'order_id' as order_id, k.action_payload ->> 'exception_type' as exception_type
from public.kanban_cards k
where k.type = 'create_task' and k.action_payload ? 'order_id' and k.state <> 'done'
"""


Row = Mapping[str, Any]
"""The columns of an order, its product's and its client's in one: what QUEUED returns from has_order on."""

Finding = tuple[str, str]
"""An exception's type and severity."""

Fixes = dict[str, tuple[Fraction | None, Fraction]]
"""By field: the value before and after."""


@dataclass(frozen=True)
class Expected:
    findings: Counter[Finding]
    fixes: Fixes
    pricing_valid: bool
    credit_valid: bool
    requirements_valid: bool

    @property
    def status(self) -> str:
        return (
            "validated"
            if self.pricing_valid and self.credit_valid and self.requirements_valid
            else "exception"
        )


def expect(row: Row, taken: Fraction | None) -> Expected:
    """What the table says about an order as it was before any correction.

    `taken` is None when it cannot be known (a NaN among the amounts).
    """
    found: Counter[Finding] = Counter()
    fixes: Fixes = {}
    pricing_valid = credit_valid = requirements_valid = True

    # pricing: an amount that is NaN or infinite is an error of its own and takes part in nothing else
    for name in ("fee_amount", "total_amount", "tech_fee"):
        if row[name] is not None and _exactly(row[name]) is None:
            found["pricing", "error"] += 1
            pricing_valid = False
    fee, total, tech = _exactly(row["fee_amount"]), _exactly(row["total_amount"]), _exactly(row["tech_fee"])
    if row["fee_amount"] is None or (fee is not None and fee <= 0):
        found["pricing", "error"] += 1
        pricing_valid = False
    if fee is not None and (row["total_amount"] is None or (total is not None and total < fee)):
        fixes["total_amount"] = (total, fee)
        total = fee
    if tech is not None and tech < 0:
        fixes["tech_fee"] = (tech, Fraction(0))
    lowest, highest = row["min_price"], row["max_price"]
    if fee is not None and lowest is not None and not lowest.is_nan() and fee < lowest:
        found["pricing", "warning"] += 1
    if fee is not None and highest is not None and not highest.is_nan() and fee > highest:
        found["pricing", "warning"] += 1

    # credit
    if row["payment_method"] == "bill":
        if not row["has_client"]:
            found["credit", "error"] += 1
            credit_valid = False
        else:
            if row["is_active"] is not None and not row["is_active"]:
                found["credit", "critical"] += 1
                credit_valid = False
            if row["credit_limit"] is None or str(row["credit_limit"]) != "Infinity":
                limit = _exactly(row["credit_limit"]) or Fraction(0)
                balance = Fraction(0) if row["balance"] is None else _exactly(row["balance"])
                if total is None or balance is None or taken is None:
                    fits, within = False, total is None
                else:
                    fits = total <= limit - balance - taken
                    within = balance + taken + total <= limit * Fraction(80, 100)
                if not fits:
                    found["credit", "error"] += 1
                    credit_valid = False
                if not within:
                    found["credit", "warning"] += 1

    # requirements
    if _blank(row["property_address"]):
        found["requirements", "error"] += 1
        requirements_valid = False
    if _blank(row["property_city"]) or _blank(row["property_state"]) or _blank(row["property_zip"]):
        found["requirements", "warning"] += 1
    if _blank(row["borrower_name"]):
        found["requirements", "warning"] += 1
    if _blank(row["borrower_email"]) and _blank(row["borrower_phone"]):
        found["requirements", "error"] += 1
        requirements_valid = False
    if _blank(row["property_contact_phone"]):
        found["requirements", "warning"] += 1

    return Expected(found, fixes, pricing_valid, credit_valid, requirements_valid)


async def check_orders(conn: Connection) -> list[str]:
    """Every discrepancy between the processed orders of all tenants and the table; empty when all is well."""
    rows = [dict(record) for record in await conn.fetch(QUEUED)]
    exceptions: defaultdict[UUID, Counter[Finding]] = defaultdict(Counter)
    wrong: list[str] = []
    for e in await conn.fetch(OPEN_EXCEPTIONS):
        exceptions[e["order_id"]][e["exception_type"], e["severity"]] += 1
        if e["alerts"] != (1 if e["severity"] == "critical" else 0):
            wrong.append(f"exception {e['id']} of severity {e['severity']} has {e['alerts']} alerts")
    cards = Counter((k["order_id"], k["exception_type"]) for k in await conn.fetch(CARDS))
    everything = _could_take(rows)
    earlier: defaultdict[UUID, Fraction] = defaultdict(Fraction)
    for row in rows:
        if row["queue_status"] in ("pending", "processing"):
            continue
        before = {**row}
        for fix in json.loads(row["auto_fixes"]):
            before[fix["field"]] = None if fix["old_value"] is None else Decimal(fix["old_value"])
        least = earlier[row["client_id"]]
        most = everything[row["client_id"]] - _counted(row)
        found = exceptions[row["order_id"]]
        troubles = _judge_again(before, row, found, least, most)
        for kind in ("pricing", "credit", "requirements"):
            serious = found[kind, "error"] + found[kind, "critical"] > 0
            if cards[str(row["order_id"]), kind] != int(serious):
                troubles.append(f"{cards[str(row['order_id']), kind]} cards for {kind}")
        wrong += [f"order {row['order_id']} ({row['queue_status']}): {trouble}" for trouble in troubles]
        if row["queue_status"] == "validated":
            earlier[row["client_id"]] += _counted(row)
    return wrong + list(_overdrawn(rows, earlier))


def _judge_again(
    before: Row, after: Row, found: Counter[Finding], least: Fraction, most: Fraction
) -> list[str]:
    if not after["has_order"]:
        right = after["queue_status"] == "skipped" and after["processed_at"] is not None and not found
        return [] if right else ["there is no such order, so it must be skipped, without findings"]
    low, high = expect(before, least), expect(before, most)
    wrong = []
    if low.findings - found:
        wrong.append(f"lacks {_names(low.findings - found)}")
    if found - high.findings:
        wrong.append(f"was given {_names(found - high.findings)}")
    if after["credit_valid"] not in (low.credit_valid, high.credit_valid):
        wrong.append(f"credit_valid is {after['credit_valid']}")
    if after["credit_valid"] != (found["credit", "error"] + found["credit", "critical"] == 0):
        wrong.append(f"credit_valid is {after['credit_valid']} with these findings: {_names(found)}")
    if after["pricing_valid"] is not low.pricing_valid:
        wrong.append(f"pricing_valid is {after['pricing_valid']}")
    if after["requirements_valid"] is not low.requirements_valid:
        wrong.append(f"requirements_valid is {after['requirements_valid']}")
    valid = after["pricing_valid"] and after["credit_valid"] and after["requirements_valid"]
    if after["queue_status"] != ("validated" if valid else "exception"):
        wrong.append("the status does not follow from the three checks")
    if after["processed_at"] is None:
        wrong.append("processed_at is null")
    fixes = {
        fix["field"]: (
            None if fix["old_value"] is None else Fraction(fix["old_value"]),
            Fraction(fix["new_value"]),
        )
        for fix in json.loads(after["auto_fixes"])
    }
    if fixes != low.fixes:
        wrong.append(f"was corrected in {sorted(fixes)} and should have been in {sorted(low.fixes)}")
    for name, (_, new) in low.fixes.items():
        if _exactly(after[name]) != new:
            wrong.append(f"{name} is {after[name]} and not the corrected {new}")
    return wrong


def _overdrawn(rows: Sequence[Row], validated: Mapping[UUID, Fraction]) -> Iterator[str]:
    for client_id, row in {row["client_id"]: row for row in rows if row["has_client"]}.items():
        limit, balance = _exactly(row["credit_limit"]), _exactly(row["balance"])
        used = validated.get(client_id, Fraction(0))
        if limit is not None and balance is not None and 0 < used > limit - balance:
            yield f"client {client_id}: validated orders of {used} in a credit of {limit - balance}"


def _could_take(rows: Sequence[Row]) -> defaultdict[UUID, Fraction]:
    most: defaultdict[UUID, Fraction] = defaultdict(Fraction)
    for row in rows:
        most[row["client_id"]] += _counted(row)
    return most


def _counted(row: Row) -> Fraction:
    """What an order takes of its client's credit once it is validated."""
    if row["payment_method"] != "bill" or (row["status"] or "").lower() in NOT_COUNTED:
        return Fraction(0)
    return max(_exactly(row["total_amount"]) or Fraction(0), Fraction(0))


def _exactly(value: Decimal | None) -> Fraction | None:
    return Fraction(value) if value is not None and value.is_finite() else None


def _blank(text: str | None) -> bool:
    return text is None or text.strip() == ""


def _names(findings: Counter[Finding]) -> str:
    return ", ".join(f"{kind} {severity} x{n}" for (kind, severity), n in sorted(findings.items())) or "none"
