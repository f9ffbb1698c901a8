"""Logical replication copies rows and no sequences: in the new database ids begin at 1 again."""

from reactor.db.pool import Connection


async def test_a_replica_that_starts_there_has_new_events_follow_the_old_ones(conn: Connection) -> None:
    tenant = await conn.fetchval("insert into tenants (name) values ('a') returning id")
    await conn.execute(
        "insert into reactor.dead_events (id, event_id, tenant_id, event_type, payload, priority, attempts,"
        " interruptions, created_at, reason)"
        " values (1000, gen_random_uuid(), $1, 'x', '{}', 0, 0, 0, now(), 'x')",
        tenant,
    )
    await conn.execute("select reactor.enlist('replica', '30 seconds', '', '{}')")
    assert await conn.fetchval("select reactor.emit($1, 'x')", tenant) == 1001
    await conn.execute("select reactor.enlist('replica', '30 seconds', '', '{}')")
    assert await conn.fetchval("select reactor.emit($1, 'x')", tenant) == 1002


async def test_an_event_dies_although_an_older_dead_one_has_its_id(conn: Connection) -> None:
    tenant = await conn.fetchval("insert into tenants (name) values ('a') returning id")

    async def dies() -> None:
        event = await conn.fetchval("select reactor.emit($1, 'x')", tenant)
        (row,) = await conn.fetch("select * from reactor.claim('r', 1, 1, '1 hour', null, '{}')")
        assert row["id"] == event
        await conn.execute(
            "select * from reactor.settle(array[$1::uuid], array[$2::uuid], array[false], '{}', $3, null, 1,"
            " '1 hour', '{}')",
            tenant,
            row["run_id"],
            [{"id": event, "verdict": "dead", "reason": "no reason"}],
        )

    await dies()
    await conn.execute("truncate reactor.events restart identity")
    await dies()
    # An event of a tenant that is gone, too.
    await conn.execute("truncate reactor.events restart identity; delete from tenants")
    await conn.execute("insert into reactor.events (tenant_id, event_type) values ($1, 'y')", tenant)
    await conn.execute("select reactor.claim('r', 1, 1, '1 hour', null, '{}')")
    dead = await conn.fetch("select id, event_type from reactor.dead_events order by died_at")
    assert [row["event_type"] for row in dead] == ["x", "x", "y"]
    assert len({row["id"] for row in dead}) == 3
