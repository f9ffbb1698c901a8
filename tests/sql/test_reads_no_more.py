"""Functions and commands of the leader and of people read what they answer about, and not whole tables.

By the server's own counters, as what a function does inside is not shown by EXPLAIN.
"""

from datetime import timedelta
from uuid import UUID

import pytest

from reactor.db import calls, operations
from reactor.db.pool import Connection

WEEK = timedelta(days=7)
PARK = """
insert into reactor.events (tenant_id, event_type, available_at)
select t.id, 'work', 'infinity' from public.tenants t, generate_series(1, $1::int)
"""


async def read(conn: Connection, table: str) -> int:
    """Rows of a table, and entries of its indexes, that were read so far."""
    await conn.execute("select pg_stat_force_next_flush()")
    return await conn.fetchval(
        "select seq_tup_read + (select coalesce(sum(i.idx_tup_read), 0)::bigint from pg_stat_all_indexes i "
        "where i.relid = t.relid) from pg_stat_all_tables t where relid = $1::text::regclass",
        table,
    )


async def found(conn: Connection, number: int, *, enabled: bool = True) -> list[UUID]:
    rows = await conn.fetch(
        "insert into public.tenants (name, agent_enabled) "
        "select 'tenant ' || n, $2 from generate_series(1, $1::int) n returning id",
        number,
        enabled,
    )
    return [row["id"] for row in rows]


async def switch(conn: Connection, word: object) -> None:
    await conn.execute(
        "update public.system_config set value = value || jsonb_build_object('global_enabled', $1::jsonb) "
        "where key = 'agent_config'",
        word,
    )


async def parked(conn: Connection) -> int:
    return await conn.fetchval("select count(*) from reactor.events where available_at = 'infinity'")


async def test_unparking_looks_at_the_gate_once_for_all_tenants(conn: Connection) -> None:
    await found(conn, 300, enabled=False)
    (open_one,) = await found(conn, 1)
    await switch(conn, True)
    await conn.execute(PARK, 2)
    await conn.execute("vacuum analyze reactor.events, public.tenants")
    before = await read(conn, "public.system_config")
    assert await calls.unpark(conn, 100) == 2
    assert await read(conn, "public.system_config") - before < 20
    ready = await conn.fetch("select distinct tenant_id from reactor.events where available_at is null")
    assert [row["tenant_id"] for row in ready] == [open_one]


@pytest.mark.parametrize("word", [False, None, "false", "no such word", 1, []])
async def test_nothing_is_unparked_while_the_system_is_not_on(conn: Connection, word: object) -> None:
    await found(conn, 2)
    await switch(conn, True)
    await conn.execute(PARK, 1)
    await switch(conn, word)
    assert await calls.unpark(conn, 100) == 0
    await conn.execute("delete from public.system_config")
    assert await calls.unpark(conn, 100) == 0
    assert await parked(conn) == 2


@pytest.mark.parametrize("column", ["is_active", "agent_enabled"])
@pytest.mark.parametrize("word", ["false", "null"])
async def test_a_tenant_that_is_not_known_to_be_open_stays_parked(
    conn: Connection, column: str, word: str
) -> None:
    shut, _ = await found(conn, 2)
    await switch(conn, True)
    await conn.execute(PARK, 1)
    await conn.execute(f"alter table public.tenants alter {column} drop not null")
    await conn.execute(f"update public.tenants set {column} = {word} where id = $1", shut)
    assert await calls.unpark(conn, 100) == 1
    assert await conn.fetchval("select tenant_id from reactor.events where available_at = 'infinity'") == shut


async def test_listing_tenants_reads_the_outbox_once_and_not_once_for_each(conn: Connection) -> None:
    await found(conn, 50)
    await conn.execute(PARK, 100)
    (idle,) = await conn.fetch("insert into public.tenants (name) values ('the idle one') returning id")
    await conn.execute("vacuum analyze reactor.events, public.tenants")
    before = await read(conn, "reactor.events")
    rows = await operations.list_tenants(conn, 100)
    assert {row["waiting"] for row in rows if row["id"] != idle["id"]} == {100}
    assert [row["waiting"] for row in rows if row["id"] == idle["id"]] == [0]
    assert len(rows) == 51
    assert await read(conn, "reactor.events") - before <= 5_000


async def test_pruning_reads_what_is_old_and_not_what_stays(conn: Connection) -> None:
    (tenant,) = await found(conn, 1)
    await conn.execute(
        "insert into reactor.email_intents "
        "(tenant_id, status, sender, recipient, subject, body_text, settled_at) "
        "select $1, 'sent', 'a@b.test', 'c@d.test', 's', 'b', "
        "now() - interval '30 days' * (n % 100 = 0)::int "
        "from generate_series(1, 5000) n",
        tenant,
    )
    await conn.execute(
        "insert into reactor.alert_deliveries (tenant_id, alert_id, alert_type, status, created_at) "
        "select $1, gen_random_uuid(), 't', 'delivered', now() - interval '30 days' * (n % 100 = 0)::int "
        "from generate_series(1, 5000) n",
        tenant,
    )
    await conn.execute("vacuum analyze reactor.email_intents, reactor.alert_deliveries")
    before = [await read(conn, table) for table in ("reactor.email_intents", "reactor.alert_deliveries")]
    assert await conn.fetchval("select reactor.prune_outbound($1, 5000)", WEEK) == 50
    after = [await read(conn, table) for table in ("reactor.email_intents", "reactor.alert_deliveries")]
    assert max(now - then for now, then in zip(after, before, strict=True)) < 500
    assert await conn.fetchval("select count(*) from reactor.email_intents") == 4950


async def test_a_tenants_backlog_reads_the_clocks_that_are_overdue(conn: Connection) -> None:
    (tenant,) = await found(conn, 1)
    await conn.execute("set session_replication_role = replica")
    await conn.execute(
        "insert into public.engagement_clocks (tenant_id, client_id, next_touch_due) "
        "select $1, gen_random_uuid(), now() + case when n % 100 = 0 then -1 else 1 end * interval '1 day' "
        "from generate_series(1, 5000) n",
        tenant,
    )
    await conn.execute("reset session_replication_role")
    await conn.execute("analyze public.engagement_clocks")
    before = await read(conn, "public.engagement_clocks")
    row = await conn.fetchrow("select * from reactor.tenant_backlog(array[$1::uuid])", tenant)
    assert row is not None
    assert row["clocks_overdue"] == 50
    assert await read(conn, "public.engagement_clocks") - before < 500
