"""What a handler is given besides its event."""

from collections.abc import Callable, Coroutine, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import timedelta
from operator import index
from typing import Any, Literal, Protocol, get_args
from uuid import UUID

import asyncpg
import orjson
import structlog
from pydantic import BaseModel
from structlog.typing import FilteringBoundLogger

from reactor.errors import ReactorError
from reactor.events import Event
from reactor.unawaited import Unawaited

Phase = Literal["plan", "act", "react", "reflect"]

#: What a column of agent_autonomous_runs can hold.
_LARGEST_COUNT = 2**31 - 1


class TenantDb(Protocol):
    """The tenant's transaction: asyncpg's calls, confined to the tenant's rows.

    It opens at the first call and commits together with the acknowledgement. ``transaction()`` is a
    savepoint. Ending the transaction by hand is refused with ScopeBroken.
    """

    async def execute(self, query: str, *args: Any, timeout: float | None = None) -> str: ...
    async def executemany(
        self, command: str, args: Iterable[Sequence[Any]], *, timeout: float | None = None
    ) -> None: ...
    async def fetch(self, query: str, *args: Any, timeout: float | None = None) -> list[asyncpg.Record]: ...
    async def fetchrow(
        self, query: str, *args: Any, timeout: float | None = None
    ) -> asyncpg.Record | None: ...
    async def fetchval(
        self, query: str, *args: Any, column: int = 0, timeout: float | None = None
    ) -> Any: ...
    def transaction(self) -> AbstractAsyncContextManager[None]: ...


@dataclass(slots=True)
class RunCounters:
    """What a run did, added to its row in agent_autonomous_runs when it settles."""

    planned: int = 0
    executed: int = 0
    blocked: int = 0
    emails_sent: int = 0
    cards_created: int = 0
    phase: Phase | None = None

    def add(self, other: "RunCounters") -> None:
        """Add another's numbers; its phase, if it has one, is the later one."""
        self.planned = _sum(self.planned, other.planned)
        self.executed = _sum(self.executed, other.executed)
        self.blocked = _sum(self.blocked, other.blocked)
        self.emails_sent = _sum(self.emails_sent, other.emails_sent)
        self.cards_created = _sum(self.cards_created, other.cards_created)
        self.phase = other.phase or self.phase

    def check(self) -> None:
        """Raises TypeError or ValueError for what could not be written: then it is the failure of the handler
        that set it, and not of everything that is settled together with it."""
        for name in ("planned", "executed", "blocked", "emails_sent", "cards_created"):
            given = getattr(self, name)
            try:
                number = index(given)
            except TypeError:
                raise TypeError(f"ctx.run.{name} must be a whole number, not {given!r:.40}") from None
            if abs(number) > _LARGEST_COUNT:
                raise ValueError(f"ctx.run.{name} is more than the run's row can hold")
            setattr(self, name, number)
        if self.phase and self.phase not in get_args(Phase):
            raise ValueError(f"ctx.run.phase is {self.phase!r:.40}, not one of {', '.join(get_args(Phase))}")

    def __bool__(self) -> bool:
        return bool(
            self.planned
            or self.executed
            or self.blocked
            or self.emails_sent
            or self.cards_created
            or self.phase
        )


def _sum(one: int, other: int) -> int:
    """Each of them was checked; only together they may be more than the column holds."""
    return max(-_LARGEST_COUNT, min(one + other, _LARGEST_COUNT))


def payload_json(payload: Any) -> str:
    """A payload as JSON text: a model as it dumps itself, a row as an object, a Decimal as a string.

    Raises TypeError for what has no text of its own: its name and address would arrive as if they were meant.
    """
    return orjson.dumps({} if payload is None else payload, default=_simple).decode()


def _simple(value: object) -> object:
    match value:
        case BaseModel():
            return value.model_dump(mode="json")
        case asyncpg.Record():
            return dict(value)
        case set() | frozenset():
            return list(value)
        case bytes() | bytearray() | memoryview():
            raise TypeError
        case _ if type(value).__str__ is object.__str__:
            raise TypeError
        case _:
            return str(value)


class Context:
    """One call of a handler: its tenant, its transaction, its run.

    ``db`` is the tenant's transaction; ``resources`` is what the app's lifespan gave; ``log`` is bound
    to tenant, run, handler and event. It is valid until the handler returns.
    """

    __slots__ = (
        "_checkpoint",
        "_db",
        "_failures",
        "_log",
        "_run",
        "_unawaited",
        "events",
        "handler",
        "open_db",
        "resources",
        "run_id",
        "tenant_id",
    )

    def __init__(
        self,
        tenant_id: UUID,
        run_id: UUID,
        open_db: Callable[[str, Unawaited], TenantDb],
        handler: str = "",
        events: Sequence[Event[Any]] = (),
        resources: Any = None,
        checkpoint: Callable[["Context"], Coroutine[Any, Any, None]] | None = None,
    ) -> None:
        # One is made for every event, so whatever is not asked for is not made. Whoever makes many gives them
        # in order: names would go through a dictionary, which costs more than all the rest.
        self.tenant_id = tenant_id
        self.run_id = run_id
        self.handler = handler
        self.events = events
        self.resources = resources
        #: what makes ``db`` when it is first asked for; the engine's
        self.open_db = open_db
        self._checkpoint = checkpoint
        self._unawaited: Unawaited | None = None
        self._db: TenantDb | None = None
        self._run: RunCounters | None = None
        self._log: FilteringBoundLogger | None = None
        self._failures: dict[int, BaseException] | None = None

    @property
    def db(self) -> TenantDb:
        """The tenant's transaction."""
        if self._db is None:
            self._db = self.open_db(self.handler, self._ask())
        return self._db

    @property
    def used_db(self) -> TenantDb | None:
        """``db`` if the handler ever asked for it."""
        return self._db

    @property
    def run(self) -> RunCounters:
        """The run's counters; what is added here is written when it settles."""
        if self._run is None:
            self._run = RunCounters()
        return self._run

    def take_counters(self) -> RunCounters | None:
        """The counters so far, which begin at zero again. Raises when they cannot be written."""
        counters, self._run = self._run, None
        if counters is not None:
            counters.check()
        return counters

    @property
    def log(self) -> FilteringBoundLogger:
        """A logger that says for whom and in which run; made when it is first asked for."""
        if self._log is None:
            self._log = structlog.get_logger("reactor.handler").bind(
                tenant_id=str(self.tenant_id),
                run_id=str(self.run_id),
                handler=self.handler,
                event_id=self.events[0].id if self.events else None,
            )
        return self._log

    @property
    def idempotency_key(self) -> str:
        """The event's ``event_id`` as text, the same at every try: for whatever lies outside the database.

        In a batch it is the first event's; take each event's own ``event_id`` there.
        """
        if not self.events:
            raise ReactorError("this context was made without an event, so it has no idempotency key")
        return str(self.events[0].event_id)

    def emit(
        self,
        event_type: str,
        payload: Any = None,
        *,
        subject_id: UUID | None = None,
        delay: timedelta = timedelta(0),
        priority: int = 0,
        dedup_key: str | None = None,
    ) -> Coroutine[Any, Any, int]:
        """Emit an event for this tenant in this transaction; it happens if the acknowledgement does.

        Returns its id, or that of the unfinished event with the same ``dedup_key``.
        """
        given = (subject_id, delay, priority, dedup_key)
        return self._ask().note("ctx.emit()", self._emit(event_type, payload, *given))

    async def _emit(self, event_type: str, payload: Any, *given: Any) -> int:
        emitted: int = await self.db.fetchval(
            "select reactor.emit($1, $2, $3::text::jsonb, $4, $5, $6, $7)",
            self.tenant_id,
            event_type,
            payload_json(payload),
            *given,
        )
        return emitted

    def checkpoint(self) -> Coroutine[Any, Any, None]:
        """Commit what was written so far, fenced, without acknowledging the event, or any of a batch.

        For an intent that must be on record before an effect outside the database. What follows is a
        new transaction; a failure after it does not undo what was committed here. Where no
        transaction is open yet, there is nothing to commit.
        """
        if self._checkpoint is None:
            raise ReactorError("this context was made without an engine, so it has no checkpoint")
        return self._ask().note("ctx.checkpoint()", self._checkpoint(self))

    def _ask(self) -> Unawaited:
        if self._unawaited is None:
            self._unawaited = Unawaited()
        return self._unawaited

    def refuse_unawaited(self) -> None:
        """Raises ReactorError when the handler returned without awaiting what it asked for here."""
        if self._unawaited is not None:
            self._unawaited.refuse(f"handler {self.handler}")

    def fail(self, event: Event[Any], error: BaseException) -> None:
        """In a batch handler: this event failed, and the rest may commit.

        What the handler wrote for it commits too, so call it before writing, or undo that with
        ``async with ctx.db.transaction()``. ``error`` may be a Retry or a Discard.
        """
        given: object = error
        if not isinstance(given, BaseException):
            shown = given.__name__ if isinstance(given, type) else repr(given)
            raise TypeError(
                f"ctx.fail(event, error) takes an exception, not {shown:.80}: "
                'write it as ctx.fail(event, ValueError("what is wrong"))'
            )
        if self._failures is None:
            self._failures = {}
        self._failures[event.id] = error

    @property
    def failures(self) -> dict[int, BaseException]:
        """What ``fail`` was told, by event id."""
        return self._failures or {}
