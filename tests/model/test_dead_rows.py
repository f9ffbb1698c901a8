"""Somebody's old snapshot keeps vacuum from removing finished events. What a claim still reads of them.

Each dead row costs an index entry and a look at the row, for every claim that passes it. There is no way
around those of a tenant that is claimed; there is one around the others, while there is work for all slots
before them. When there are too many the outbox is rewritten without them, though the snapshot is still there:
that is the bound.
"""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from reactor.db import calls, pool

TENANTS = 100
DEAD_EACH = 600
TAKEN = 10


@pytest.fixture
async def pinned(conn: pool.Connection, database_url: str) -> AsyncIterator[pool.Connection]:
    """As after two minutes at 500 events a second: every tenant has dead rows, and vacuum may remove none."""
    await conn.execute(
        "insert into public.tenants (id, name) "
        f"select gen_random_uuid(), n::text from generate_series(1, {TENANTS}) as n"
    )
    async with pool.connected(database_url, name="reader") as reader:
        await reader.execute("begin isolation level repeatable read read only")
        # Of another table: whoever has read the outbox itself holds it, and nothing can be done.
        await reader.fetchval("select count(*) from public.tenants")
        await conn.execute(
            "insert into reactor.events (tenant_id, event_type) select t.id, 'test.event' "
            f"from generate_series(1, {DEAD_EACH}) as g, public.tenants t"
        )
        await conn.execute("delete from reactor.events")
        await conn.execute("vacuum analyze reactor.events")
        await conn.execute("select pg_stat_force_next_flush()")
        yield conn


async def entries_read(conn: pool.Connection, table: str = "reactor.events") -> int:
    """Of all indexes of the table, dead ones included."""
    await conn.execute("select pg_stat_force_next_flush()")
    read: int = await conn.fetchval(
        "select sum(idx_tup_read)::bigint from pg_stat_all_indexes where relid = $1::text::regclass", table
    )
    return read


async def claimed(conn: pool.Connection, table: str = "reactor.events") -> tuple[int, int]:
    """Events that one claim took, and index entries of the table that it read for them."""
    before = await entries_read(conn, table)
    claim = await calls.claim(
        conn,
        replica="test",
        tenants=TAKEN,
        batch=50,
        lease=timedelta(seconds=30),
        after=None,
        gated=[],
        peers=None,
    )
    rows = claim.rows
    return len(rows), await entries_read(conn, table) - before


async def test_under_load_a_claim_reads_the_dead_rows_of_the_tenants_that_it_takes(
    pinned: pool.Connection,
) -> None:
    await pinned.execute("select reactor.emit(id, 'test.event') from public.tenants")
    taken, read = await claimed(pinned)
    assert taken == TAKEN
    # At most four looks at each: on the way to it, whether it has work, which, and on the way to the next.
    assert DEAD_EACH < read < 4 * TAKEN * DEAD_EACH


async def test_a_claim_that_goes_all_the_way_round_reads_every_dead_row_and_none_three_times(
    pinned: pool.Connection,
) -> None:
    await pinned.execute("select reactor.emit(id, 'test.event') from public.tenants limit 1")
    taken, read = await claimed(pinned)
    assert taken == 1
    assert TENANTS * DEAD_EACH < read < 2.1 * TENANTS * DEAD_EACH


async def test_after_a_rotation_a_claim_reads_next_to_nothing_though_the_snapshot_is_still_there(
    pinned: pool.Connection,
) -> None:
    await pinned.execute("select reactor.emit(id, 'test.event') from public.tenants limit 1")
    term = await calls.lead(pinned, "test", timedelta(minutes=1))
    assert term is not None
    everything = TENANTS * DEAD_EACH
    assert await calls.rotate(pinned, term, dead=everything, live=1000) == ("rotated", 1, everything)
    taken, read = await claimed(pinned)
    assert taken == 1
    assert read < 100
    assert await pinned.fetchval(
        "select backend_xmin is not null from pg_stat_activity where application_name = 'reader'"
    )
    # And there is nothing left to do.
    assert await calls.rotate(pinned, term, dead=everything, live=1000) == ("nothing", 1, 0)


async def test_dead_leases_go_with_the_dead_events(pinned: pool.Connection) -> None:
    """A run leaves one of each."""
    await pinned.execute(
        "insert into public.agent_tenant_locks (tenant_id, expires_at) "
        "select id, now() + interval '1 hour' from public.tenants"
    )
    for _ in range(DEAD_EACH):
        await pinned.execute("update public.agent_tenant_locks set expires_at = expires_at + interval '1 s'")
    await pinned.execute("delete from public.agent_tenant_locks")
    await pinned.execute("vacuum analyze public.agent_tenant_locks")
    await pinned.execute("select reactor.emit(id, 'test.event') from public.tenants")
    term = await calls.lead(pinned, "test", timedelta(minutes=1))
    assert term is not None

    taken, read = await claimed(pinned, "public.agent_tenant_locks")
    assert taken == TAKEN
    assert read > TAKEN * DEAD_EACH
    outcome, _, _ = await calls.rotate(pinned, term, dead=TENANTS * DEAD_EACH, live=1000)
    assert outcome == "rotated"
    assert await pinned.fetchval("select count(*) from public.agent_tenant_locks") == TAKEN
    taken, read = await claimed(pinned, "public.agent_tenant_locks")
    assert taken == TAKEN
    assert read < 10 * TAKEN


async def test_a_rotation_waits_for_nobody_who_has_read_the_outbox_and_stays(
    pinned: pool.Connection, database_url: str
) -> None:
    term = await calls.lead(pinned, "test", timedelta(minutes=1))
    assert term is not None
    async with pool.connected(database_url, name="dump") as holder:
        await holder.execute("begin isolation level repeatable read read only")
        await holder.fetchval("select count(*) from reactor.events")
        everything = TENANTS * DEAD_EACH
        assert await calls.rotate(pinned, term, dead=everything, live=1000) == ("held", 0, everything)
    await pinned.execute("select reactor.emit(id, 'test.event') from public.tenants")
    assert (await claimed(pinned))[0] == TAKEN


async def test_when_the_snapshot_is_gone_the_next_claim_reads_next_to_nothing(
    pinned: pool.Connection,
) -> None:
    await pinned.execute(
        "select pg_terminate_backend(pid, 10000) from pg_stat_activity where application_name = 'reader'"
    )
    await pinned.execute("vacuum reactor.events")
    await pinned.execute("select reactor.emit(id, 'test.event') from public.tenants limit 1")
    taken, read = await claimed(pinned)
    assert taken == 1
    assert read < 100
