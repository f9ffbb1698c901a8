"""What `reactor doctor` says of replication: slots that lag, and an outbox that is streamed elsewhere."""

from typing import LiteralString

from reactor.cli.checks import Finding
from reactor.db.pool import Connection
from reactor.telemetry.words import many

#: Bytes of WAL that a slot may keep before it is worth a remark: a reader's restart takes less.
_KEPT = 1 << 30

# Those of other databases keep WAL on the same disk.
_SLOTS: LiteralString = """
select s.slot_name as name, s.active_pid as reader, s.wal_status as status,
    s.database = pg_catalog.current_database() as ours,
    pg_catalog.pg_wal_lsn_diff(here.lsn, s.restart_lsn)::bigint as kept,
    pg_catalog.pg_size_pretty(pg_catalog.pg_wal_lsn_diff(here.lsn, s.restart_lsn)) as size
from pg_catalog.pg_replication_slots s
cross join lateral (
    select case when pg_catalog.pg_is_in_recovery() then pg_catalog.pg_last_wal_replay_lsn()
           else pg_catalog.pg_current_wal_lsn() end as lsn) here
order by s.slot_name
"""

_PUBLISHED: LiteralString = """
select array(
        select p.pubname::text from pg_catalog.pg_publication_tables p
        where p.schemaname = 'reactor' and p.tablename = 'events' order by 1) as publications,
    pg_catalog.current_setting('wal_level') as level
"""


async def replication(connection: Connection) -> list[Finding]:
    """Slots that fill the server's disk or were given up, and what a published outbox means."""
    found = []
    slots = await connection.fetch(_SLOTS)
    for slot in slots:
        name = f"slot {slot['name']}"
        drop = f"select pg_drop_replication_slot('{slot['name']}')"
        if slot["status"] == "lost":
            found.append(
                Finding(
                    "replication",
                    "wrong" if slot["ours"] else "remark",
                    f"{name} is lost: the server removed what its reader had not read yet",
                    f"{drop}; then let its reader begin with a new snapshot",
                )
            )
        elif slot["status"] == "unreserved" or (slot["kept"] or 0) > _KEPT:
            reader = f"read by process {slot['reader']}" if slot["reader"] else "and nobody reads it"
            found.append(
                Finding(
                    "replication",
                    "remark",
                    f"{name} keeps {slot['size']} of WAL, {reader}",
                    f"see to its reader, or: {drop}. max_slot_wal_keep_size bounds what a slot may keep; "
                    "without it the disk fills, and nobody can write any more",
                )
            )
    if not found and slots:
        found.append(Finding("replication", "ok", f"{many(len(slots), 'slot')}, none far behind"))
    return found + await _published(connection)


async def _published(connection: Connection) -> list[Finding]:
    row = await connection.fetchrow(_PUBLISHED)
    assert row is not None
    if not row["publications"]:
        return []
    if row["level"] != "logical":
        return [
            Finding(
                "outbox",
                "remark",
                f"it is published ({', '.join(row['publications'])}), but wal_level is {row['level']}",
                "alter system set wal_level = logical, then restart the server; or drop the publication",
            )
        ]
    # Its live events would be streamed a second time.
    names = ", ".join(row["publications"])
    return [Finding("outbox", "ok", f"published ({names}), and so not rewritten where old snapshots slow it")]
