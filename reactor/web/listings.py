"""The lists that pages and the API show, a page of each, and where the next page begins."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from reactor.db import operations
from reactor.db.calls import Connection
from reactor.db.operations import Chosen
from reactor.errors import BadArgument
from reactor.web.asked import PAGE, Asked, as_uuid_of

STATES = ("ready", "in_flight", "delayed", "parked", "retrying")
SEVERITIES = ("critical", "warning", "info")


@dataclass(frozen=True, slots=True)
class Page:
    """``next``: the parameter ``after`` of the page behind this one; ``None``: there is none."""

    rows: list[dict[str, Any]]
    next: str | None
    now: datetime


async def events(connection: Connection, asked: Asked) -> dict[str, Any]:
    """What reactor.list_events() answers."""
    return await operations.list_events(
        connection,
        asked.limit(),
        state=asked.one_of("state", *STATES),
        event_type=asked.text("type"),
        tenant_id=await asked.tenant(connection),
        after=asked.number("after"),
    )


async def chosen_dead(connection: Connection, asked: Asked) -> Chosen:
    return Chosen(None, asked.text("type"), await asked.tenant(connection, gone=True), asked.since())


async def dead(connection: Connection, asked: Asked) -> Page:
    limit, behind = asked.limit(), asked.behind()
    if behind is not None and not behind[1].isdecimal():
        raise BadArgument("after is what an answer named as its next page")
    rows = await operations.list_dead(
        connection,
        await chosen_dead(connection, asked),
        limit + 1,
        (behind[0], int(behind[1])) if behind else None,
    )
    return await _page(connection, rows, limit, "died_at")


async def alerts(connection: Connection, asked: Asked) -> Page:
    limit, behind = asked.limit(), asked.behind()
    rows = await operations.list_alerts(
        connection,
        limit + 1,
        acknowledged=asked.flag("all"),
        tenant=await asked.tenant(connection),
        severity=asked.one_of("severity", *SEVERITIES),
        behind=(behind[0], as_uuid_of("after", behind[1])) if behind else None,
    )
    return await _page(connection, rows, limit, "created_at")


async def tenants(connection: Connection, asked: Asked) -> Page:
    limit = asked.limit()
    which = asked.one_of("enabled", "yes", "no")
    rows = await operations.list_tenants(
        connection,
        limit + 1,
        enabled=None if which is None else which == "yes",
        name=asked.text("name"),
        after=asked.uuid("after"),
    )
    return await _page(connection, rows, limit, None)


async def locks(connection: Connection, asked: Asked) -> Page:
    """The oldest first, without a next page: there are as many as tenants are in hand."""
    limit = asked.limit(4 * PAGE)
    return await _page(connection, await operations.list_locks(connection, limit), limit, None)


async def _page(connection: Connection, rows: list[Any], limit: int, by: str | None) -> Page:
    shown = [dict(row) for row in rows[:limit]]
    following = None
    if len(rows) > limit:
        last = shown[-1]
        following = f"{_exact(last[by])}~{last['id']}" if by is not None else str(last["id"])
    return Page(shown, following, await operations.now(connection))


def _exact(at: datetime | str) -> str:
    return at.isoformat() if isinstance(at, datetime) else at
