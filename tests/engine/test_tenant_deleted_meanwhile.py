"""A tenant is deleted while its handler writes: a deadlock may come of it, and no failure."""

import asyncio
from typing import Any

import pytest
from structlog.testing import capture_logs

from reactor import Context, Event, Reactor
from reactor.db import pool
from reactor.telemetry import names
from tests.engine.conftest import World, enter

_WAITS = (
    "select count(*) = 1 from pg_stat_activity "
    "where application_name = 'deletes' and wait_event_type = 'Lock'"
)


@pytest.mark.parametrize("is_kept", [True, False], ids=["then it is kept after all", "then it is gone"])
async def test_a_settlement_that_meets_a_deadlock_with_it_is_no_failure_of_the_event(
    world: World, is_kept: bool
) -> None:
    app = Reactor()
    wrote, goes_on = asyncio.Event(), asyncio.Event()

    @app.on("work", max_attempts=1)
    async def work(event: Event[Any], ctx: Context) -> None:
        await ctx.db.execute("update clients set company_name = 'known'")
        wrote.set()
        await goes_on.wait()
        if is_kept:
            await enter(event, ctx)

    tenant = await world.tenant()
    await world.conn.execute("insert into clients (tenant_id, company_name) values ($1, 'new')", tenant)
    with capture_logs() as logs:
        async with (
            world.running(app),
            pool.connected(world.url, name="deletes") as deletes,
            asyncio.timeout(30),
        ):
            await world.emit(tenant, "work")
            await wrote.wait()
            # It is the settlement that finds it out.
            await deletes.execute("set deadlock_timeout = '1min'")
            await deletes.execute("set application_name = 'deletes'")
            await deletes.execute("begin")
            deleting = asyncio.create_task(
                deletes.execute("delete from public.tenants where id = $1", tenant)
            )
            await world.until(_WAITS)
            goes_on.set()
            assert await deleting == "DELETE 1"
            await deletes.execute("rollback" if is_kept else "commit")
            await world.until("select count(*) = 0 from reactor.events where event_type = 'work'", within=30)
    assert any(
        line["event"] == names.RUN_INTERRUPTED and "deadlock" in line.get("error", "") for line in logs
    )
    if is_kept:
        assert await world.dead() == []
        assert await world.notes() == ["work"]
        assert await world.conn.fetchval("select company_name from clients") == "known"
    else:
        (dead,) = await world.dead()
        assert "tenant" in dead["reason"]
        assert "deadlock" not in dead["reason"]
