"""What a person can do here: the actions of the commands, with the same results and the same sentences.

Each runs in a transaction of its own as the replica's own role, and is a line of the log that says who did
it.
"""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

import structlog
from starlette.requests import Request

from reactor.db import operations
from reactor.db.calls import Connection
from reactor.db.named import as_uuid, dead_numbers, tenant_id, tenant_ids
from reactor.db.operations import Chosen
from reactor.errors import BadArgument, ReactorError
from reactor.telemetry import deeds, names
from reactor.web.asked import Asked
from reactor.web.databases import Database
from reactor.web.listings import chosen_dead
from reactor.web.site import Site, caller_of

log = structlog.get_logger("reactor.web")


@dataclass(frozen=True, slots=True)
class Done:
    """``document`` for programs, as the command's ``--json``; ``says`` for people."""

    document: object
    says: str


Action = Callable[[Database, Asked], Awaitable[Done]]


async def do(site: Site, request: Request, name: str, asked: Asked) -> Done:
    """Does it, and says so in the log. Raises KeyError when there is no such action."""
    action, database = ACTIONS[name], site.database(request)
    done = await action(database, asked)
    site.live(request).forget()
    log.info(
        names.OPERATOR_ACTED,
        action=name.replace("/", " "),
        who=caller_of(request).who,
        client=request.client.host if request.client else None,
        database=database.label,
        says=done.says,
    )
    return done


async def _replay(database: Database, asked: Asked) -> Done:
    async with database.act() as connection:
        chosen, limit = await _chosen(connection, asked), asked.limit(1000)
        fit = await operations.count_dead(connection, chosen)
        ids = await operations.replay(connection, chosen, limit)
    return _dead("replayed", ids, fit - len(ids))


async def _discard(database: Database, asked: Asked) -> Done:
    async with database.act() as connection:
        chosen, limit = await _chosen(connection, asked), asked.limit(1000)
        fit = await operations.count_dead(connection, chosen)
        ids = await operations.discard_dead(connection, chosen, limit, asked.text("reason"))
    return _dead("discarded", ids, fit - len(ids))


def _dead(what: str, ids: list[int], left: int) -> Done:
    return Done({what: ids, "left": left}, _joined(deeds.dead(what, ids, left, again="again for those")))


async def _chosen(connection: Connection, asked: Asked) -> Chosen:
    named = asked.several("ids")
    if named:
        return Chosen(await dead_numbers(connection, named))
    if asked.text("type") is None and asked.text("tenant") is None and asked.text("since") is None:
        raise BadArgument("which dead events?", hint="name their ids, or choose by type, tenant and since")
    return await chosen_dead(connection, asked)


async def _set_tenants(database: Database, asked: Asked, *, enabled: bool) -> Done:
    named = asked.several("tenants")
    if not named:
        raise BadArgument(f"which tenants should be {'enabled' if enabled else 'disabled'}?")
    async with database.act() as connection:
        ids = await tenant_ids(connection, named)
        found = await operations.set_tenant_enabled(connection, ids, enabled=enabled)
        rows = [dict(row) for row in found]
    said = list(deeds.tenants(rows, enabled=enabled))
    if enabled:
        async with database.look() as connection:
            said += deeds.in_the_way(rows, (await operations.status(connection))["gate"])
    return Done(rows, _joined(said))


async def _kill_switch(database: Database, asked: Asked, *, on: bool) -> Done:
    async with database.act() as connection:
        await operations.set_kill_switch(connection, on=on, reason=asked.text("reason"))
    async with database.look() as connection:
        found = await operations.status(connection)
    return Done(kill_switch(found), _joined(deeds.kill_switch(found)))


def kill_switch(status: dict[str, Any]) -> dict[str, object]:
    """As `reactor kill-switch status --json` has it."""
    gate = status["gate"]
    return {"on": not gate["open"], "reason": gate["reason"], "parked": status["events"]["parked"]}


async def _acknowledge(database: Database, asked: Asked) -> Done:
    alerts, by = asked.uuids("alerts"), asked.uuid("by")
    if not alerts:
        raise BadArgument("which alerts?", hint="name their ids")
    async with database.act() as connection:
        done = [alert for alert in alerts if await operations.acknowledge_alert(connection, alert, by)]
    before = [alert for alert in alerts if alert not in done]
    return Done({"acknowledged": done, "before": before}, deeds.alerts(len(done), len(before)))


async def _release(database: Database, asked: Asked) -> Done:
    lock = asked.text("lock")
    if lock is None:
        raise BadArgument("which lock?", hint="name its tenant, or its run by its id")
    async with database.act() as connection:
        user = await connection.fetchval("select session_user::text")
        id_ = as_uuid(lock) or await tenant_id(connection, lock)
        row = await operations.break_lock(
            connection, id_, f"released by {user}, on the dashboard", force=asked.flag("force")
        )
        if row is None:
            raise BadArgument(f"nothing is locked by {lock}")
        if not row["broken"]:
            raise ReactorError(
                f"replica {row['lock_holder']} holds it and lives",
                hint="leave it to finish, or take it by force: its work is thrown away and done again",
            )
    return Done(dict(row), deeds.lock(dict(row)))


def _joined(lines: Iterable[str]) -> str:
    return " ".join(lines)


ACTIONS: dict[str, Action] = {
    "dead/replay": _replay,
    "dead/discard": _discard,
    "tenants/enable": partial(_set_tenants, enabled=True),
    "tenants/disable": partial(_set_tenants, enabled=False),
    "kill-switch/on": partial(_kill_switch, on=True),
    "kill-switch/off": partial(_kill_switch, on=False),
    "alerts/ack": _acknowledge,
    "locks/release": _release,
}
