"""What the database refuses to settle, whatever is tried, is tried again in its own time."""

from typing import Any

import pytest

from reactor import Context, Event, Reactor
from tests.engine.conftest import World, enter


@pytest.mark.parametrize("writes", [False, True])
async def test_an_event_that_nothing_can_take_out_of_the_outbox_is_tried_less_and_less_often(
    world: World, writes: bool
) -> None:
    app = Reactor()
    calls = 0

    @app.on("x", max_attempts=1)
    async def handle(event: Event[Any], ctx: Context) -> None:
        nonlocal calls
        calls += 1
        if writes:
            await enter(event, ctx)

    tenant, other = await world.tenant(), await world.tenant()
    await world.conn.execute(
        f"""
        create function public.refuse() returns trigger language plpgsql as $$
        begin
            if old.tenant_id = '{tenant}' then
                raise 'nothing is deleted here';
            end if;
            return old;
        end $$;
        create trigger refuse before delete on reactor.events for each row execute function public.refuse()
        """
    )
    async with world.running(app):
        await world.emit(tenant, "x")
        # The tenant is nobody's for a while, and says why.
        held = await world.until(
            "select lock_holder from public.agent_tenant_locks "
            "where run_id is null and expires_at - locked_at > interval '1 second'"
        )
        assert "refused" in held
        assert calls < 20
        await world.emit(other, "x")
        await world.until("select exists (select from reactor.history where tenant_id = $1)", other)
        await world.conn.execute("drop trigger refuse on reactor.events")
        # Not before its time, and then it is soon over.
        await world.until("select not exists (select from reactor.events)", within=20)


@pytest.mark.parametrize(("interruptions", "pause"), [(0, None), (1, 0.2), (3, 0.8), (40, 30.0)])
async def test_the_pause_doubles_from_the_second_refusal_on_up_to_half_a_minute(
    world: World, interruptions: int, pause: float | None
) -> None:
    tenant = await world.tenant()
    await world.conn.execute(
        "insert into reactor.events (tenant_id, event_type, interruptions) values ($1, 'x', $2)",
        tenant,
        interruptions,
    )
    run = await world.conn.fetchval(
        "select run_id from reactor.claim('one', 1, 10, '1 minute', null, '{}', null, '{}', '{}', '{}')"
    )
    assert await world.conn.fetchval("select reactor.suspend($1, $2, 'no')", [tenant], [run]) == 1
    lasts = await world.conn.fetchval(
        "select extract(epoch from expires_at - locked_at)::float8 from public.agent_tenant_locks "
        "where tenant_id = $1",
        tenant,
    )
    assert lasts == (pytest.approx(pause) if pause is not None else None)
    assert await world.conn.fetchval("select interruptions from reactor.events") == interruptions + 1
