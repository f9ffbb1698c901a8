"""A deadline that passes after the sweep looked and before the timer is set."""

from datetime import timedelta

import anyio
import pytest

from reactor.bell import Bell
from reactor.db import calls, pool
from reactor.upkeep.deadlines import Deadlines


class NotedBell(Bell):
    """Remembers how long the timer wanted to sleep."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[float] = []

    async def wait(self, seconds: float) -> bool:
        self.asked.append(seconds)
        return await super().wait(seconds)


async def _overdue_in(connection: pool.Connection, seconds: float) -> None:
    tenant = await connection.fetchval("insert into tenants (name) values ('Acme') returning id")
    client = await connection.fetchval(
        "insert into clients (tenant_id, company_name) values ($1, 'A client') returning id", tenant
    )
    await connection.execute(
        "insert into engagement_clocks (tenant_id, client_id, next_touch_due) "
        "values ($1, $2, clock_timestamp() + make_interval(secs => $3))",
        tenant,
        client,
        seconds,
    )


async def _run_until_swept(database_url: str, conn: pool.Connection, held: bool) -> list[float]:
    """What the timer asked of its bell until the clock was swept, in seconds."""
    bell = NotedBell()
    term = await calls.lead(conn, "test", timedelta(seconds=30))
    assert term is not None
    turns = 0

    async with await pool.create_pool(database_url, size=2) as own, anyio.create_task_group() as group:

        async def between(connection: calls.Connection) -> None:
            """Runs after the sweep and before the look at the next deadline."""
            nonlocal turns
            turns += 1
            if turns == 1:
                await _overdue_in(conn, 0.02)
                await conn.execute("select pg_sleep(0.03)")
                if held:
                    await conn.execute("begin; select id from engagement_clocks for update")
            if held and turns == 12:
                await conn.execute("rollback")
            if not await connection.fetchval(
                "select exists (select from engagement_clocks where is_compliant)"
            ):
                group.cancel_scope.cancel()

        deadlines = Deadlines(
            pool=own, bell=bell, term=term, jobs=[], at_most=lambda: timedelta(seconds=5), run_jobs=between
        )
        with anyio.fail_after(20):
            await deadlines.run()
    return bell.asked


async def test_a_clock_that_ran_out_between_two_looks_is_swept_at_once(
    database_url: str, conn: pool.Connection
) -> None:
    asked = await _run_until_swept(database_url, conn, held=False)

    assert sum(asked) < 0.02


async def test_a_clock_that_somebody_holds_is_looked_at_less_and_less_often(
    database_url: str, conn: pool.Connection
) -> None:
    asked = await _run_until_swept(database_url, conn, held=True)

    assert asked[0] < 0.01
    assert max(asked) == pytest.approx(0.05)
