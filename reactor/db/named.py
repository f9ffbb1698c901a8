"""What a person named: a tenant by its id or a name that only one has, an event by its number or event_id."""

from collections.abc import Iterable
from typing import LiteralString
from uuid import UUID

from reactor.db import operations
from reactor.db.calls import Connection
from reactor.errors import BadArgument

_HINT = "`reactor tenants list` shows them"

_NAME: LiteralString = "select t.name from public.tenants t where t.id = $1"
# An exact name goes before one that differs in capitals.
_NAMED: LiteralString = """
select t.id, t.name
from public.tenants t
where pg_catalog.lower(t.name) = pg_catalog.lower($1)
  and (t.name = $1 or not exists (select from public.tenants e where e.name = $1))
order by t.id
limit 4
"""


async def tenant_id(connection: Connection, text: str) -> UUID:
    """The id of the tenant that a person named. Raises BadArgument where it is none, or several."""
    id_ = as_uuid(text)
    if id_ is not None:
        if await connection.fetchval(_NAME, id_) is None:
            raise BadArgument(f"there is no tenant {text}", hint=_HINT)
        return id_
    if not text.strip():  # a script's variable that is not set, and hardly the tenant that has no name
        raise BadArgument("there is no tenant to be found by an empty name", hint=f"give its id; {_HINT}")
    found = await connection.fetch(_NAMED, text)
    if not found:
        raise BadArgument(f"there is no tenant '{text}'", hint=f"give its id or its name; {_HINT}")
    if len(found) > 1:
        ids = ", ".join(str(row["id"]) for row in found[:3])
        more = ", …" if len(found) > 3 else ""
        raise BadArgument(f"several tenants are called '{text}'", hint=f"name it by its id: {ids}{more}")
    one: UUID = found[0]["id"]
    return one


async def tenant_ids(connection: Connection, texts: Iterable[str]) -> list[UUID]:
    """:func:`tenant_id` for each, every tenant once."""
    return list(dict.fromkeys([await tenant_id(connection, text) for text in texts]))


async def tenant_label(connection: Connection, id_: object) -> str:
    """A tenant for a list of facts: its id and its name."""
    return f"{id_} {await connection.fetchval(_NAME, UUID(str(id_))) or '(gone)'}"


def as_uuid(text: str) -> UUID | None:
    """The UUID that a text is, or None."""
    try:
        return UUID(text)
    except ValueError:
        return None


async def event_number(connection: Connection, text: str) -> int:
    """The id of an event that a person named, by its number or its event_id. It may not exist."""
    if text.isascii() and text.isdecimal() and len(text) < 20 and int(text) < 2**63:
        return int(text)
    try:
        event_id = UUID(text)
    except ValueError:
        raise BadArgument(
            f"'{text}' is no id of an event", hint="it is a number, as `reactor emit` prints it, or a UUID"
        ) from None
    found = await operations.find_event(connection, event_id)
    if found is None:
        raise no_event(text)
    return found


def no_event(name: object) -> BadArgument:
    """Nobody knows this event."""
    return BadArgument(
        f"there is no event {name}",
        hint="finished events are kept for REACTOR_RETENTION_EVENTS_DAYS (7) days; "
        "one whose transaction was rolled back never existed",
    )


async def dead_tenant_id(connection: Connection, named: str | None) -> UUID | None:
    """:func:`tenant_id`; one that is gone may have left dead events."""
    if named is None:
        return None
    try:
        return await tenant_id(connection, named)
    except BadArgument:
        gone = as_uuid(named)
        if gone is None or not await operations.count_dead(connection, operations.Chosen(tenant_id=gone)):
            raise
        return gone


async def dead_numbers(connection: Connection, texts: Iterable[str]) -> list[int]:
    """The ids of dead events that a person named. Raises BadArgument where one of them is not dead."""
    ids = sorted({await event_number(connection, text) for text in texts})
    rows = await connection.fetch("select c.id from reactor.choose_dead($1) c", ids)
    missing = set(ids) - {row["id"] for row in rows}
    if missing:
        raise not_dead(sorted(missing))
    return ids


def not_dead(ids: list[int]) -> BadArgument:
    """These are not dead."""
    names = ", ".join(map(str, ids))
    return BadArgument(
        f"event {names} is not dead" if len(ids) == 1 else f"events {names} are not dead",
        hint=f"`reactor explain {ids[0]}` says what became of it",
    )
