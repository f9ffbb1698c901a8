"""Handlers that get no connection: their events wait, and none is blamed."""

from typing import Any
from urllib.parse import urlsplit, urlunsplit

from structlog.testing import capture_logs

from reactor import Context, Event, Reactor
from reactor.telemetry import metrics, names
from reactor.testing import running
from tests.engine.conftest import World, enter, until


async def test_events_wait_while_the_server_lets_no_handler_in(world: World) -> None:
    """As when a password was changed, or the server is full: the engine's own connections are still there."""
    role = f"app_{world.url.rpartition('/')[2].partition('?')[0]}"
    await world.conn.execute(f"create role {role} login password 'secret' in role reactor")
    parts = urlsplit(world.url)
    url = urlunsplit(parts._replace(netloc=f"{role}:secret@{parts.netloc.rpartition('@')[2]}"))
    app = Reactor()

    @app.on("work")
    async def work(event: Event[Any], ctx: Context) -> None:
        await enter(event, ctx)

    def without() -> float:
        return metrics.REGISTRY.get_sample_value("reactor_runs_without_connection_total") or 0.0

    tenants = [await world.tenant() for _ in range(8)]
    before = without()
    try:
        with capture_logs() as said:
            async with running(app, url, concurrency=8, lease_seconds=300):
                (replica,) = app.replicas
                await world.emit(tenants[0], "work")
                await world.until("select count(*) = 1 from public.ledger")
                assert not replica.health.starved
                assert without() == before
                await world.conn.execute(f"alter role {role} nologin")
                await world.conn.execute(
                    "select pg_terminate_backend(pid) from pg_stat_activity "
                    "where usename = $1 and application_name like '%handlers'",
                    role,
                )
                for tenant in tenants:
                    for _ in range(5):
                        await world.emit(tenant, "work")
                # They are tried again and again, but for tenants whose lease could not be given back.
                tries = "select count(*) as n from public.agent_autonomous_runs group by tenant_id"
                await world.until(f"select max(t.n) > 5 from ({tries}) t", within=30)
                assert replica.health.starved
                assert without() - before > 5
                assert await world.dead() == []
                assert await world.conn.fetchval("select max(interruptions) from reactor.events") <= 1
                await world.conn.execute(f"alter role {role} login")
                await world.conn.execute("update public.agent_tenant_locks set expires_at = now()")
                await world.until("select count(*) = 41 from public.ledger", within=30)

                async def is_fed() -> bool:
                    return not replica.health.starved

                await until(is_fed, within=30)
        assert [line["event"] for line in said].count(names.HANDLERS_STARVED) == 1
    finally:
        await world.conn.execute(f"drop owned by {role}; drop role {role}")
