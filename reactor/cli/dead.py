"""``reactor dead``: events that will not be tried again by themselves."""

from typing import Annotated

from cyclopts import Parameter

from reactor.cli.arguments import Duration, agreed, group, in_range
from reactor.cli.output import print_json, print_rows
from reactor.cli.session import session
from reactor.cli.story import print_errors, print_facts
from reactor.db import operations
from reactor.db.named import dead_numbers, dead_tenant_id, event_number, not_dead, tenant_label
from reactor.db.operations import Chosen
from reactor.db.pool import Connection
from reactor.errors import BadArgument
from reactor.telemetry import deeds
from reactor.telemetry.deeds import FEW
from reactor.telemetry.words import ago, shorten

Type = Annotated[str | None, Parameter(name="--type", help="Only events of this type.")]
Tenant = Annotated[
    str | None, Parameter(name="--tenant", help="Only events of this tenant, by its id or its name.")
]
Since = Annotated[Duration | None, Parameter(help="Only those that died since then, e.g. 30m, 1h, 2d.")]
Json = Annotated[bool, Parameter(help="Write JSON to stdout.")]
Yes = Annotated[bool, Parameter(help=f"Do not ask, however many. More than {FEW} are asked about.")]
AtMost = Annotated[int, Parameter(name="--limit", help="At most so many, the oldest first.")]

app = group(
    "dead",
    "Events that will not be tried again by themselves: list, show, replay, discard.",
    "reactor dead replay --type order.queued --since 1h",
)


@app.command(name="list")
async def list_(
    *,
    event_type: Type = None,
    tenant: Tenant = None,
    since: Since = None,
    limit: int = 50,
    json: Json = False,
) -> int:
    """Lists dead events, the latest death first.

    Exits 0, also when there are none.

    Example: ``reactor dead list --type order.queued --since 1h``

    Parameters
    ----------
    limit
        At most so many.
    """
    in_range("--limit", limit, 1)
    async with session("dead list") as connection:
        chosen = Chosen(None, event_type, await dead_tenant_id(connection, tenant), since)
        rows = [dict(row) for row in await operations.list_dead(connection, chosen, limit)]
        now = await operations.now(connection)
    if json:
        print_json(rows)
        return 0
    shown = [
        row
        | {
            "type": row["event_type"],
            "tenant": row["tenant_name"] or row["tenant_id"],  # which may be deleted
            "died": ago(row["died_at"], now),
            "why": shorten(row["reason"]),
        }
        for row in rows
    ]
    print_rows(shown, ["id", "type", "tenant", "attempts", "died", "why"], empty="No event is dead.")
    if len(rows) == limit:
        print(f"(The latest {limit}; see --limit.)")
    return 0


@app.command
async def show(event: str, /, *, json: Json = False) -> int:
    """Shows one dead event whole, with its payload and every error.

    Exits 2 when it is not dead.

    Example: ``reactor dead show 4711``

    Parameters
    ----------
    event
        Its id.
    """
    async with session("dead show") as connection:
        number = await event_number(connection, event)
        found = await operations.read_event(connection, number)
        now = await operations.now(connection)
        if found is None or found["state"] != "dead":
            raise not_dead([number])
        tenant = await tenant_label(connection, found["tenant_id"])
    if json:
        print_json(found)
        return 0
    print_facts(
        {
            "event": f"{found['id']} ({found['event_id']})",
            "type": found["event_type"],
            "tenant": tenant,
            "subject": found["subject_id"],
            "payload": found["payload"],
            "emitted": ago(found["created_at"], now),
            "died": ago(found["died_at"], now),
            "why": found["reason"],
            "attempts": f"{found['attempts']}, and {found['interruptions']} interrupted",
            "last run": found["run_id"],
            "caused by": found["cause_id"],
        }
    )
    print_errors(found["errors"], now)
    return 0


@app.command
async def replay(
    *events: str,
    event_type: Type = None,
    tenant: Tenant = None,
    since: Since = None,
    limit: AtMost = 1000,
    yes: Yes = False,
    json: Json = False,
) -> int:
    """Puts dead events back in line, with their attempts counted anew.

    Name them, or choose them by type, tenant and time. Exits 1 when none fits, 2 when one that was
    named is not dead.

    Example: ``reactor dead replay --type order.queued --since 1h``

    Parameters
    ----------
    events
        Ids of dead events.
    """
    async with session("dead replay") as connection:
        chosen = await _choose(connection, events, event_type, tenant, since)
        fit = await operations.count_dead(connection, chosen)
        if not _go_on("replay", min(fit, limit), limit, yes=yes):
            return 1
        done = await operations.replay(connection, chosen, limit)
    return _report("replayed", done, fit - len(done), json=json)


@app.command
async def discard(
    *events: str,
    event_type: Type = None,
    tenant: Tenant = None,
    since: Since = None,
    limit: AtMost = 1000,
    reason: Annotated[str | None, Parameter(help="Why, for whoever asks later.")] = None,
    yes: Yes = False,
    json: Json = False,
) -> int:
    """Gives dead events up: they move to the history as discarded, whole, with the reason.

    Exits 1 when none fits, 2 when one that was named is not dead.

    Example: ``reactor dead discard 4711 --reason "the order was a test"``

    Parameters
    ----------
    events
        Ids of dead events.
    """
    async with session("dead discard") as connection:
        chosen = await _choose(connection, events, event_type, tenant, since)
        fit = await operations.count_dead(connection, chosen)
        if not _go_on("discard", min(fit, limit), limit, yes=yes):
            return 1
        done = await operations.discard_dead(connection, chosen, limit, reason)
    return _report("discarded", done, fit - len(done), json=json)


async def _choose(
    connection: Connection,
    events: tuple[str, ...],
    event_type: str | None,
    tenant: str | None,
    since: Duration | None,
) -> Chosen:
    if not events and event_type is None and tenant is None and since is None:
        raise BadArgument(
            "which dead events?", hint="name their ids, or choose by --type, --tenant and --since"
        )
    of = await dead_tenant_id(connection, tenant)
    return Chosen(await dead_numbers(connection, events) if events else None, event_type, of, since)


def _go_on(verb: str, count: int, limit: int, *, yes: bool) -> bool:
    in_range("--limit", limit, 1)
    return count <= FEW or agreed(f"{verb} {count:,} dead events?", yes=yes)


def _report(what: str, done: list[int], left: int, *, json: bool) -> int:
    if json:
        print_json({what: done, "left": left})
    else:
        print("\n".join(deeds.dead(what, done, left, again="run it again, or raise --limit")))
    return 0 if done else 1
