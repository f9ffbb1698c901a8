"""The hot functions at a million rows: they touch what they take, and not the table.

What a function does inside is not shown by EXPLAIN; how many rows it visits is, by the server's own counters.
"""

from collections.abc import AsyncIterator, Iterator
from datetime import timedelta

import pytest

from reactor.db import calls, operations, pool
from reactor.db.operations import Chosen
from tests.conftest import Server

TENANTS = 2_000
EVENTS = 1_000_000


@pytest.fixture(scope="module")
def million(server: Server, template: str) -> Iterator[str]:
    """A database with a million events: ready, delayed and parked, and as many finished ones nearby."""
    name = server.create(template)
    yield server.url(name)
    server.drop(name)


@pytest.fixture
async def full(million: str) -> AsyncIterator[pool.Connection]:
    async with pool.connected(million, name="plans") as connection:
        if not await connection.fetchval("select exists (select from reactor.events)"):
            await connection.execute("set synchronous_commit = off")
            await connection.execute(
                "insert into public.tenants (id, name) "
                f"select gen_random_uuid(), 'tenant ' || n from generate_series(1, {TENANTS}) as n"
            )
            await connection.execute(
                "with numbered as (select id, row_number() over () - 1 as n from public.tenants) "
                "insert into reactor.events (tenant_id, event_type, available_at) "
                "select t.id, 'test.event', case g % 10 when 0 then clock_timestamp() + interval '1 day' "
                "when 1 then 'infinity' end "
                f"from generate_series(1, {EVENTS}) as g join numbered t on t.n = g % {TENANTS}"
            )
            await connection.execute("vacuum analyze reactor.events")
            await connection.execute("analyze public.tenants")
        yield connection


async def visited(connection: pool.Connection) -> dict[str, int]:
    """Rows read so far: by whole scans of the events, and by their indexes."""
    await connection.execute("select pg_stat_force_next_flush()")
    row = await connection.fetchrow(
        "select seq_tup_read::bigint as scanned, idx_tup_fetch::bigint as fetched "
        "from pg_stat_all_tables where relid = 'reactor.events'::regclass"
    )
    assert row is not None
    return dict(row)


async def spent(connection: pool.Connection, before: dict[str, int]) -> dict[str, int]:
    after = await visited(connection)
    return {name: after[name] - before[name] for name in after}


@pytest.mark.slow
@pytest.mark.timeout(170)
async def test_claims_settlements_sweeps_and_deadlines_read_what_they_take_and_no_more(
    full: pool.Connection,
) -> None:
    before = await visited(full)
    claim = await calls.claim(
        full,
        replica="plans",
        tenants=10,
        batch=50,
        lease=timedelta(seconds=300),
        after=None,
        gated=[],
        peers=None,
    )
    rows = claim.rows
    assert len(rows) == 500
    cost = await spent(full, before)
    assert cost["scanned"] == 0
    # Each tenant is looked at a few times, each of its events once; never the thousands that wait.
    assert cost["fetched"] < 2_000

    runs = {row["run_id"]: row["tenant_id"] for row in rows}
    before = await visited(full)
    following = await calls.settle(
        full,
        calls.Settlement(
            tenants=list(runs.values()),
            runs=list(runs),
            more=[True] * len(runs),
            done=[row["id"] for row in rows],
            verdicts=[],
            counts=[],
        ),
        batch=50,
        lease=timedelta(seconds=300),
        gated=[],
    )
    assert len(following) == 500
    cost = await spent(full, before)
    assert cost["scanned"] == 0
    assert cost["fetched"] < 3_000

    term = await calls.lead(full, "plans", timedelta(seconds=300))
    assert term is not None
    before = await visited(full)
    swept = await calls.sweep(full, term, 1000)
    assert swept.events == 0
    delay = await calls.next_deadline(full, timedelta(hours=1), [])
    assert delay <= timedelta(hours=1)
    cost = await spent(full, before)
    assert cost["scanned"] == 0
    assert cost["fetched"] < 50


@pytest.mark.slow
@pytest.mark.timeout(170)
async def test_a_measurement_of_the_backlog_reads_so_much_and_no_more(full: pool.Connection) -> None:
    await full.execute("select pg_stat_force_next_flush()")
    before = await visited(full)
    found = await operations.backlog(full)
    cost = await spent(full, before)
    # 20,000 small rows are what two hundred pages hold; a million are there.
    assert cost["fetched"] < 20_000
    assert cost["scanned"] < 40_000
    total = await full.fetchval("select count(*) from reactor.events")
    assert found["ready"] + found["in_flight"] == pytest.approx(0.8 * total, rel=0.15)
    assert found["delayed"] == pytest.approx(0.1 * total, rel=0.5)
    assert found["parked"] == pytest.approx(0.1 * total, rel=0.5)
    assert found["tenants_waiting"] > 900


@pytest.mark.slow
@pytest.mark.timeout(170)
async def test_a_page_of_the_outbox_reads_little_and_the_worst_one_not_all(full: pool.Connection) -> None:
    tenant = await full.fetchval("select tenant_id from reactor.events order by id desc limit 1")
    last = await full.fetchval("select max(id) from reactor.events")
    cheap = [
        {},
        {"after": last - 100},
        {"state": "ready"},
        {"state": "in_flight"},
        {"state": "parked"},
        {"state": "delayed"},
        {"tenant_id": tenant},
        {"tenant_id": tenant, "state": "ready", "event_type": "test.event"},
        {"tenant_id": tenant, "state": "parked"},
        {"event_type": "test.event", "after": last // 2},
    ]
    for asked in cheap:
        before = await visited(full)
        found = await operations.list_events(full, 50, **asked)
        assert found["complete"]
        cost = await spent(full, before)
        assert cost["scanned"] == 0, asked
        assert cost["fetched"] < 40_000, (asked, cost)
    before = await visited(full)
    found = await operations.list_events(full, 50, event_type="nobody.emits.this")
    assert (found["events"], found["complete"], found["next"] is None) == ([], False, False)
    cost = await spent(full, before)
    assert cost["scanned"] == 0
    assert cost["fetched"] < 600_000


@pytest.mark.slow
async def test_a_page_of_a_hundred_thousand_dead_events_is_read_from_an_index(conn: pool.Connection) -> None:
    await conn.execute(
        "insert into public.tenants (name) values ('one'); "
        "insert into reactor.dead_events (id, event_id, tenant_id, event_type, payload, priority, attempts, "
        "interruptions, created_at, died_at, reason) "
        "select n, gen_random_uuid(), t.id, 'test.' || n % 40, '{}', 0, 1, 0, now(), "
        "now() - n * interval '1 s', 'no money' from generate_series(1, 100000) n, public.tenants t; "
        "analyze reactor.dead_events"
    )
    read = (
        "select seq_tup_read + idx_tup_fetch from pg_stat_all_tables "
        "where relid = 'reactor.dead_events'::regclass"
    )
    for chosen in (Chosen(), Chosen(event_type="test.7")):
        behind = None
        for _ in range(3):
            await conn.execute("select pg_stat_force_next_flush()")
            before = await conn.fetchval(read)
            rows = await operations.list_dead(conn, chosen, 50, behind)
            await conn.execute("select pg_stat_force_next_flush()")
            assert await conn.fetchval(read) - before < 5_000
            assert len(rows) == 50
            behind = (rows[-1]["died_at"].isoformat(), rows[-1]["id"])


@pytest.mark.slow
async def test_a_sweep_reads_the_clocks_that_are_due_and_not_those_that_are_not(
    conn: pool.Connection,
) -> None:
    await conn.execute(
        "alter table public.engagement_clocks disable trigger user; "
        "with t as (insert into public.tenants (id, name) values (gen_random_uuid(), 'one') returning id), "
        "c as (insert into public.clients (id, tenant_id, company_name) "
        "select gen_random_uuid(), t.id, 'client ' || n from t, generate_series(1, 50000) as n "
        "returning id, tenant_id) "
        "insert into public.engagement_clocks (tenant_id, client_id, next_touch_due) "
        "select c.tenant_id, c.id, now() + interval '5 days' from c; "
        "update public.engagement_clocks set next_touch_due = now() - interval '1 minute', "
        "evaluated_at = now() - interval '1 hour' "
        "where client_id in (select id from public.clients order by id limit 7)"
    )
    await conn.execute("vacuum analyze public.engagement_clocks")
    term = await calls.lead(conn, "plans", timedelta(seconds=300))
    assert term is not None
    read = (
        "select seq_tup_read + idx_tup_fetch from pg_stat_all_tables "
        "where relid = 'public.engagement_clocks'::regclass"
    )
    await conn.execute("select pg_stat_force_next_flush()")
    before = await conn.fetchval(read)
    assert (await calls.sweep(conn, term, 1000)).clocks == 7
    await conn.execute("select pg_stat_force_next_flush()")
    assert await conn.fetchval(read) - before < 200
