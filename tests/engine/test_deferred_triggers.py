"""What the application's triggers put off until the commit is done in the handler's tenant and role."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from reactor import Context, Event, Reactor
from reactor.db import pool
from tests.conftest import Server, migrate_database
from tests.engine.conftest import LEDGER, World, enter


@pytest.fixture(params=["18", "15"])
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    # Up to 17 such a trigger runs as whoever commits, from 18 on as whoever wrote.
    server: Server = request.getfixturevalue("server" if request.param == "18" else "pg15")
    name = server.create()
    migrate_database(server.url(name))
    async with pool.connected(server.url(name), name="test") as conn:
        await conn.execute(LEDGER)
        yield World(server.url(name), conn)
    server.drop(name)


@pytest.mark.parametrize("early", [False, True], ids=["settled", "checkpoint"])
@pytest.mark.parametrize("schema", ["", "public."])
async def test_a_trigger_that_was_put_off_is_in_the_handlers_scope(
    world: World, schema: str, early: bool
) -> None:
    await world.conn.execute(
        "create table totals (tenant_id uuid primary key, who text, entries int); "
        "select reactor.protect('totals'); "
        "create function count_up() returns trigger language plpgsql as $$ begin "
        f"insert into {schema}totals select new.tenant_id, current_user, count(*) from {schema}ledger; "
        "return null; end $$; "
        "create constraint trigger late after insert on ledger deferrable initially deferred "
        "for each row execute function count_up()"
    )
    app = Reactor()

    @app.on("entry", max_attempts=1)
    async def entry(event: Event[Any], ctx: Context) -> None:
        await enter(event, ctx)
        if early:
            await ctx.checkpoint()

    mine, theirs = await world.tenant("mine"), await world.tenant("theirs")
    for tenant in (mine, theirs):
        await world.emit(tenant, "entry")
    await world.drain(app)
    assert [row["reason"] for row in await world.dead()] == []
    totals = await world.conn.fetch("select tenant_id, who, entries from totals")
    assert sorted(map(tuple, totals)) == sorted(
        [(mine, "reactor_handler", 1), (theirs, "reactor_handler", 1)]
    )
