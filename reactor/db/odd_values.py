"""Connections for people, to whom one odd value must not hide all others: what Python cannot hold comes
as the server's text."""

from datetime import UTC, datetime, timedelta

from reactor.db.json_text import read_exactly, to_json
from reactor.db.pool import Connection

#: Postgres counts microseconds from here.
EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
#: So long is every 400 years, after which the calendar repeats itself.
_ROUND = 146_097 * 86_400 * 1_000_000


async def show_anything(connection: Connection) -> None:
    """Numbers, depths and times of any size, from here on."""
    for kind in ("json", "jsonb"):
        await connection.set_type_codec(
            kind, schema="pg_catalog", encoder=to_json, decoder=read_exactly, format="text"
        )
    await connection.set_type_codec(
        "timestamptz",
        schema="pg_catalog",
        encoder=lambda at: ((at - EPOCH) // timedelta(microseconds=1),),
        decoder=lambda coded: instant(coded[0]),
        format="tuple",
    )


def instant(microseconds: int) -> datetime | str:
    """What a timestamptz holds; beyond our calendar its text."""
    if abs(microseconds) >= 2**63 - 1:
        return "infinity" if microseconds > 0 else "-infinity"
    try:
        return EPOCH + timedelta(microseconds=microseconds)
    except OverflowError:
        rounds, rest = divmod(microseconds, _ROUND)
        like = EPOCH + timedelta(microseconds=rest)
        year, tail = like.year + 400 * rounds, like.isoformat()[4:]
        return f"{year:04}{tail}" if year > 0 else f"{1 - year:04}{tail} BC"
