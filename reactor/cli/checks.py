"""What `reactor doctor` looks at: the server, the way to it, the role, and how the fleet does."""

import asyncio
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, LiteralString

import asyncpg

from reactor.db import operations, pool
from reactor.db.pool import Connection
from reactor.db.replica_pools import OWN_CONNECTIONS
from reactor.db.whereabouts import whereabouts
from reactor.errors import ReactorError, redact
from reactor.settings import Settings
from reactor.telemetry import overview
from reactor.telemetry.words import many

Level = Literal["ok", "remark", "wrong"]

#: Versions that are tested.
_OLDEST, _NEWEST = 15, 18
#: Share of the notification queue: some listener sits in an open transaction.
_QUEUE_REMARK, _QUEUE_WRONG = 0.1, 0.5
_SKEW_REMARK = 2.0
_OLD_TRANSACTION = 300
#: Seconds after which a replica ends idle sessions of its own.
_IDLE = 300
#: Seconds without a canary, three of the default intervals; a replica knows its own setting better.
_SILENT = 180

_SERVER: LiteralString = """
select pg_catalog.pg_is_in_recovery() as standby,
    pg_catalog.current_setting('default_transaction_isolation') as isolation,
    pg_catalog.current_setting('default_transaction_read_only') as read_only,
    pg_catalog.current_setting('row_security') as row_security,
    pg_catalog.current_setting('max_connections')::int
        - pg_catalog.current_setting('superuser_reserved_connections')::int
        - coalesce(pg_catalog.current_setting('reserved_connections', true)::int, 0) as connections,
    (select case when r.rolsuper then -1 else r.rolconnlimit end
     from pg_catalog.pg_roles r where r.rolname = current_user) as of_role,
    (select case when r.rolsuper then -1 else d.datconnlimit end
     from pg_catalog.pg_database d, pg_catalog.pg_roles r
     where d.datname = pg_catalog.current_database() and r.rolname = current_user) as of_database,
    (select count(*) from pg_catalog.pg_stat_activity a where a.backend_type = 'client backend') as in_use,
    pg_catalog.current_database() as database, current_user as me,
    (select s.setting::int / 1000.0 from pg_catalog.pg_settings s
     where s.name = 'idle_session_timeout')::float8 as idle,
    pg_catalog.pg_notification_queue_usage() as queue
"""

_ROLE: LiteralString = """
select r.rolname as name, r.rolsuper as superuser,
    array(select n.name
          from pg_catalog.unnest(array['reactor_owner', 'reactor', 'reactor_handler']) as n (name)
          where not exists (select from pg_catalog.pg_roles o where o.rolname = n.name)) as missing,
    coalesce((select pg_catalog.pg_has_role(o.oid, 'usage') from pg_catalog.pg_roles o
              where o.rolname = 'reactor'), false) as is_replica,
    coalesce((select pg_catalog.pg_has_role(o.oid, $1) from pg_catalog.pg_roles o
              where o.rolname = 'reactor_handler'), false) as becomes_handler,
    coalesce((select o.rolbypassrls or o.rolsuper from pg_catalog.pg_roles o
              where o.rolname = 'reactor_handler'), false) as handler_bypasses,
    coalesce((select pg_catalog.pg_has_role(h.oid, o.oid, 'member')
              from pg_catalog.pg_roles o, pg_catalog.pg_roles h
              where o.rolname = 'reactor_owner' and h.rolname = 'reactor_handler'), false) as handler_owns
from pg_catalog.pg_roles r
where r.rolname = current_user
"""

_HOT: LiteralString = """
select s.schemaname || '.' || s.relname as name, s.n_live_tup as live, s.n_dead_tup as dead,
    pg_catalog.pg_size_pretty(pg_catalog.pg_total_relation_size(s.relid)) as size
from pg_catalog.pg_stat_all_tables s
where s.relid = any (array[
    pg_catalog.to_regclass('reactor.events'), pg_catalog.to_regclass('reactor.in_flight'),
    pg_catalog.to_regclass('reactor.replicas'), pg_catalog.to_regclass('public.agent_tenant_locks')]::oid[])
  and s.n_dead_tup > 20000 and s.n_dead_tup > 5 * s.n_live_tup
"""

# Whatever keeps vacuum from removing dead rows: an old transaction, a forgotten slot, a prepared transaction.
_PINS: LiteralString = """
select 'a transaction of ' || coalesce(a.usename, '?') || ' (process ' || a.pid || ')' as what,
    extract(epoch from pg_catalog.clock_timestamp() - a.xact_start)::float8 as seconds,
    'end it: select pg_terminate_backend(' || a.pid || ')' as mend
from pg_catalog.pg_stat_activity a
where a.xact_start < pg_catalog.clock_timestamp() - pg_catalog.make_interval(secs => $1)
  and a.datname = pg_catalog.current_database() and a.backend_type = 'client backend'
union all
select 'the prepared transaction ' || p.gid,
    extract(epoch from pg_catalog.clock_timestamp() - p.prepared)::float8,
    'rollback prepared ' || pg_catalog.quote_literal(p.gid)
from pg_catalog.pg_prepared_xacts p
where p.prepared < pg_catalog.clock_timestamp() - pg_catalog.make_interval(secs => $1)
order by 2 desc
limit 3
"""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. ``mend`` says what to do when it is not ok."""

    check: str
    level: Level
    finding: str
    mend: str | None = None


async def server(connection: Connection, chosen: Settings) -> list[Finding]:
    """Version, mode, isolation, room for connections, notification queue."""
    version = connection.get_server_version()
    # The driver has three numbers for each, and writes 18.6 as 18.0.6.
    said = f"PostgreSQL {version.major}.{version.micro if version.major >= 10 else version.minor}"
    if version.major < _OLDEST:
        found = [Finding("version", "wrong", f"{said} is too old", f"upgrade to {_OLDEST} or newer")]
    elif version.major > _NEWEST:
        found = [Finding("version", "remark", f"{said} is newer than what was tested ({_NEWEST})")]
    else:
        found = [Finding("version", "ok", said)]
    row = await connection.fetchrow(_SERVER)
    assert row is not None
    if row["standby"] or row["read_only"] == "on":
        why = "is a standby" if row["standby"] else "is read only by default"
        found.append(
            Finding("writable", "wrong", f"it {why}", "point REACTOR_DATABASE_URL at the primary server")
        )
    else:
        found.append(Finding("writable", "ok", "it can be written"))
    if row["isolation"] == "read committed":
        found.append(Finding("transactions", "ok", "read committed"))
    else:
        reset = f"alter database \"{row['database']}\" set default_transaction_isolation = 'read committed'"
        found.append(
            Finding("transactions", "wrong", f"{row['isolation']} by default, but claims need another", reset)
        )
    if row["row_security"] == "off":
        reset = f'alter database "{row["database"]}" set row_security = on'
        found.append(Finding("row security", "wrong", "off by default: whatever meets a policy fails", reset))
    if 0 < row["idle"] < _IDLE:
        why = f"ended after {row['idle']:g} s: calls of a replica that was idle fail, and are tried again"
        mend = f'alter role "{row["me"]}" set idle_session_timeout = 0'
        found.append(Finding("idle sessions", "remark", why, mend))
    found.append(_room(row, (chosen.pool_size or chosen.concurrency) + OWN_CONNECTIONS + 1))
    found.append(_queue(float(row["queue"])))
    return found


def _room(row: asyncpg.Record, needed: int) -> Finding:
    """``needed``: those for handlers, the engine's own, and the one that listens."""
    limits = [
        (row["connections"], "the server has", "raise max_connections"),
        (row["of_role"], f"role {row['me']} may have", f'alter role "{row["me"]}" connection limit -1'),
        (
            row["of_database"],
            f"database {row['database']} takes",
            f'alter database "{row["database"]}" connection limit -1',
        ),
    ]
    limit, whose, mend = min(one for one in limits if one[0] >= 0)
    asked = f"a replica needs up to {needed}, {whose} {limit}"
    if needed > limit:
        return Finding("connections", "wrong", asked, f"{mend}, or lower REACTOR_CONCURRENCY")
    if row["in_use"] >= row["connections"] - 1:
        why = f"{row['in_use']} of the server's {row['connections']} are in use: there is no room for more"
        return Finding("connections", "wrong", why, "end idle ones, raise max_connections, or use a pooler")
    return Finding("connections", "ok", f"{asked}; {row['in_use']} of the server's are in use")


def _queue(used: float) -> Finding:
    level: Level = "wrong" if used >= _QUEUE_WRONG else "remark" if used >= _QUEUE_REMARK else "ok"
    mend = "a session that listens sits in an open transaction: find it in pg_stat_activity and end it"
    return Finding("notify queue", level, f"{used:.0%} full", None if level == "ok" else mend)


async def clocks(connection: Connection) -> Finding:
    """The server's clock decides; one of ours that differs confuses only whoever reads logs."""
    best, skew = 1e9, 0.0
    for _ in range(3):
        began, sent = time.monotonic(), datetime.now(UTC)
        theirs: datetime = await connection.fetchval("select pg_catalog.clock_timestamp()")
        took = time.monotonic() - began
        if took < best:
            best, skew = took, (theirs - sent).total_seconds() - took / 2
    side = "ahead of" if skew >= 0 else "behind"
    said = f"{abs(skew):.3f} s {side} this machine's, round trip {best * 1000:.1f} ms"
    if abs(skew) > _SKEW_REMARK:
        return Finding("clock", "remark", f"the server's clock is {said}", "run NTP on both machines")
    return Finding("clock", "ok", said)


async def role(connection: Connection) -> list[Finding]:
    """Who we are, what that role may do, and that handlers' role is as weak as it must be."""
    set_option = "set" if connection.get_server_version().major >= 16 else "member"
    row = await connection.fetchrow(_ROLE, set_option)
    assert row is not None
    name = f'"{row["name"]}"'
    if row["missing"]:
        return [
            Finding(
                "role", "wrong", f"roles are missing: {', '.join(row['missing'])}", "run `reactor migrate`"
            )
        ]
    found = []
    if row["superuser"]:
        found.append(
            Finding(
                "role",
                "remark",
                f"{row['name']} is a superuser: fit for a first try, more than a replica needs",
                "create role replica login password '…' in role reactor; then use it in REACTOR_DATABASE_URL",
            )
        )
    elif not row["is_replica"]:
        found.append(
            Finding("role", "wrong", f"{row['name']} is no member of reactor", f"grant reactor to {name}")
        )
    elif not row["becomes_handler"]:
        found.append(
            Finding(
                "role",
                "wrong",
                f"{row['name']} cannot become reactor_handler, as which handlers run",
                "grant reactor_handler to reactor",
            )
        )
    else:
        found.append(Finding("role", "ok", f"{row['name']} is a member of reactor"))
    if row["handler_bypasses"] or row["handler_owns"]:
        strong = "bypasses row level security" if row["handler_bypasses"] else "is a member of reactor_owner"
        mend = (
            "alter role reactor_handler nosuperuser nobypassrls"
            if row["handler_bypasses"]
            else "revoke reactor_owner from reactor_handler"
        )
        found.append(
            Finding("handlers' role", "wrong", f"reactor_handler {strong}: tenants are not kept apart", mend)
        )
    else:
        found.append(Finding("handlers' role", "ok", "reactor_handler is bound by row level security"))
    return found


async def pooler(chosen: Settings, connection: Connection) -> list[Finding]:
    """What stands between us and the server, and whether notifications come through."""
    pooled = await pool.is_pooled(connection)
    found = [
        Finding(
            "pooler",
            "ok" if not pooled or chosen.pooler != "none" else "wrong",
            "a pooler answers" if pooled else "direct",
            "leave REACTOR_POOLER unset, or set it to transaction"
            if pooled and chosen.pooler == "none"
            else None,
        )
    ]
    if chosen.notify == "off":
        found.append(Finding("notifications", "remark", "REACTOR_NOTIFY is off: replicas poll"))
        return found
    why = "a pooler swallows them"
    mend = "set REACTOR_LISTEN_URL to a direct URL of the server, or REACTOR_NOTIFY=off"
    try:
        async with pool.connected(chosen.listen_dsn, name="reactor doctor", pooler="transaction") as listener:
            if await whereabouts(listener) != await whereabouts(connection):
                why = "REACTOR_LISTEN_URL leads to another database"
                mend = "set it to a direct URL of the database of REACTOR_DATABASE_URL"
            heard = asyncio.Event()
            await listener.add_listener("reactor_doctor", lambda *_: heard.set())
            await connection.execute("select pg_catalog.pg_notify('reactor_doctor', '')")
            async with asyncio.timeout(3):
                await heard.wait()
    except TimeoutError:
        found.append(Finding("notifications", "wrong", f"none arrives: {why}", mend))
    except (ReactorError, OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        found.append(Finding("notifications", "wrong", f"cannot listen: {redact(error)}", mend))
    else:
        found.append(Finding("notifications", "ok", "they arrive"))
    return found


async def bloat(connection: Connection) -> list[Finding]:
    """Dead rows in the tables that change all the time, and what keeps vacuum from removing them."""
    found = [
        Finding(
            "bloat",
            "remark",
            f"{row['name']} has {row['dead']:,} dead rows beside {row['live']:,} ({row['size']})",
            f"vacuum {row['name']}; if they stay, something pins them: see below"
            + ("; the leader says why it does not rewrite it" if row["name"] == "reactor.events" else ""),
        )
        for row in await connection.fetch(_HOT)
    ] or [Finding("bloat", "ok", "the hot tables are lean")]
    found += [
        Finding(
            "vacuum", "remark", f"{row['what']} has been open for {row['seconds'] / 60:.0f} min", row["mend"]
        )
        for row in await connection.fetch(_PINS, float(_OLD_TRANSACTION))
    ]
    return found


async def fleet(connection: Connection) -> list[Finding]:
    """Whether anybody works, leads, may act; and what waits for a person."""
    status = await operations.status(connection)
    live = [one for one in status["replicas"] if one["alive"]]
    found = [
        Finding("replicas", "ok", f"{len(live)} alive")
        if live
        else Finding("replicas", "remark", "none lives", "start one: `reactor run --app MODULE:ATTRIBUTE`")
    ]
    if live and not status["leader"]["leads"]:
        found.append(
            Finding(
                "leader", "remark", "no replica leads just now", "look again; if it stays so, read the logs"
            )
        )
    silent = status["canary"]["silent_seconds"]
    if live and silent is not None and silent > _SILENT:
        found.append(
            Finding(
                "canary",
                "wrong",
                f"no canary event came through for {silent:.0f} s: events are not handled, or very late",
                "`reactor status` shows what waits, `reactor locks list` who holds it; read the logs",
            )
        )
    mend = "`job_failed` in the log of the leader says where; it is run again at its next moment"
    found += [Finding("jobs", "remark", said, mend) for said in overview.failing_jobs(status)]
    if not status["gate"]["open"]:
        reason = status["gate"]["reason"] or "it was never switched off"
        found.append(Finding("kill switch", "remark", f"on: {reason}", "`reactor kill-switch off`"))
    elif not status["tenants"]["enabled"]:
        found.append(Finding("tenants", "remark", "none is enabled", "`reactor tenants enable ID`"))
    if status["events"]["dead"]:
        dead = f"dead: {many(status['events']['dead'], 'event')}"
        found.append(Finding("dead events", "remark", dead, "`reactor dead list`, then replay or discard"))
    return found
