"""``reactor emit``."""

import sys
from datetime import timedelta
from typing import Annotated
from uuid import UUID

import asyncpg
import orjson
from cyclopts import Parameter

from reactor.cli.arguments import Duration, in_range
from reactor.cli.output import print_json
from reactor.cli.session import session
from reactor.db import operations
from reactor.db.named import tenant_id
from reactor.errors import BadArgument, taken_apart


async def emit(
    tenant: str,
    event_type: str,
    payload: Annotated[str, Parameter(allow_leading_hyphen=True)] = "{}",
    /,
    *,
    subject: UUID | None = None,
    delay: Duration = timedelta(0),
    priority: int = 0,
    dedup_key: str | None = None,
    json: bool = False,
) -> int:
    """Puts an event in by hand.

    Prints its id, with which `reactor events trace` follows it.

    Exits 2 when there is no such tenant or the payload is no JSON object.

    Example: ``reactor emit 0b6f0f6e-2c43-4b43-a2f6-0f2c7c1c9a10 invoice.paid '{"total": "12.50"}'``

    Parameters
    ----------
    tenant
        Id of the tenant, or its name.
    event_type
        What happened, e.g. invoice.paid.
    payload
        A JSON object; ``-`` reads it from stdin.
    subject
        Id of the row that it is about.
    delay
        Handle it only after this time, e.g. 30s, 5m, 1h30m.
    priority
        Lower runs first within the tenant.
    dedup_key
        While an unfinished event of the tenant has this key, none is added: its id is printed.
    json
        Write JSON to stdout.
    """
    try:
        text = sys.stdin.read() if payload == "-" else payload
    except UnicodeDecodeError as error:
        raise BadArgument(f"stdin cannot be read: {error}", hint="write JSON in UTF-8") from None
    _check(text)
    in_range("--priority", priority, -(2**31))
    async with session("emit") as connection:
        of = await tenant_id(connection, tenant)
        try:
            event = await operations.emit(
                connection,
                of,
                event_type,
                text,
                subject_id=subject,
                delay=delay,
                priority=priority,
                dedup_key=dedup_key,
            )
        except asyncpg.DataError as error:
            if error.__cause__ is not None:  # an argument that never came to the server
                raise
            # JSON may hold what the server's jsonb does not: \u0000.
            message, detail, _ = taken_apart(str(error))
            raise BadArgument(
                f"PostgreSQL cannot store the payload: {message}",
                detail=detail,
                hint="jsonb holds all that JSON does but \\u0000: leave that out",
            ) from None
        except asyncpg.ProgramLimitExceededError:
            if dedup_key is None:
                raise
            raise BadArgument(
                f"--dedup-key is too long with {len(dedup_key.encode()):,} bytes",
                hint="it is kept in an index, which takes 2,600 bytes; a hash of it does as well",
            ) from None
    if json:
        print_json({"id": event})
    else:
        print(event)
    return 0


def _check(text: str) -> None:
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise BadArgument(
            f"the payload is no JSON: {error}",
            hint="""write it like '{"total": "12.50"}', in single quotes""",
        ) from None
    if not isinstance(value, dict):
        raise BadArgument("the payload is no JSON object", hint="""write it like '{"total": "12.50"}'""")
