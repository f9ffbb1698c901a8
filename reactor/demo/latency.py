"""Measures how long it takes from a writer's commit until the work that it caused is committed.

Both moments are commit timestamps of the same server (``track_commit_timestamp``): that of the writer's
transaction, and that of the transaction that settled the event and wrote the results. So no replica's clock
and no round trip of ours is in the number. For a clock that runs out, time begins at its deadline instead.

The server takes a commit's timestamp before it waits for the disk; so the first wait is inside what is
measured, and the last one is not.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from math import ceil
from typing import LiteralString
from uuid import UUID

from reactor.db.pool import Connection

#: The kind of orders that were queued by the dozen: each one's verdict comes with that of the last.
IMPORTED = "order.queued, many at once"

#: What is kept for the live table, a tenant.
_WINDOW = 1000

_HANDLED: LiteralString = """
with writes as materialized (
    select w.n, w.subject, coalesce(w.due, pg_xact_commit_timestamp(w.xid::xid8::xid)) as began
    from unnest($1::uuid[], $2::text[], $3::timestamptz[]) with ordinality as w (subject, xid, due, n)
),
settled as materialized (
    select h.subject_id, pg_xact_commit_timestamp(h.xmin) as at
    from reactor.history h
    where h.id > $4 and h.subject_id = any ($1)
)
select w.n, (extract(epoch from min(s.at) - w.began) * 1000)::float8 as ms
from writes w
join settled s on s.subject_id = w.subject and s.at >= w.began
group by w.n, w.began
"""
_LAST_EVENT: LiteralString = "select last_value from reactor.events_id_seq"


@dataclass(frozen=True, slots=True)
class Write:
    """Something that the application committed and the reactor has to handle."""

    kind: str
    tenant_id: UUID
    subject: UUID
    xid: str | None = None
    """The writer's transaction; None when time begins at ``due``."""
    due: datetime | None = None


@dataclass(slots=True)
class Tracker:
    """Writes whose handling is still to come, and how long the others took (milliseconds)."""

    waiting: list[tuple[int, Write]] = field(default_factory=list)
    by_kind: dict[str, list[float]] = field(default_factory=dict)
    recent: dict[UUID, deque[float]] = field(default_factory=dict)
    floor: int = 0
    """Events of transactions that begin from now on have higher ids than this."""

    def note(self, write: Write, floor: int) -> None:
        """Called when a write was committed, with the floor from before its transaction began."""
        self.waiting.append((floor, write))

    async def look(self, connection: Connection) -> None:
        """Finds out which of the waiting writes were handled."""
        self.floor = await connection.fetchval(_LAST_EVENT)
        waiting, self.waiting = self.waiting, []
        if not waiting:
            return
        rows = await connection.fetch(
            _HANDLED,
            [write.subject for _, write in waiting],
            [write.xid for _, write in waiting],
            [write.due for _, write in waiting],
            min(floor for floor, _ in waiting),
        )
        done = set()
        for row in rows:
            done.add(row["n"])
            _, write = waiting[row["n"] - 1]
            self.by_kind.setdefault(write.kind, []).append(row["ms"])
            if write.due is None and write.kind != IMPORTED:
                self.recent.setdefault(write.tenant_id, deque(maxlen=_WINDOW)).append(row["ms"])
        self.waiting += [entry for n, entry in enumerate(waiting, 1) if n not in done]


def percentile(values: Sequence[float], share: float) -> float:
    """The nearest-rank percentile; NaN of nothing."""
    if not values:
        return float("nan")
    ordered = sorted(values)
    return ordered[max(0, ceil(share * len(ordered)) - 1)]
