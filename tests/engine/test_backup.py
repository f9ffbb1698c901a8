"""A backup of the database holds all of it: restored elsewhere, the events go on where they were."""

import subprocess
from datetime import timedelta
from typing import Any

import pytest

from reactor import Context, Event, Reactor
from reactor.db import migrate, pool
from reactor.db.binaries import find_binaries, server_account
from reactor.errors import MigrationError
from tests import servers
from tests.conftest import Server
from tests.engine.conftest import World, enter


async def test_what_pg_dump_saves_goes_on_where_it_is_restored(
    world: World, server: Server, empty_database_url: str
) -> None:
    if server.own is None:
        pytest.skip("needs the binaries of the embedded server")
    binaries = find_binaries(None, server_account())
    tenant, other = await world.tenant(), await world.tenant()
    await world.conn.execute(
        "create table public.visits (id uuid primary key default gen_random_uuid(), tenant_id uuid);"
        "select reactor.watch('public.visits', 'visit');"
    )
    for one in (tenant, tenant, other):
        await world.conn.execute("insert into public.visits (tenant_id) values ($1)", one)
    await world.emit(other, "visit", delay=timedelta(seconds=1), dedup_key="once")
    # Another replica has some in hand, and will not be there.
    held = await world.conn.fetch("select * from reactor.claim('gone', 1, 1, '2 seconds', null, '{}')")
    assert len(held) == 1
    dump = subprocess.run(
        [binaries / "pg_dump", "--format=custom", world.url], capture_output=True, check=True
    ).stdout
    subprocess.run(
        [binaries / "pg_restore", "--exit-on-error", "--dbname", empty_database_url],
        input=dump,
        capture_output=True,
        check=True,
    )
    app = Reactor()

    @app.on("visit")
    async def visit(event: Event[Any], ctx: Context) -> None:
        await enter(event, ctx)

    async with pool.connected(empty_database_url, name="test") as conn:
        restored = World(empty_database_url, conn)
        before = await restored.conn.fetch("select id from reactor.events order by id")
        assert len(before) == 4
        async with restored.running(app):
            await conn.execute("insert into public.visits (tenant_id) values ($1)", tenant)
            await restored.until("select not exists (select from reactor.events)")
        assert await restored.dead() == []
        ids = await conn.fetch("select event_id from public.ledger order by event_id")
        # The new one's number is no older one's.
        assert [row["event_id"] for row in ids] == [*(row["id"] for row in before), before[-1]["id"] + 1]


async def test_a_migration_says_what_a_backup_lacks_that_was_restored_on_a_server_without_the_roles(
    world: World, server: Server
) -> None:
    if server.own is None:
        pytest.skip("needs the binaries of the embedded server")
    binaries = find_binaries(None, server_account())
    dump = subprocess.run(
        [binaries / "pg_dump", "--format=custom", world.url], capture_output=True, check=True
    ).stdout
    with servers.running() as other:
        url = other.url("restored")

        def restore() -> int:
            done = subprocess.run(
                [binaries / "pg_restore", "--dbname", url], input=dump, capture_output=True, check=False
            )
            return done.stderr.decode().count("error:")

        async with pool.connected(other.url(), name="test") as admin:
            await admin.execute("create database restored")
            assert restore() > 100
            with pytest.raises(MigrationError, match="reactor_owner, reactor_handler") as caught:
                await migrate.migrate(lambda: pool.connect(url))
            for statement in caught.value.hint.splitlines()[1:]:
                await admin.execute(statement)
            await admin.execute("drop database restored")
            await admin.execute("create database restored")
        assert restore() == 0
        assert (await migrate.migrate(lambda: pool.connect(url))).applied == []
