"""One holding of a lease, as this replica sees it."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any
from uuid import UUID

import asyncpg

from reactor.context import Context, RunCounters, TenantDb
from reactor.engine.outcome import Outcome
from reactor.events import Event
from reactor.unawaited import Unawaited

if TYPE_CHECKING:
    from reactor.engine.scope import Scope


Rows = Sequence[asyncpg.Record]

_run_id = itemgetter("run_id")


def rows_by_run(rows: Rows) -> dict[UUID, list[asyncpg.Record]]:
    """The events of a claim's or a settlement's answer, by the run that they belong to."""
    by_run: dict[UUID, list[asyncpg.Record]] = {}
    for run_id, own in groupby(rows, _run_id):
        by_run.setdefault(run_id, []).extend(own)
    return by_run


@dataclass(frozen=True, slots=True)
class Limits:
    """What the settings say about every run."""

    batch: int
    max_attempts: int
    max_interruptions: int


@dataclass(slots=True, eq=False)
class Run:
    """A tenant's lease and the events that were claimed with it. ``run_id`` is the fencing token."""

    tenant_id: UUID
    run_id: UUID
    rows: Rows
    #: loop time when it was claimed, and when the current call of a handler began (0: none runs)
    claimed_at: float
    #: how many events it was claimed with at most: with so many, there may be more
    batch: int = 1
    calling_since: float = 0.0
    #: the running call's handler, its limit in seconds, and what the watchdog did about it
    handler: str = ""
    event: Event[Any] | None = None
    limit: float = 0.0
    timed_out: bool = False
    given_up: bool = False
    #: the lease is somebody else's: stop, nothing of this will be committed
    lost: bool = False
    #: the drain waits no longer, and cancelled it
    stopped: bool = False
    task: asyncio.Task[None] | None = None
    #: it has, or had, events in hand that were interrupted before
    is_suspect: bool = False
    #: its settlement failed for a limit of the server's, perhaps because of what it was to bring next
    is_last: bool = False
    #: events of this turn that were tried already, while others waited for the slot
    taken: int = 0
    #: it ends with this segment: its turn is, or was, an event type of which only so many tenants are handled
    #: here, or none
    capped: bool = False
    #: events that a checkpoint acknowledged
    acknowledged: set[int] = field(default_factory=set)
    scope: "Scope | None" = None
    #: what is being handled, and what ``ctx.db`` and ``ctx.checkpoint()`` call
    segment: "Segment | None" = None
    open_db: Callable[[str, Unawaited], TenantDb] | None = None
    checkpoint: Callable[[Context], Coroutine[Any, Any, None]] | None = None
    #: a settlement that nobody waits for yet: the events that it will bring, and those that it settles
    coming: asyncio.Future[Rows] | None = None
    on_its_way: Rows = ()
    #: events that are being handled, and neither done nor failed yet
    in_hand: int = 0
    #: what the running call of a handler was given
    context: Context | None = None

    @property
    def described(self) -> dict[str, Any]:
        """What it does at this moment, for the log."""
        return {
            "handler": self.handler,
            "event_id": self.event.id if self.event else None,
            "tenant_id": str(self.tenant_id),
        }


@dataclass(slots=True)
class Segment:
    """What of a run is settled together: handled events, the others' outcomes, the counters."""

    run: Run
    done: list[int] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)
    counters: RunCounters = field(default_factory=RunCounters)
