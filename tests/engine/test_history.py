"""Finished events go to a history by days, whatever else happens at that moment."""

import asyncio

import asyncpg

from tests.engine.conftest import World

FINISHED = """
    insert into reactor.history (
        id, event_id, tenant_id, event_type, payload, priority, attempts, interruptions, created_at, outcome)
    values ($1, gen_random_uuid(), gen_random_uuid(), 'x', '{}', 0, 0, 0, now(), 'handled')
"""


async def test_an_event_that_is_finished_while_todays_partition_is_made_is_not_refused(world: World) -> None:
    async with asyncio.timeout(20):
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
    homes = await world.conn.fetch("select distinct tableoid::regclass::text as home from reactor.history")
    assert len(homes) == 1
    assert homes[0]["home"] != "reactor.history_default"
