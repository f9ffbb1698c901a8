"""A payload that no client can be given: its text is longer than the server can send."""

from typing import Any

import pytest

from reactor import Context, Event, Reactor
from tests.engine.conftest import World, enter

#: 2,500 bytes as it is stored.
POISON = (
    "insert into reactor.events (tenant_id, event_type, payload) "
    "select $1, 'work', jsonb_agg('1e131071'::jsonb) from generate_series(1, 8200) returning id"
)


# Where it comes next, a settlement brings it; in one batch with others, the claim.
@pytest.mark.parametrize(("batch", "writes"), [(1, True), (100, False)], ids=["settled", "claimed"])
async def test_it_is_dead_with_the_reason_and_stops_no_other_event(
    world: World, batch: int, writes: bool
) -> None:
    app = Reactor()
    handled: list[int] = []

    @app.on("work", max_attempts=1)
    async def work(event: Event[Any], ctx: Context) -> None:
        if writes:
            await enter(event, ctx)
        handled.append(event.id)

    tenant, other = await world.tenant(), await world.tenant()
    first = await world.emit(tenant, "work")
    poison = await world.conn.fetchval(POISON, tenant)
    rest = [await world.emit(one, "work") for one in (tenant, tenant, other)]
    await world.drain(app, within=150, batch_size=batch)
    assert sorted(set(handled)) == [first, *rest]
    if writes:
        assert await world.count("public.ledger") == 4
    (dead,) = await world.conn.fetch("select id, reason from reactor.dead_events")
    assert dead["id"] == poison
    assert "longer than a gigabyte" in dead["reason"]
    # The server writes a gigabyte before it refuses. Where that takes longer than a settlement waits, the
    # event whose settlement it was is interrupted once, and tried again.
    blamed = "event_type = 'work' and (attempts > 0 or interruptions > 1)"
    assert await world.count(f"reactor.history where {blamed}") == 0
    assert await world.count("reactor.history where event_type = 'work' and interruptions = 0") >= 3
    assert await world.count("agent_alerts where alert_type = 'dead_event'") == 1


async def test_the_event_before_it_is_not_blamed_where_it_is_not_found_in_time(world: World) -> None:
    """Its settlement brings the next events as well, and fails for what one of those is."""
    hurried = await world.conn.fetchval(
        "select replace(pg_get_functiondef('reactor.bury_unreadable'::regproc), '3 seconds', '-1 seconds')"
    )
    await world.conn.execute(hurried)  # one event a call, and the first one is innocent
    app = Reactor()

    @app.on("work", max_attempts=1)
    async def work(event: Event[Any], ctx: Context) -> None:
        await enter(event, ctx)

    tenant = await world.tenant()
    first = await world.emit(tenant, "work")
    await world.conn.execute(POISON, tenant)
    last = await world.emit(tenant, "work")
    await world.drain(app, within=150, batch_size=1)
    assert await world.conn.fetchval("select array_agg(event_id order by id) from public.ledger") == [
        first,
        last,
    ]
    reason = "the payload cannot be read: its text is longer than a gigabyte"
    assert await world.conn.fetchval("select array_agg(reason) from reactor.dead_events") == [reason]
