"""Events that raise, that end the process, and that hang, among a thousand good ones of the same tenant."""

import asyncio
import contextlib

from tests.engine.conftest import World
from tests.engine.fleet import Ended, replica


async def test_the_good_ones_are_done_and_the_poison_is_dead_with_its_reasons(world: World) -> None:
    tenant = await world.tenant()
    other = await world.tenant()
    await world.flood(tenant, "good", 500)
    poison = {kind: await world.emit(tenant, kind) for kind in ("raises", "exits", "hangs")}
    await world.flood(tenant, "good", 500)
    await world.flood(other, "good", 50)

    async def keep_alive(number: int) -> None:
        """What a supervisor does."""
        turn = 0
        while True:
            turn += 1
            # The poison may be what it takes first, before it has said that it is ready.
            with contextlib.suppress(Ended):
                async with replica(world.url, lease_seconds=1, replica=f"r{number}-{turn}") as process:
                    await process.process.wait()

    keepers = [asyncio.create_task(keep_alive(number)) for number in (1, 2)]
    try:
        await world.until("select count(*) = 3 from reactor.dead_events", within=60)
        await world.until(
            "select not exists (select from reactor.events where event_type <> 'alert.created')", within=30
        )
    finally:
        for keeper in keepers:
            keeper.cancel()
        await asyncio.gather(*keepers, return_exceptions=True)

    assert sorted(await world.notes()) == ["good"] * 1050
    dead = {row["event_type"]: row for row in await world.dead()}
    assert {kind: row["id"] for kind, row in dead.items()} == poison
    assert all(row["attempts"] == 2 for row in dead.values())
    assert "poison" in dead["raises"]["reason"]
    assert "took longer than 0.3 s" in dead["hangs"]["reason"]
    killed = [error for error in dead["exits"]["errors"] if error["kind"] == "killed"]
    assert len(killed) == 2
    # their neighbours are not to blame
    assert await world.count("reactor.history where event_type = 'good' and attempts > 0") == 0
