"""The event as a handler sees it."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any, Generic, TypeVar
from uuid import UUID

import asyncpg
import orjson
from pydantic import BaseModel, ValidationError

T = TypeVar("T")
M = TypeVar("M", bound=BaseModel)

#: An event caused by an event caused by … this often is a loop, and dead.
MAX_DEPTH = 16


# Every number of up to 15 digits is the same again after it was a float; of a longer one that may not be so.
_LONG = re.compile(r"\d[\d.]{15}")
# Digits without a fraction are a token too: looked at again from each of them, a long number takes a minute.
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|(?P<fraction>-?\d+\.\d+(?:[eE][+-]?\d+)?)|\d+')


def fit(model: type[M], payload: str) -> M:
    """``payload``, JSON text, as ``model``: a Decimal is exactly what was written.

    pydantic makes a float of each JSON number with a fraction, also for a Decimal. A long one is given to
    it as a string instead, when the model has a Decimal anywhere. Raises ValidationError.
    """
    if "." in payload and _has_decimal(model) and _LONG.search(payload):  # the cheapest question first
        try:
            exact = model.model_validate_json(_TOKEN.sub(_quoted, payload))
        except ValidationError:
            pass  # a field that takes no string: what is wrong besides is said of the payload as it is
        else:
            return _with_numbers(exact, model, payload)
    return model.model_validate_json(payload)


def _with_numbers(exact: M, model: type[M], payload: str) -> M:
    try:
        plain = model.model_validate_json(payload)
    except ValidationError:
        return exact  # an amount may fit only as it was written
    _mixed(exact, plain, set())
    return exact


def _mixed(exact: Any, plain: Any, seen: set[int]) -> Any:
    """``exact``, changed in place, but a number again where it became a text because anything is taken."""
    if isinstance(exact, str):
        return Decimal(exact) if isinstance(plain, Decimal) else plain if isinstance(plain, float) else exact
    if id(exact) in seen:
        return exact  # a model may lead back to itself
    seen.add(id(exact))
    match exact, plain:
        case BaseModel(), BaseModel():
            _mixed(vars(exact), vars(plain), seen)
            _mixed(exact.model_extra, plain.model_extra, seen)
        case dict(), dict():
            for key in exact.keys() & plain.keys():
                exact[key] = _mixed(exact[key], plain[key], seen)
        case list(), list() if len(exact) == len(plain):
            exact[:] = [_mixed(one, other, seen) for one, other in zip(exact, plain, strict=True)]
        case tuple(), tuple() if type(exact) is tuple and len(exact) == len(plain):
            return tuple(_mixed(one, other, seen) for one, other in zip(exact, plain, strict=True))
        case _:
            pass
    return exact


def _quoted(token: re.Match[str]) -> str:
    found = token["fraction"]
    return token[0] if found is None or len(found) <= 15 else f'"{found}"'


@lru_cache(maxsize=512)
def _has_decimal(model: type[BaseModel]) -> bool:
    look: list[Any] = [model.__pydantic_core_schema__]
    while look:
        match look.pop():
            case {"type": "decimal"}:
                return True
            case dict() as schema:
                look += schema.values()
            case list() | tuple() as schemas:
                look += schemas
            case _:
                pass
    return False


class Event(Generic[T]):
    """One row of the outbox, read-only.

    ``payload`` is the model that the handler was registered with, or the parsed JSON when it has
    none; it is parsed when first asked for, since many handlers need only ``subject_id``.

    It wraps the driver's record instead of copying it: at a hundred thousand events a second the
    copying of thirteen fields would be most of the work.
    """

    __slots__ = ("_payload", "_row")

    def __init__(self, row: asyncpg.Record | Mapping[str, Any], payload: T | None = None) -> None:
        self._row = row
        self._payload = payload

    @property
    def id(self) -> int:
        """The outbox id: unique in the database, increasing in the order of writing."""
        return int(self._row["id"])

    @property
    def event_id(self) -> UUID:
        """The idempotency key for the world outside the database."""
        key: UUID = self._row["event_id"]
        return key

    @property
    def tenant_id(self) -> UUID:
        tenant: UUID = self._row["tenant_id"]
        return tenant

    @property
    def type(self) -> str:
        return str(self._row["event_type"])

    @property
    def subject_id(self) -> UUID | None:
        """The row that the event is about."""
        subject: UUID | None = self._row["subject_id"]
        return subject

    @property
    def payload(self) -> T:
        if self._payload is None:
            self._payload = orjson.loads(self._row["payload"])
        return self._payload

    @property
    def raw_payload(self) -> str:
        """The payload as JSON text."""
        return str(self._row["payload"])

    def untouched(self) -> "Event[Any]":
        """The same event with its payload as it was written, whatever a handler has made of it."""
        return Event(self._row)

    def fitted(self, model: Any) -> "Event[Any]":
        """The same event with its payload as ``model``."""
        return Event(self._row, model)

    @property
    def priority(self) -> int:
        """Lower runs first."""
        return int(self._row["priority"])

    @property
    def attempts(self) -> int:
        """Tries that the handler failed, before this one."""
        return int(self._row["attempts"])

    @property
    def interruptions(self) -> int:
        """Tries that the infrastructure cut short."""
        return int(self._row["interruptions"])

    @property
    def created_at(self) -> datetime:
        """When the writer's statement ran, by the server's clock."""
        moment: float | datetime = self._row["created_at"]
        return moment if isinstance(moment, datetime) else datetime.fromtimestamp(moment, UTC)

    @property
    def traceparent(self) -> str | None:
        """W3C trace context of the writer, when it set ``reactor.traceparent``."""
        trace: str | None = self._row["traceparent"]
        return trace

    @property
    def was_tried(self) -> bool:
        """Whether it has a past that may forbid another try: failures, interruptions, a chain of causes."""
        row = self._row
        return bool(row["attempts"] or row["interruptions"] or row["depth"])

    @property
    def cause_id(self) -> int | None:
        """The event whose handler caused this one."""
        cause: int | None = self._row["cause_id"]
        return cause

    @property
    def depth(self) -> int:
        """How many events stand between this one and the application's own write."""
        return int(self._row["depth"])

    def __repr__(self) -> str:
        return f"<Event {self.id} {self.type} tenant={self.tenant_id} subject={self.subject_id}>"
