"""``reactor locks``: who works for which tenant."""

from typing import Annotated

from cyclopts import Parameter

from reactor.cli.arguments import group, in_range
from reactor.cli.output import print_json, print_rows, say
from reactor.cli.session import session
from reactor.db import operations
from reactor.db.named import as_uuid, tenant_id
from reactor.errors import BadArgument, ReactorError
from reactor.telemetry import deeds
from reactor.telemetry.words import ago

Json = Annotated[bool, Parameter(help="Write JSON to stdout.")]

app = group("locks", "Who works for which tenant: list, release.", "reactor locks list")


@app.command(name="list")
async def list_(*, limit: int = 100, json: Json = False) -> int:
    """Lists tenant locks, the oldest first, and whether their holders live.

    Example: ``reactor locks list``

    Parameters
    ----------
    limit
        At most so many.
    """
    in_range("--limit", limit, 1)
    async with session("locks list") as connection:
        rows = [dict(row) for row in await operations.list_locks(connection, limit)]
        now = await operations.now(connection)
    if json:
        print_json(rows)
        return 0
    shown = [
        row
        | {
            "tenant": row["tenant_name"],
            "run": row["run_id"],
            "holder": row["lock_holder"],
            "held_since": ago(row["locked_at"], now),
            "expires": ago(row["expires_at"], now),
            "lives": _life(row["by_replica"], row["holder_alive"]),
        }
        for row in rows
    ]
    columns = ["tenant_id", "tenant", "run", "holder", "lives", "held_since", "expires", "in_flight"]
    print_rows(shown, columns, empty="No tenant is locked.")
    return 0


@app.command
async def release(lock: str, /, *, force: bool = False, json: Json = False) -> int:
    """Takes a lock away. Its run fails, and what it had in flight is tried again.

    Nothing that the holder still does can be committed. Rarely needed: the lease of a dead replica ends
    by itself within REACTOR_LEASE_SECONDS. Exits 1 when a live replica holds it (see --force), 2 when
    nothing is locked.

    Example: ``reactor locks release 0b6f0f6e-2c43-4b43-a2f6-0f2c7c1c9a10``

    Parameters
    ----------
    lock
        Id or name of the tenant, id of the run that holds it, or id of the lock.
    force
        Also from a live replica, whose work on it is thrown away and done again.
    """
    async with session("locks release") as connection:
        user = await connection.fetchval("select session_user::text")
        id_ = as_uuid(lock) or await tenant_id(connection, lock)
        row = await operations.break_lock(connection, id_, f"released by {user}", force=force)
    if row is None:
        raise BadArgument(f"nothing is locked by {lock}", hint="`reactor locks list` shows what is")
    if not row["broken"]:
        raise ReactorError(
            f"replica {row['lock_holder']} holds it and lives",
            hint="leave it to finish, or add --force: its work is thrown away and done again",
        )
    if json:
        print_json(dict(row))
    else:
        say(deeds.lock(dict(row)))
    return 0


def _life(by_replica: bool, alive: bool) -> str:
    return "no replica" if not by_replica else "yes" if alive else "no"
