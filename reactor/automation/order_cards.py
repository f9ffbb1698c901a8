"""The cards that a judged order puts on the board for a person."""

from collections.abc import Iterator
from dataclasses import dataclass
from uuid import UUID, uuid5

from reactor.automation.order_findings import CardPriority, Check, Finding, Severity, card_priority


@dataclass(frozen=True, slots=True)
class Card:
    id: UUID
    client_id: UUID | None
    title: str
    description: str
    rationale: str
    priority: CardPriority
    action_payload: dict[str, object]


def card_id(order_id: UUID, exception_type: str) -> UUID:
    """One card for one order and one type of exception, however often the order is validated."""
    return uuid5(order_id, f"card:{exception_type}")


def cards(
    order_id: UUID, queue_id: UUID, client_id: UUID | None, findings: tuple[Finding, ...]
) -> Iterator[Card]:
    """A card for each check with a finding that a person must look at, holding all of those."""
    for check in Check:
        serious = [
            (finding, priority)
            for finding in findings
            if finding.rule.check is check and (priority := card_priority(finding.rule.severity)) is not None
        ]
        if not serious:
            continue
        worst, priority = max(serious, key=lambda pair: pair[0].rule.severity is Severity.CRITICAL)
        yield Card(
            id=card_id(order_id, check.value),
            client_id=client_id,
            title=f"Order {str(order_id)[:8]}: {check.value} to be put right",
            description="\n".join(finding.message for finding, _ in serious),
            rationale=f"Order {order_id} failed its {check.value} check, and this may not be mended unasked.",
            priority=priority,
            action_payload={
                "order_id": str(order_id),
                "queue_id": str(queue_id),
                "exception_type": check.value,
                "severity": worst.rule.severity.value,
                "code": worst.code.value,
                "message": worst.message,
                "exceptions": [
                    {
                        "severity": finding.rule.severity.value,
                        "message": finding.message,
                        "details": finding.details(),
                    }
                    for finding, _ in serious
                ],
            },
        )
