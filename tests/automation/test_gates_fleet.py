"""The kill switch and a tenant's own, with several replicas in a backlog: by SQL and by command."""

import asyncio
import time
from contextlib import AsyncExitStack

import pytest

from reactor.app import Reactor
from reactor.cli import entry
from reactor.testing import running
from tests.automation.company import Company, until

KILL = (
    "update system_config set value = jsonb_set(value, '{global_enabled}', '%s') where key = 'agent_config'"
)


async def command(monkeypatch, database_url: str, *words: str) -> None:
    """A person's command, in a thread: it has a loop of its own."""
    monkeypatch.setenv("REACTOR_DATABASE_URL", database_url)
    assert await asyncio.to_thread(entry.run, list(words)) == 0


@pytest.mark.parametrize("by", ["kill switch by command", "kill switch by SQL", "tenant by command"])
async def test_a_stop_takes_effect_within_a_second_on_every_replica_and_the_rest_waits_untouched(
    conn, database_url, monkeypatch, by
):
    companies = [await Company.found(conn) for _ in range(9)]
    handled: list[tuple[str, float]] = []

    def replica(name: str) -> Reactor:
        app = Reactor()

        @app.on("chore", gated=True)
        async def chore(event, ctx):
            await ctx.db.fetchval("select 1")
            await asyncio.sleep(0.002)
            handled.append((name, time.monotonic()))

        return app

    for company in companies:
        await conn.execute(
            "select reactor.emit($1, 'chore') from generate_series(1, 1500)", company.tenant_id
        )
    async with AsyncExitStack() as stack:
        for name in ("a", "b", "c"):
            await stack.enter_async_context(
                running(replica(name), database_url, replica=name, concurrency=2, batch_size=50)
            )
        await until(lambda: asyncio.sleep(0, {name for name, _ in handled} == {"a", "b", "c"}))
        match by:
            case "kill switch by SQL":
                await conn.execute(KILL % "false")
            case "kill switch by command":
                await command(monkeypatch, database_url, "kill-switch", "on", "--reason", "an audit")
            case _:
                ids = [str(company.tenant_id) for company in companies]
                await command(monkeypatch, database_url, "tenants", "disable", *ids)
        stopped = time.monotonic()
        await until(
            lambda: conn.fetchval(
                "select not exists (select from reactor.events where available_at is null) "
                "and not exists (select from agent_tenant_locks)"
            )
        )
        assert max(moment for _, moment in handled) - stopped < 1.0
        done = len(handled)
        waiting = "select count(*), count(*) filter (where available_at = 'infinity') from reactor.events"
        assert tuple(await conn.fetchrow(waiting)) == (13_500 - done, 13_500 - done)
        assert done < 13_500

        # It costs nothing to wait: no row is touched, however long others work.
        rows = (
            "select md5(string_agg(xmin::text || ctid::text, ',' order by id)) from reactor.events "
            "where event_type = 'chore'"
        )
        before = await conn.fetchval(rows)
        neighbour = await conn.fetchval("insert into tenants (name) values ('Bolt') returning id")
        for number in range(1, 6):
            await conn.execute("select reactor.emit($1, 'nobody.handles')", neighbour)
            await until(lambda n=number: conn.fetchval("select count(*) = $1 from reactor.dead_events", n))
        assert await conn.fetchval(rows) == before
        assert len(handled) == done
