"""One process works for several databases, and one that is away holds up no other."""

import asyncio
from collections.abc import Iterator
from typing import Any

import asyncpg
import pytest

from reactor import Context, Event, Reactor, databases
from reactor.errors import ConnectError
from tests.engine.conftest import World, until

app = Reactor()
seen: list[str] = []


@app.on("hello")
async def hello(event: Event[Any], ctx: Context) -> None:
    seen.append(await ctx.db.fetchval("select current_database()"))


@pytest.fixture
def other(server: Any, template: str) -> Iterator[str]:
    """The name of a second database."""
    seen.clear()
    name = server.create(template)
    yield name
    server.drop(name)


async def greet(url: str) -> None:
    """Emit an event there, of a tenant of its own."""
    connection = await asyncpg.connect(url)
    await connection.execute(
        "with t as (insert into public.tenants (name) values ('x') returning id) "
        "select reactor.emit(t.id, 'hello') from t"
    )
    await connection.close()


async def handled_in(name: str) -> None:
    async def known() -> bool:
        return name in seen

    await until(known, what=f"an event in {name}")


async def test_several_databases_are_served_by_one_process(world: World, server: Any, other: str) -> None:
    await greet(world.url)
    async with world.running(app, databases=f"{world.url},{server.url(other)}"):
        await greet(server.url(other))
        await handled_in(other)
        await handled_in(await world.conn.fetchval("select current_database()"))
    assert len(seen) == 2


@pytest.mark.parametrize("is_first", [True, False])
async def test_one_that_is_away_at_the_start_is_served_when_it_is_back(
    world: World, server: Any, other: str, is_first: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(databases, "_PAUSE", 0.05)
    server.admin(f"alter database {other} rename to {other}_away")
    urls = [world.url, server.url(other)]
    async with world.running(app, databases=",".join(reversed(urls) if is_first else urls)):
        try:
            await greet(world.url)
            await handled_in(await world.conn.fetchval("select current_database()"))
            healths = [replica.health for replica in app.replicas]
            here, there = reversed(healths) if is_first else healths
            assert (here.started, here.connected) == (True, True)
            # The process has started, so nobody need restart it; it is not ready.
            assert (there.started, there.connected) == (True, False)
        finally:
            server.admin(f"alter database {other}_away rename to {other}")
        await greet(server.url(other))
        await handled_in(other)

        async def ready() -> bool:
            return all(replica.health.connected for replica in app.replicas)

        await until(ready)


async def test_a_drain_does_not_wait_for_one_that_is_away(
    world: World, server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(databases, "_PAUSE", 3600.0)
    async with (
        asyncio.timeout(30),
        world.running(app, databases=f"{world.url},{server.url('nowhere')}"),
    ):
        pass


async def test_without_any_of_them_nothing_starts(world: World, server: Any) -> None:
    with pytest.raises(ConnectError, match=r"nowhere.*does not exist"):
        async with world.running(app, databases=f"{server.url('nowhere')},{server.url('neither')}"):
            pass
