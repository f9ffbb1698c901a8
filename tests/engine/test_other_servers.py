"""Another server that is down is the handler's failure, with its backoff; only our own interrupts."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
from structlog.testing import capture_logs

from reactor import Context, Event, Reactor
from reactor.db import pool
from reactor.engine.interruption import Interrupted, cut_short, is_infrastructure
from reactor.engine.scope import Scope
from reactor.telemetry import names
from tests.engine.conftest import World, enter


def raises(error: BaseException) -> Callable[[Context], Awaitable[None]]:
    async def fail(_ctx: Context) -> None:
        raise error

    return fail


async def through_dblink(ctx: Context) -> None:
    await ctx.db.fetch(
        "select * from public.dblink('host=127.0.0.1 port=1 user=a password=b', 'select 1') as x (i int)"
    )


async def as_dblink_tells_it(ctx: Context) -> None:
    """What another server said of itself, in our own session."""
    await ctx.db.execute(
        "do $$ begin raise exception 'the other one goes down' using errcode = '57P01'; end $$"
    )


async def read_only(ctx: Context) -> None:
    await ctx.db.execute("set local transaction_read_only = on")
    await ctx.emit("right")


async def out_of_memory(ctx: Context) -> None:
    await ctx.db.execute("do $$ begin raise exception 'out of memory' using errcode = '53200'; end $$")


CASES: dict[str, tuple[Callable[[Context], Awaitable[None]], str]] = {
    "its own database starts": (raises(asyncpg.CannotConnectNowError("it is starting up")), "starting up"),
    "its own connection is lost": (raises(asyncpg.ConnectionDoesNotExistError("closed")), "closed"),
    "dblink": (through_dblink, "could not establish connection"),
    "another server's word": (as_dblink_tells_it, "the other one goes down"),
    "a transaction that it made read-only": (read_only, "read-only transaction"),
    "out of memory": (out_of_memory, "out of memory"),
}


@pytest.mark.parametrize("writes", [False, True], ids=["", "after it wrote"])
@pytest.mark.parametrize("kind", CASES)
async def test_what_another_server_says_is_a_failure_of_the_handlers(
    world: World, kind: str, writes: bool
) -> None:
    app = Reactor()
    fail, expected = CASES[kind]
    if fail is through_dblink:
        try:
            await world.conn.execute("create extension dblink schema public")
        except asyncpg.FeatureNotSupportedError:
            pytest.skip("this server has no dblink")

    @app.on("calls", max_attempts=1)
    async def calls(event: Event[Any], ctx: Context) -> None:
        if writes:
            await enter(event, ctx)
        await fail(ctx)

    @app.on("right")
    async def right(event: Event[Any], ctx: Context) -> None:
        await enter(event, ctx)

    tenant = await world.tenant()
    await world.emit(tenant, "right")
    await world.emit(tenant, "calls")
    with capture_logs() as said:
        await world.drain(app)
    (dead,) = await world.dead()
    assert (dead["attempts"], dead["interruptions"]) == (1, 0)
    assert expected in dead["reason"]
    assert await world.notes() == ["right"]
    assert not [line for line in said if line["event"] == names.RUN_INTERRUPTED]


async def test_a_server_that_lets_nobody_write_interrupts_as_one_that_is_gone(world: World) -> None:
    """As in a failover; what one transaction does to itself is its handler's, see above."""
    name = await world.conn.fetchval("select current_database()")
    handlers = await pool.create_pool(world.url, size=1, keep_session=True)
    async with handlers:
        scope = Scope(handlers, await world.tenant(), uuid4())
        for setting in ("on", "off"):
            await world.conn.execute(f"alter database {name} set default_transaction_read_only = {setting}")
            await handlers.expire_connections()
            scope.enter(None)
            connection = await scope.use()
            await connection.execute("set local transaction_read_only = on")
            with pytest.raises(asyncpg.ReadOnlySQLTransactionError) as refused:
                await connection.execute("create table public.refused (i int)")
            assert is_infrastructure(refused.value, scope) == (setting == "on")
            assert cut_short(refused.value, scope) == (setting == "on")
            await scope.rollback()
            # No later event meets a session that began when nobody could write.
            assert handlers.get_idle_size() == (0 if setting == "on" else 1)


async def test_an_event_that_is_dead_of_interruptions_says_what_the_last_one_was(world: World) -> None:
    app = Reactor()

    @app.on("deadly")
    async def deadly(event: Event[Any], ctx: Context) -> None:
        await enter(event, ctx)
        pid = await ctx.db.fetchval("select pg_backend_pid()")
        await world.conn.fetchval("select pg_terminate_backend($1)", pid)
        await ctx.db.fetchval("select pg_sleep(5)")

    await world.emit(await world.tenant(), "deadly")
    async with world.running(app, max_interruptions=2):
        await world.until("select count(*) = 1 from reactor.dead_events")
    (dead,) = await world.dead()
    assert (dead["attempts"], dead["interruptions"]) == (0, 2)
    last = dead["errors"][-1]["error"]
    assert dead["reason"] == f"interrupted 2 times, last: {last}"
    assert await world.notes() == []


async def test_a_session_that_ended_between_two_statements_is_named_as_the_reason(world: World) -> None:
    app = Reactor()

    @app.on("deadly")
    async def deadly(event: Event[Any], ctx: Context) -> None:
        pid = await ctx.db.fetchval("select pg_backend_pid()")
        await world.conn.fetchval("select pg_terminate_backend($1, 5000)", pid)
        # Until the driver has heard of it, too.
        for _ in range(20):
            await asyncio.sleep(0.01)
        await ctx.db.fetchval("select 1")

    await world.emit(await world.tenant(), "deadly")
    async with world.running(app, max_interruptions=1):
        await world.until("select count(*) = 1 from reactor.dead_events")
    (dead,) = await world.dead()
    assert (
        dead["reason"]
        == "interrupted once, last: the handler's session was ended, by the server or on the way to it"
    )


@pytest.mark.parametrize("kind", [asyncpg.InterfaceError, asyncpg.InternalClientError])
def test_what_the_driver_says_of_a_session_that_ended_is_no_reason_for_a_person(
    kind: type[Exception],
) -> None:
    reason = Interrupted.by(kind("cannot switch to state 12; another operation (2) is in progress"))
    assert str(reason) == "the handler's session was ended, by the server or on the way to it"
    assert Interrupted.by(reason) is reason
