"""What can be found about an order, and what each finding means.

A finding's `Code` names a row of the table of checks; which check it belongs to, how severe it is and whether
it makes the order invalid is data in `RULES`. So a change of the table is a change of one line here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from types import MappingProxyType
from typing import Final, Literal, assert_never


class Check(StrEnum):
    """The three checks: the values of order_processing_exceptions.exception_type we write."""

    PRICING = "pricing"
    CREDIT = "credit"
    REQUIREMENTS = "requirements"


class Severity(StrEnum):
    """How bad a finding is: the values of order_processing_exceptions.severity."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"
    CRITICAL = "critical"


class Code(StrEnum):
    """What exactly was found; kept in the exception's details."""

    FEE_NOT_POSITIVE = "fee_not_positive"
    FEE_BELOW_MINIMUM = "fee_below_minimum"
    FEE_ABOVE_MAXIMUM = "fee_above_maximum"
    AMOUNT_UNUSABLE = "amount_unusable"
    CLIENT_MISSING = "client_missing"
    CLIENT_INACTIVE = "client_inactive"
    CREDIT_EXCEEDED = "credit_exceeded"
    CREDIT_NEARLY_USED = "credit_nearly_used"
    ADDRESS_MISSING = "address_missing"
    LOCALITY_INCOMPLETE = "locality_incomplete"
    BORROWER_NAME_MISSING = "borrower_name_missing"
    BORROWER_UNREACHABLE = "borrower_unreachable"
    CONTACT_PHONE_MISSING = "contact_phone_missing"


@dataclass(frozen=True, slots=True)
class Rule:
    check: Check
    severity: Severity
    invalidates: bool


RULES: Final[Mapping[Code, Rule]] = MappingProxyType(
    {
        Code.FEE_NOT_POSITIVE: Rule(Check.PRICING, Severity.ERROR, invalidates=True),
        Code.FEE_BELOW_MINIMUM: Rule(Check.PRICING, Severity.WARNING, invalidates=False),
        Code.FEE_ABOVE_MAXIMUM: Rule(Check.PRICING, Severity.WARNING, invalidates=False),
        Code.AMOUNT_UNUSABLE: Rule(Check.PRICING, Severity.ERROR, invalidates=True),
        Code.CLIENT_MISSING: Rule(Check.CREDIT, Severity.ERROR, invalidates=True),
        Code.CLIENT_INACTIVE: Rule(Check.CREDIT, Severity.CRITICAL, invalidates=True),
        Code.CREDIT_EXCEEDED: Rule(Check.CREDIT, Severity.ERROR, invalidates=True),
        Code.CREDIT_NEARLY_USED: Rule(Check.CREDIT, Severity.WARNING, invalidates=False),
        Code.ADDRESS_MISSING: Rule(Check.REQUIREMENTS, Severity.ERROR, invalidates=True),
        Code.LOCALITY_INCOMPLETE: Rule(Check.REQUIREMENTS, Severity.WARNING, invalidates=False),
        Code.BORROWER_NAME_MISSING: Rule(Check.REQUIREMENTS, Severity.WARNING, invalidates=False),
        Code.BORROWER_UNREACHABLE: Rule(Check.REQUIREMENTS, Severity.ERROR, invalidates=True),
        Code.CONTACT_PHONE_MISSING: Rule(Check.REQUIREMENTS, Severity.WARNING, invalidates=False),
    }
)


@dataclass(frozen=True, slots=True)
class Finding:
    """One row of order_processing_exceptions. `facts` go into its details; amounts are written as strings."""

    code: Code
    message: str
    facts: Mapping[str, str | None]

    @property
    def rule(self) -> Rule:
        return RULES[self.code]

    def details(self) -> dict[str, str | None]:
        return {"code": self.code.value, **self.facts}


FixedField = Literal["total_amount", "tech_fee"]


@dataclass(frozen=True, slots=True)
class Fix:
    """One corrected field of the order, and one entry of auto_fixes."""

    field: FixedField
    old_value: Decimal | None
    new_value: Decimal
    reason: str

    def entry(self) -> dict[str, str | None]:
        return {
            "field": self.field,
            "old_value": amount(self.old_value),
            "new_value": amount(self.new_value),
            "reason": self.reason,
        }


class Outcome(StrEnum):
    """What the queue row becomes. An order that is gone was not judged at all: SKIPPED."""

    VALIDATED = "validated"
    EXCEPTION = "exception"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Judgement:
    findings: tuple[Finding, ...]
    fixes: tuple[Fix, ...]
    takes_credit: Decimal
    """What this order, now validated, leaves less of for the client's next ones."""

    def new_value(self, field: FixedField) -> Decimal | None:
        return next((fix.new_value for fix in self.fixes if fix.field == field), None)

    def passed(self, check: Check) -> bool:
        return not any(f.rule.invalidates and f.rule.check is check for f in self.findings)

    @property
    def outcome(self) -> Literal[Outcome.VALIDATED, Outcome.EXCEPTION]:
        return Outcome.VALIDATED if all(self.passed(check) for check in Check) else Outcome.EXCEPTION


CardPriority = Literal["low", "medium", "high"]


def card_priority(severity: Severity) -> CardPriority | None:
    """How urgently a person must look at a finding; None when nobody has to."""
    match severity:
        case Severity.INFO | Severity.WARNING:
            return None
        case Severity.ERROR:
            return "medium"
        case Severity.CRITICAL:
            return "high"
        case _:
            assert_never(severity)


def amount(value: Decimal | None) -> str | None:
    """Money as text, with all its digits and never an exponent."""
    return None if value is None else format(value, "f")
