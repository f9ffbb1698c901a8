"""check_and_increment_rate_limit(): exact, whoever calls at once."""

import asyncio

import asyncpg
import pytest

from reactor.db import pool
from reactor.testing import DatabaseClock
from tests.sql import people

_CALL = "select check_and_increment_rate_limit($1, $2, $3)"


async def test_of_sixty_concurrent_callers_with_a_limit_of_seven_exactly_seven_pass(
    database_url: str, conn: pool.Connection
) -> None:
    t = await people.tenant(conn)
    await DatabaseClock(conn).stop()
    ready = asyncio.Barrier(60)

    async def call() -> bool:
        async with pool.connected(database_url, name="test") as own:
            await own.fetchval("select 1")
            await ready.wait()
            return bool(await own.fetchval(_CALL, t.id, "email_send", 7))

    results = await asyncio.gather(*(call() for _ in range(60)))
    assert sum(results) == 7
    assert await conn.fetchval("select sum(action_count) from agent_rate_limits") == 7


async def test_a_refused_call_and_one_that_is_rolled_back_do_not_count(rolled_back: pool.Connection) -> None:
    t = await people.tenant(rolled_back)
    count = "select coalesce(sum(action_count), 0) from agent_rate_limits"
    undone = rolled_back.transaction()
    await undone.start()
    assert await rolled_back.fetchval(_CALL, t.id, "x", 1) is True
    await undone.rollback()
    assert await rolled_back.fetchval(count) == 0
    assert [await rolled_back.fetchval(_CALL, t.id, "x", 2) for _ in range(4)] == [True, True, False, False]
    assert await rolled_back.fetchval(count) == 2
    assert await rolled_back.fetchval(_CALL, t.id, "x", 3) is True, "a raised limit leaves room at once"


async def test_tenants_actions_and_hours_are_counted_apart(rolled_back: pool.Connection) -> None:
    one, two = await people.tenant(rolled_back, "One"), await people.tenant(rolled_back, "Two")
    assert await rolled_back.fetchval(_CALL, one.id, "x", 1) is True
    assert await rolled_back.fetchval(_CALL, two.id, "x", 1) is True
    assert await rolled_back.fetchval(_CALL, one.id, "y", 1) is True
    assert await rolled_back.fetchval(_CALL, one.id, "x", 1) is False
    await rolled_back.execute(
        "update agent_rate_limits set window_start = window_start - interval '1 hour', window_end ="
        " window_end - interval '1 hour'"
    )
    assert await rolled_back.fetchval(_CALL, one.id, "x", 1) is True


@pytest.mark.parametrize("zone", ["UTC", "Asia/Kolkata", "America/St_Johns"])
async def test_the_window_is_the_servers_hour_in_every_time_zone(
    rolled_back: pool.Connection, zone: str
) -> None:
    t = await people.tenant(rolled_back)
    await rolled_back.execute(f"set local timezone = '{zone}'")
    await rolled_back.fetchval(_CALL, t.id, "x", 1)
    window = await rolled_back.fetchrow(
        "select window_start, window_end, now() as now from agent_rate_limits"
    )
    assert window["window_start"].minute == window["window_start"].second == 0
    assert (window["window_end"] - window["window_start"]).total_seconds() == 3600
    assert (window["now"] - window["window_start"]).total_seconds() < 3601


async def test_a_limit_of_zero_or_less_refuses(rolled_back: pool.Connection) -> None:
    t = await people.tenant(rolled_back)
    assert await rolled_back.fetchval(_CALL, t.id, "x", 0) is False
    assert await rolled_back.fetchval(_CALL, t.id, "x", -1) is False
    assert await rolled_back.fetchval("select count(*) from agent_rate_limits") == 0


@pytest.mark.parametrize(
    "arguments",
    [
        "null, 'x', 1",
        "gen_random_uuid(), null, 1",
        "gen_random_uuid(), '', 1",
        "gen_random_uuid(), 'x', null",
    ],
)
async def test_a_missing_argument_is_a_clear_error(rolled_back: pool.Connection, arguments: str) -> None:
    with pytest.raises(asyncpg.PostgresError, match="needs a tenant, an action and a limit") as refused:
        await rolled_back.execute(f"select check_and_increment_rate_limit({arguments})")
    assert refused.value.sqlstate == "RX003"
