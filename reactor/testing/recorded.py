"""A handler alone: a context that records instead of acting, and events made by hand."""

import itertools
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from pydantic import BaseModel

from reactor.context import Context, TenantDb, payload_json
from reactor.errors import BadArgument, ReactorError
from reactor.events import Event
from reactor.unawaited import Unawaited

_numbers = itertools.count(1)
# As long as reactor.emit() takes one for.
_LONGEST_DELAY = timedelta(days=36525)
# As large as it takes one, about: what it counts is jsonb.
_LARGEST_PAYLOAD = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Emitted:
    """What a handler emitted."""

    type: str
    payload: Any
    subject_id: UUID | None = None
    delay: timedelta = timedelta(0)
    priority: int = 0
    dedup_key: str | None = None


class RecordedContext(Context):
    """A Context for unit tests of handlers: remembers what was emitted and failed, needs no engine.

    ``db`` is a connection of the test's, for handlers that touch the database. ``failures`` holds what
    ``fail`` was told, by event id, and ``run`` the counters.
    """

    __slots__ = ("checkpoints", "emitted")

    def __init__(
        self,
        *,
        tenant_id: UUID | None = None,
        db: TenantDb | None = None,
        events: Sequence[Event[Any]] = (),
        resources: Any = None,
        handler: str = "",
    ) -> None:
        def open_db(_handler: str, _unawaited: Unawaited) -> TenantDb:
            if db is None:
                raise ReactorError(
                    # Said whole, because pytest shows no hints.
                    "this context has no database: give RecordedContext a connection, db=…, or use drain()",
                )
            return db

        super().__init__(
            tenant_id=tenant_id or (events[0].tenant_id if events else uuid.uuid4()),
            run_id=uuid.uuid4(),
            open_db=open_db,
            handler=handler,
            events=events,
            resources=resources,
        )
        self.emitted: list[Emitted] = []
        self.checkpoints = 0

    async def emit(
        self,
        event_type: str,
        payload: Any = None,
        *,
        subject_id: UUID | None = None,
        delay: timedelta = timedelta(0),
        priority: int = 0,
        dedup_key: str | None = None,
    ) -> int:
        """Remember it; the number is its place in ``emitted``, from 1. As in the database, a second one with
        the same ``dedup_key`` is the first."""
        # What cannot be emitted fails here, too.
        if len(payload_json(payload).encode()) > _LARGEST_PAYLOAD:
            raise BadArgument(
                f"reactor.emit: the payload has more than {_LARGEST_PAYLOAD} bytes, which an event holds"
            )
        if not 1 <= len(event_type) <= 200:
            raise BadArgument("reactor.emit: event_type must have 1 to 200 characters")
        if not timedelta(0) <= delay <= _LONGEST_DELAY:
            raise BadArgument("reactor.emit: delay must not be negative, or longer than 100 years")
        if dedup_key is not None:
            for number, earlier in enumerate(self.emitted, start=1):
                if earlier.dedup_key == dedup_key:
                    return number
        given = {} if payload is None else payload
        self.emitted.append(Emitted(event_type, given, subject_id, delay, priority, dedup_key))
        return len(self.emitted)

    async def checkpoint(self) -> None:
        """Count it; the test's connection is left as it is."""
        self.checkpoints += 1


def make_event(
    event_type: str,
    payload: Any = None,
    *,
    tenant_id: UUID | None = None,
    subject_id: UUID | None = None,
    attempts: int = 0,
    **columns: Any,
) -> Event[Any]:
    """An event as a handler would get it: ``payload`` is what JSON makes of it, or the handler's model as it
    is. ``columns``: any other."""
    row: dict[str, Any] = {
        "id": next(_numbers),
        "event_id": uuid.uuid4(),
        "tenant_id": tenant_id or uuid.uuid4(),
        "event_type": event_type,
        "subject_id": subject_id,
        "payload": payload_json(payload),
        "priority": 0,
        "attempts": attempts,
        "interruptions": 0,
        "created_at": datetime.now(UTC),
        "traceparent": None,
        "cause_id": None,
        "depth": 0,
    }
    if unknown := columns.keys() - row.keys():
        raise TypeError(f"an event has no {', '.join(sorted(unknown))}, but {', '.join(row)}")
    return Event(row | columns, payload if isinstance(payload, BaseModel) else None)
