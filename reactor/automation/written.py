"""Whether what a handler wrote is there.

A trigger of the application's that returns null before a row is written has the write left out in silence:
the event would be acknowledged with nothing done. So whoever writes the application's tables counts.
"""

from __future__ import annotations

from typing import Literal, LiteralString, TypeAlias

from reactor.context import TenantDb
from reactor.errors import WriteSkipped

Operation: TypeAlias = Literal["insert", "update", "insert or update"]

_WHO: LiteralString = "select reactor.skipped($1::text::pg_catalog.regclass, $2)"
_HINT = "a trigger that returns null before a row is written has it left out: let it return the row"


async def require_written(
    db: TenantDb, table: str, operation: Operation, *, asked: int, written: int
) -> None:
    """Raises WriteSkipped, which names table and trigger, when fewer rows were written than asked for."""
    if written < asked:
        raise WriteSkipped(str(await db.fetchval(_WHO, table, operation)), hint=_HINT)


def count_of(status: str) -> int:
    """How many rows a statement touched, by the server's word for it: ``INSERT 0 3``, ``UPDATE 3``."""
    return int(status.rpartition(" ")[2])
