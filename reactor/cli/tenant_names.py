"""Tenants as a person names them: by id, or by a name that only one of them has."""

from collections.abc import Iterable
from typing import LiteralString
from uuid import UUID

from reactor.db.pool import Connection
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
