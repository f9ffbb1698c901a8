"""A full disk: nothing is lost or doubled, no event dies, and work goes on by itself when there is room."""

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from structlog.testing import capture_logs

from reactor import Context, Event, Reactor
from reactor.db import embedded, pool
from reactor.db.binaries import give, server_account
from reactor.errors import ConnectError
from reactor.telemetry import names
from tests import servers
from tests.conftest import migrate_database
from tests.engine.conftest import LEDGER, World, enter, until

_SIZE = "80m"
#: A row that fills a page, so that what does not fit is seen at once.
_FILL = "insert into public.filler select repeat('x', 7000) from generate_series(1, $1::int)"


@pytest.fixture
def small_disk() -> Iterator[tuple[embedded.EmbeddedServer, Path]]:
    """A server with a small file system beside its own."""
    with servers.running() as server:
        place = server.base / "small"
        place.mkdir()
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={_SIZE}", "tmpfs", str(place)], capture_output=True
        )
        if mounted.returncode:
            pytest.skip(f"no file system can be mounted here: {os.fsdecode(mounted.stderr).strip()}")
        try:
            space = place / "space"
            space.mkdir()
            for path in (place, space):
                give(path, server_account())
            yield server, space
        finally:
            subprocess.run(["umount", "--lazy", str(place)], check=True)


@pytest.fixture
async def world(small_disk: tuple[embedded.EmbeddedServer, Path]) -> AsyncIterator[World]:
    """A database that is on the small one, but for its WAL."""
    server, space = small_disk
    async with pool.connected(server.url("postgres"), name="test") as admin:
        await admin.execute(f"create tablespace small location '{space}'")
        await admin.execute("create database small tablespace small")
    url = server.url("small")
    migrate_database(url)
    async with pool.connected(url, name="test") as conn:
        await conn.execute(LEDGER)
        await conn.execute("create table public.filler (x text storage plain)")
        yield World(url, conn)


async def fill(world: World) -> None:
    rows = 4096
    while rows:
        try:
            await world.conn.execute(_FILL, rows)
        except asyncpg.DiskFullError:
            rows //= 4


async def test_work_waits_for_room_and_then_goes_on_and_nobody_is_blamed(world: World) -> None:
    app = Reactor()
    inside, go = asyncio.Event(), asyncio.Event()

    @app.on("quiet")
    async def quiet(event: Event[Any], ctx: Context) -> None:
        inside.set()
        await go.wait()

    @app.on("writes")
    async def writes(event: Event[Any], ctx: Context) -> None:
        inside.set()
        await go.wait()
        # More than what is left in a page.
        await enter(event, ctx, "x" * 7000)

    tenants = [await world.tenant() for _ in range(4)]
    for tenant in tenants:
        for event_type in ("quiet", "writes"):
            await world.flood(tenant, event_type, 10)
    with capture_logs() as said:

        async def is_stuck() -> bool:
            return {names.RUN_INTERRUPTED, names.ABANDON_FAILED} <= {line["event"] for line in said}

        async with world.running(app, lease_seconds=2):
            await asyncio.wait_for(inside.wait(), 10)
            await fill(world)
            go.set()
            await until(is_stuck, within=30, what="a settlement that found no room")
            with pytest.raises(asyncpg.DiskFullError):
                await world.flood(tenants[0], "quiet", 10_000)
            await world.conn.execute("drop table public.filler")
            await world.until("select not exists (select from reactor.events)", within=30)
    assert await world.dead() == []
    assert await world.count("reactor.history where outcome = 'handled'") == 80
    assert await world.count("public.ledger") == 40
    assert await world.count("(select distinct event_id from public.ledger) x") == 40
    assert await world.count("public.agent_tenant_locks") == 0


async def test_a_replica_that_starts_meanwhile_says_why_it_cannot_and_ends(world: World) -> None:
    await fill(world)
    with pytest.raises(ConnectError, match="No space left on device"):
        async with world.running(Reactor()):
            await asyncio.sleep(30)
    with suppress(asyncpg.DiskFullError):
        await world.conn.execute("drop table public.filler")
