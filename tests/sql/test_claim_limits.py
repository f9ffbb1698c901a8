"""What a claim reads and brings is bounded by what it takes: whatever waits, whoever is closed."""

from datetime import timedelta
from uuid import UUID

import pytest

from reactor.db import calls
from reactor.db.pool import Connection

HOUR = timedelta(hours=1)


async def tenant(conn: Connection, *, enabled: bool = True) -> UUID:
    return await conn.fetchval(
        "insert into public.tenants (name, agent_enabled) values ('t', $1) returning id", enabled
    )


async def put(conn: Connection, tenant: UUID, kind: str, count: int, payload: str = "'{}'") -> None:
    await conn.execute(
        "insert into reactor.events (tenant_id, event_type, payload) "
        f"select $1, $2, {payload} from generate_series(1, $3) n",
        tenant,
        kind,
        count,
    )


async def claim(conn: Connection, *, tenants: int = 1, batch: int = 100) -> list[calls.Record]:
    claimed = await calls.claim(
        conn,
        replica="r",
        tenants=tenants,
        batch=batch,
        lease=HOUR,
        after=None,
        gated=["gated"],
        peers=None,
    )
    return claimed.rows


async def give_back(conn: Connection) -> None:
    await conn.execute("delete from public.agent_tenant_locks")


async def read(conn: Connection) -> int:
    """Rows of the outbox that were read so far, by its indexes or by reading all of it."""
    await conn.execute("select pg_stat_force_next_flush()")
    return await conn.fetchval(
        "select (t.seq_tup_read + ("
        "select sum(i.idx_tup_read) from pg_stat_all_indexes i where i.relid = t.relid))::bigint "
        "from pg_stat_all_tables t where t.relid = 'reactor.events'::regclass"
    )


async def open_all(conn: Connection) -> None:
    await conn.execute(
        "update system_config set value = '{\"global_enabled\": true}' where key = 'agent_config'"
    )


async def test_a_claim_planned_while_the_outbox_was_idle_reads_no_backlog_for_suspects(
    conn: Connection,
) -> None:
    await open_all(conn)
    one = await tenant(conn)
    await conn.execute(
        "insert into reactor.events (tenant_id, event_type, available_at) "
        "select $1, 'x', now() + interval '1 day' from generate_series(1, 3000)",
        one,
    )
    await put(conn, one, "x", 1)
    await conn.execute("analyze reactor.events")
    [row] = await claim(conn)
    run = row["run_id"]
    await put(conn, one, "x", 20_000)
    before = await read(conn)
    rows = await calls.settle(
        conn,
        calls.Settlement(tenants=[one], runs=[run], more=[True], done=[row["id"]], verdicts=[], counts=[]),
        batch=100,
        lease=HOUR,
        gated=[],
    )
    assert len(rows) == 100
    assert await read(conn) - before < 2_000
    await give_back(conn)
    before = await read(conn)
    assert len(await claim(conn)) == 100
    assert await read(conn) - before < 2_000


async def test_a_closed_tenant_makes_no_claim_read_the_backlog_of_an_open_one(conn: Connection) -> None:
    await open_all(conn)
    busy, closed = await tenant(conn), await tenant(conn, enabled=False)
    await put(conn, busy, "x", 20_000)
    await put(conn, closed, "x", 1)
    await conn.execute("analyze reactor.events")
    before = await read(conn)
    assert len(await claim(conn, tenants=10)) == 101
    assert await read(conn) - before < 2_000


async def test_the_backlog_that_a_closed_tenant_may_handle_is_not_read_for_what_it_may_not(
    conn: Connection,
) -> None:
    closed = await tenant(conn, enabled=False)
    await put(conn, closed, "gated", 10)
    await put(conn, closed, "x", 30_000)
    await put(conn, closed, "gated", 10)
    await conn.execute("analyze reactor.events")
    before = await read(conn)
    rows = await claim(conn)
    assert {row["event_type"] for row in rows} == {"x"}
    assert await read(conn) - before < 25_000
    parked = "select count(*) from reactor.events where available_at = 'infinity'"
    assert await conn.fetchval(parked) == 10, "those at the end come later, when they are among the first"


# Random text of a megabyte, which does not shrink much in the table.
DENSE = (
    "jsonb_build_object('n', n, 'text', (select string_agg(md5(random()::text || n || g), '') "
    "from generate_series(1, 32768) g))"
)
# Five megabytes, of which a ninetieth is stored.
LOOSE = "jsonb_build_object('n', n, 'text', repeat('x', 5000000))"


@pytest.mark.parametrize(("large", "most"), [(DENSE, 8_000_000), (LOOSE, 32_000_000)], ids=["dense", "loose"])
async def test_the_payloads_of_a_claim_are_bounded_and_each_tenant_gets_one_at_least(
    conn: Connection, large: str, most: int
) -> None:
    """A claim that cannot arrive in time would be made again and again."""
    few = await tenant(conn)
    await put(conn, few, "x", 3)
    many = await tenant(conn)
    await put(conn, many, "x", 12, large)
    rows = await claim(conn, tenants=8)
    assert sum(len(row["payload"]) for row in rows) < most
    assert [row["tenant_id"] for row in rows].count(few) == 3
    mine = [row for row in rows if row["tenant_id"] == many]
    assert 1 <= len(mine) < 12
    seen = [row["id"] for row in mine]
    run = mine[0]["run_id"]
    while mine:
        mine = await calls.settle(
            conn,
            calls.Settlement(
                tenants=[many],
                runs=[run],
                more=[True],
                done=[row["id"] for row in mine],
                verdicts=[],
                counts=[],
            ),
            batch=100,
            lease=HOUR,
            gated=[],
        )
        assert sum(len(row["payload"]) for row in mine) < most
        seen += [row["id"] for row in mine]
    assert len(seen) == 12
    assert seen == sorted(seen)


async def test_what_shrinks_in_the_table_is_not_light_where_a_tenant_is_alone(conn: Connection) -> None:
    one = await tenant(conn)
    await put(conn, one, "x", 12, LOOSE)
    rows = await claim(conn)
    assert 1 < len(rows) < 12
    noted = await conn.fetchval("select ids from reactor.in_flight where tenant_id = $1", one)
    assert sorted(noted) == [row["id"] for row in rows]


@pytest.mark.parametrize("value", ['{"global_enabled": "banana"}', '{"global_enabled": 2}', "[1]", '"x"'])
async def test_a_switch_that_says_neither_on_nor_off_is_off_and_stops_nothing_else(
    conn: Connection, value: str
) -> None:
    await conn.execute("update system_config set value = $1::text::jsonb where key = 'agent_config'", value)
    one = await tenant(conn)
    await put(conn, one, "gated", 2)
    await put(conn, one, "x", 1)
    assert [row["event_type"] for row in await claim(conn)] == ["x"]
    assert not await conn.fetchval("select reactor.is_open($1)", one)
    status = await conn.fetchval("select reactor.status() -> 'gate' ->> 'open'")
    assert status == "false"
    await conn.execute("select reactor.set_kill_switch(false)")
    assert await conn.fetchval("select reactor.is_open($1)", one)


async def test_a_tenant_that_may_be_active_or_not_is_closed(conn: Connection) -> None:
    """An adopted table may allow null there."""
    await open_all(conn)
    await conn.execute("alter table public.tenants alter column is_active drop not null")
    one = await tenant(conn)
    await conn.execute("update public.tenants set is_active = null where id = $1", one)
    await put(conn, one, "gated", 2)
    assert await claim(conn) == []
    assert not await conn.fetchval("select reactor.is_open($1)", one)
