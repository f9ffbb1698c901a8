"""ctx.checkpoint() and what goes wrong after it, or while it commits."""

from datetime import timedelta
from typing import Any

from reactor import Context, Event, Reactor, Retry
from tests.engine.conftest import World, enter

DEFERRED = """
    create table public.deferred (tenant_id uuid, what text);
    select reactor.protect('public.deferred');
    create function public.check_late() returns trigger language plpgsql as $$ begin
        if new.what = 'poison' then raise exception 'refused at commit'; end if;
        return null;
    end $$;
    create constraint trigger late after insert on public.deferred deferrable initially deferred
        for each row execute function public.check_late();
"""


async def test_an_event_that_a_checkpoint_put_off_may_fail_in_the_same_run(world: World) -> None:
    """It was acknowledged by a later event's checkpoint, and is in hand again."""
    await world.conn.execute(DEFERRED)
    app = Reactor()
    tries = 0

    @app.on("again")
    async def again(event: Event[Any], ctx: Context) -> None:
        nonlocal tries
        tries += 1
        if tries == 1:
            raise Retry(timedelta(0), "again", counts=False)
        if tries < 4:
            await ctx.db.execute("insert into public.deferred values ($1, 'poison')", ctx.tenant_id)

    @app.on("checks in")
    async def checks_in(event: Event[Any], ctx: Context) -> None:
        await ctx.db.execute("insert into public.deferred values ($1, 'fine')", ctx.tenant_id)
        await ctx.checkpoint()
        await world.until(
            "select bool_and(available_at is null) from reactor.events where event_type = 'again'"
        )

    @app.on("innocent", max_attempts=1)
    async def innocent(event: Event[Any], ctx: Context) -> None:
        await ctx.db.execute("insert into public.deferred values ($1, 'fine')", ctx.tenant_id)

    tenant = await world.tenant()
    await world.emit(tenant, "again", priority=-1)
    await world.emit(tenant, "checks in")
    for _ in range(3):
        await world.emit(tenant, "innocent", priority=5)
    await world.drain(app, batch_size=2)
    assert await world.dead() == []
    assert await world.count("reactor.history where interruptions > 0") == 0
    assert await world.count("public.deferred where what = 'fine'") == 4


async def test_a_lease_is_given_back_when_a_checkpoint_was_committed_and_nobody_heard_of_it(
    world: World,
) -> None:
    """The handler's time was over while the server committed, and what was acknowledged is done again."""
    app = Reactor()
    tries = 0

    @app.on("first")
    async def first(event: Event[Any], ctx: Context) -> None:
        await enter(event, ctx)

    @app.on("slow", timeout="1s")
    async def slow(event: Event[Any], ctx: Context) -> None:
        nonlocal tries
        tries += 1
        if tries == 1:
            # What a cursor is to hold beyond the transaction is looked up while that commits.
            await ctx.db.execute("declare slow cursor with hold for select pg_sleep(3)")
            await ctx.checkpoint()

    tenant = await world.tenant()
    await world.emit(tenant, "first")
    await world.emit(tenant, "slow")
    # With an hour's lease, waiting for its end would be too long.
    await world.drain(app, within=30, lease_seconds=3600)
    assert await world.count("reactor.history") == 2
    # Done again, but not once more: what the checkpoint had acknowledged already was refused.
    assert await world.notes() == ["first"]
