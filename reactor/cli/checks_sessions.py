"""What `reactor doctor` looks at in other sessions: who keeps locks that the reactor needs."""

import asyncio
from typing import LiteralString

from reactor.cli.checks import Finding
from reactor.db.pool import Connection
from reactor.telemetry.words import many

#: Seconds between two looks: whoever is there in both, in the same transaction, is not just passing by.
_PAUSE = 2.0

# A claim passes over a lease whose row is locked, so that its tenant waits without anybody being seen to.
# What pg_stat_activity hides from a role without pg_read_all_stats is not asked for. A vacuum hinders nobody.
_HOLDERS: LiteralString = """
with waiting as materialized (
    select w.pid, pg_catalog.pg_blocking_pids(w.pid) as by
    from (select distinct l.pid from pg_catalog.pg_locks l where not l.granted and l.pid is not null) w
    join pg_catalog.pg_stat_activity a on a.pid = w.pid and a.datname = pg_catalog.current_database()
)
select l.pid, l.virtualtransaction as transaction, a.usename::text as role, a.application_name as name,
    pg_catalog.string_agg(distinct l.relation::pg_catalog.regclass::text, ', ') as tables,
    (select count(*) from waiting w where coalesce(l.pid, 0) = any (w.by)) as waiting
from pg_catalog.pg_locks l
join pg_catalog.pg_class c on c.oid = l.relation and c.relkind in ('r', 'p')
left join pg_catalog.pg_stat_activity a on a.pid = l.pid
where l.granted and l.locktype = 'relation' and l.pid is distinct from pg_catalog.pg_backend_pid()
    and l.database = (
        select d.oid from pg_catalog.pg_database d where d.datname = pg_catalog.current_database())
    and l.mode not in ('AccessShareLock', 'ShareUpdateExclusiveLock')
    and (l.relation = pg_catalog.to_regclass('public.agent_tenant_locks')
            and coalesce(l.pid, 0) not in (select w.pid from waiting w)
        or c.relnamespace = pg_catalog.to_regnamespace('reactor')
            and l.mode in ('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
        or coalesce(l.pid, 0) in (select pg_catalog.unnest(w.by) from waiting w))
group by l.pid, l.virtualtransaction, a.usename, a.application_name
order by waiting desc, l.pid
"""


async def sessions(connection: Connection) -> list[Finding]:
    """Transactions that go on while others wait for what they hold, or that keep a lease from being taken."""
    before = {row["transaction"] for row in await connection.fetch(_HOLDERS)}
    if before:
        await asyncio.sleep(_PAUSE)
    kept = [row for row in await connection.fetch(_HOLDERS) if row["transaction"] in before] if before else []
    if not kept:
        return [Finding("sessions", "ok", "no transaction keeps what the reactor needs")]
    found = []
    for row in kept:
        if row["pid"] is None:
            who, mend = "a prepared transaction", "`rollback prepared` it: pg_prepared_xacts lists them"
        else:
            who = f"session {row['pid']} ({row['name'] or 'unnamed'}, role {row['role'] or 'unknown'})"
            mend = f"end its transaction, or: select pg_terminate_backend({row['pid']})"
        count = row["waiting"]
        waits = f"; {many(count, 'session')} {'waits' if count == 1 else 'wait'} for it" if count else ""
        finding = f"{who} keeps locks on {row['tables']} for seconds{waits}"
        found.append(Finding("sessions", "wrong" if count else "remark", finding, mend))
    return found
