"""What a handler leaves in its session reaches no other tenant's handler, and holds up nobody."""

from typing import Any

import pytest

from reactor import Context, Event, Reactor
from tests.engine.conftest import World


async def test_a_cursor_that_outlives_its_transaction_is_closed_before_the_next_handler(
    world: World,
) -> None:
    app = Reactor()
    cursors: list[int] = []

    @app.on("leaves")
    async def leaves(event: Event[Any], ctx: Context) -> None:
        cursors.append(await ctx.db.fetchval("select count(*) from pg_cursors where is_holdable"))
        await ctx.db.execute("declare kept cursor with hold for select 'secret of ' || $$a$$")

    for _ in range(3):
        await world.emit(await world.tenant(), "leaves")
    # One connection for all handlers.
    await world.drain(app, concurrency=1)
    assert cursors == [0, 0, 0]
    assert await world.dead() == []


async def test_a_handler_may_not_prepare_a_statement_by_itself(world: World) -> None:
    app = Reactor()

    @app.on("prepares", max_attempts=1)
    async def prepares(event: Event[Any], ctx: Context) -> None:
        await ctx.db.execute("prepare p as select 1")

    await world.emit(await world.tenant(), "prepares")
    await world.drain(app)
    (dead,) = await world.dead()
    assert "may not run 'prepare p as select 1'" in str(dead["errors"])


@pytest.mark.parametrize("fails", [False, True], ids=["committed", "rolled back"])
async def test_an_advisory_lock_of_the_session_ends_with_the_handler(world: World, fails: bool) -> None:
    app = Reactor()

    @app.on("locks", max_attempts=1)
    async def locks(event: Event[Any], ctx: Context) -> None:
        await ctx.db.execute("select pg_advisory_lock(77)")
        if fails:
            raise ValueError("no")

    event = await world.emit(await world.tenant(), "locks")
    async with world.running(app):
        await world.until("select not exists (select from reactor.events where id = $1)", event)
        # The connection is still there, idle in the pool, and others get the lock.
        await world.until("select pg_try_advisory_lock(77)", within=5)
