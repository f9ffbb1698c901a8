"""An app that lacks handlers says so once, at its start, and not at every event."""

from typing import Any

from structlog.testing import capture_logs

from reactor import Context, Event, Reactor
from reactor.telemetry import names
from tests.engine.conftest import World, enter

AT_START = (names.APP_HANDLES_NOTHING, names.ALERTS_NOT_DELIVERED)


async def test_an_app_without_a_handler_warns_once(world: World) -> None:
    app = Reactor()
    tenant = await world.tenant()
    for _ in range(3):
        await world.emit(tenant, "x")
    with capture_logs() as said:
        await world.drain(app)
    (warning,) = (entry for entry in said if entry["event"] in AT_START)
    assert (warning["event"], warning["log_level"]) == (names.APP_HANDLES_NOTHING, "warning")
    assert "@app.on" in warning["hint"]
    assert len(await world.dead()) == 3


async def test_an_app_that_delivers_no_alerts_says_so_once_and_loses_none(world: World) -> None:
    app = Reactor()

    @app.on("doomed", max_attempts=1)
    async def doomed(event: Event[Any], ctx: Context) -> None:
        raise RuntimeError("no")

    tenants = [await world.tenant() for _ in range(3)]
    for tenant in tenants:
        await world.emit(tenant, "doomed")
    with capture_logs() as said:
        await world.drain(app)
    (hint,) = (entry for entry in said if entry["event"] in AT_START)
    assert (hint["event"], hint["log_level"]) == (names.ALERTS_NOT_DELIVERED, "info")
    assert "app.include(reactor.builtin.app)" in hint["hint"]
    discarded = [entry for entry in said if entry["event"] == names.EVENT_DISCARDED]
    assert [entry["log_level"] for entry in discarded] == ["debug"] * 3
    assert await world.count("public.agent_alerts where not acknowledged") == 3
    assert await world.count("reactor.history where reason = 'this app delivers no alerts'") == 3


async def test_an_app_that_has_all_of_it_says_nothing(world: World) -> None:
    app = Reactor()

    @app.on("alert.created")
    async def tell(event: Event[Any], ctx: Context) -> None:
        await enter(event, ctx)

    with capture_logs() as said:
        await world.drain(app)
    assert not [entry for entry in said if entry["event"] in AT_START]
