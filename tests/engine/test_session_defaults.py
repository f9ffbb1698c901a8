"""Defaults that a person sets for a while reach new sessions only: a replica keeps none of those."""

from typing import Any

import asyncpg
import pytest
from structlog.testing import capture_logs

from reactor import Context, Event, Reactor
from reactor.db import pool
from reactor.db.borrow import Held, borrow
from tests.engine.conftest import World, enter, until


async def test_work_goes_on_when_nobody_could_write_for_a_while(world: World) -> None:
    default, refusal = "default_transaction_read_only = on", "in a read-only transaction"
    app = Reactor()

    @app.on("hello")
    async def hello(event: Event[Any], ctx: Context) -> None:
        await enter(event, ctx)

    name = await world.conn.fetchval("select current_database()")
    tenant = await world.tenant()
    with capture_logs() as said:
        async with world.running(app, lease_seconds=3):
            await world.emit(tenant, "hello")
            await world.until("select count(*) = 1 from public.ledger")
            await world.conn.execute(f"alter database {name} set {default}")
            # So a person makes it good for those who are there; those who come back begin with it.
            await world.conn.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity "
                "where datname = current_database() and pid <> pg_backend_pid()"
            )
            await world.emit(tenant, "hello")

            async def is_refused() -> bool:
                return any(
                    line["event"] == "claim_failed" and refusal in str(line.get("error")) for line in said
                )

            await until(is_refused)
            await world.conn.execute(f"alter database {name} reset {default.split()[0]}")
            await world.until("select count(*) = 2 from public.ledger", within=30)
            (replica,) = app.replicas

            async def is_well() -> bool:
                return replica.health.connected and replica.health.leading

            await until(is_well, within=30)
    assert await world.conn.fetchval("select max(attempts) from reactor.history") == 0


@pytest.mark.parametrize("is_held", [False, True])
@pytest.mark.parametrize(
    ("default", "call"),
    [
        ("default_transaction_read_only = on", "update public.tenants set name = name"),
        (
            "default_transaction_isolation = serializable",
            "select * from reactor.claim('x', 1, 1, '3 s', null, '{}')",
        ),
        ("statement_timeout = '30ms'", "select pg_sleep(0.2)"),
    ],
)
async def test_a_session_that_is_refused_for_its_defaults_is_replaced(
    world: World, default: str, call: str, is_held: bool
) -> None:
    name = await world.conn.fetchval("select current_database()")
    await world.conn.execute(f"alter database {name} set {default}")
    async with await pool.create_pool(world.url, size=2, keep_session=True) as own:
        held = Held(own)
        async with borrow(own), borrow(own):
            pass  # both began with it
        await world.conn.execute(f"alter database {name} reset {default.split()[0]}")
        with pytest.raises(asyncpg.PostgresError):
            async with held.use() if is_held else borrow(own) as connection:
                await connection.fetch(call)
        try:
            async with held.use() as one, borrow(own) as other:
                await one.fetch(call)
                await other.fetch(call)
        finally:
            await held.release()
