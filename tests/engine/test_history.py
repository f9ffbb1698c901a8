"""Finished events go to a history by days, whatever else happens at that moment."""

import asyncio

import asyncpg

from tests.engine.conftest import World
from tests.patience import patience

FINISHED = """
    insert into reactor.history (
        id, event_id, tenant_id, event_type, payload, priority, attempts, interruptions, created_at, outcome)
    values ($1, gen_random_uuid(), gen_random_uuid(), 'x', '{}', 0, 0, 0, now(), 'handled')
"""


HOMES = "select distinct tableoid::regclass::text as home from reactor.history"
DAYS = """
    select inhrelid::regclass::text as day from pg_inherits
    where inhparent = 'reactor.history'::regclass and inhrelid <> 'reactor.history_default'::regclass
    order by 1
"""


async def forget_days(world: World) -> None:
    """As after days without a leader."""
    for row in await world.conn.fetch(DAYS):
        await world.conn.execute(f"drop table {row['day']}")


async def test_what_is_finished_first_has_a_days_partition(world: World) -> None:
    """The leader's first turn is an hour later, and would have to move all of it."""
    await world.conn.execute(FINISHED, 1)
    assert [row["home"] for row in await world.conn.fetch(HOMES)] != ["reactor.history_default"]
    assert len(await world.conn.fetch(DAYS)) == 4


async def test_a_day_with_much_in_no_partition_keeps_it_and_no_settlement_waits_for_that(
    world: World,
) -> None:
    await forget_days(world)
    one_each = FINISHED.replace("values ($1,", "select n,").rstrip(" )\n")
    await world.conn.execute(f"{one_each} from generate_series(1, 10001) n")
    term = await world.conn.fetchval("select reactor.lead('r', '1 minute')")
    assert await world.conn.fetchval("select made from reactor.keep_history($1)", term) == 3
    assert [row["home"] for row in await world.conn.fetch(HOMES)] == ["reactor.history_default"]
    await world.conn.execute("update reactor.history set finished_at = finished_at - interval '8 days'")
    await world.conn.execute(FINISHED, 0)
    forget = "select reactor.forget_history($1, '7 days', 6000)"
    assert [await world.conn.fetchval(forget, term) for _ in range(3)] == [6000, 4001, 0]
    assert await world.count("reactor.history") == 1
    assert await world.conn.fetchval("select made from reactor.keep_history($1)", term) == 1
    assert [row["home"] for row in await world.conn.fetch(HOMES)] != ["reactor.history_default"]


async def test_an_event_that_is_finished_while_todays_partition_is_made_is_not_refused(world: World) -> None:
    await forget_days(world)
    async with patience(20):
        first, second, leader = [await asyncpg.connect(world.url) for _ in range(3)]
        term = await leader.fetchval("select reactor.lead('r', '1 minute')")
        transaction = first.transaction()
        await transaction.start()
        await first.execute(FINISHED, 1)
        making = asyncio.create_task(leader.execute("select reactor.keep_history($1)", term))
        waiting = "select count(*) from pg_locks where not granted"
        await world.until(f"select ({waiting}) = 1")
        finishing = asyncio.create_task(second.execute(FINISHED, 2))
        await world.until(f"select ({waiting}) = 2")
        await transaction.commit()
        await making
        await finishing
        for connection in (first, second, leader):
            await connection.close()
    homes = await world.conn.fetch(HOMES)
    assert len(homes) == 1
    assert homes[0]["home"] != "reactor.history_default"
