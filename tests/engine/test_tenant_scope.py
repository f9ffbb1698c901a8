"""A handler sees and changes the rows of its own tenant only, and fails loudly without one."""

from typing import Any

import asyncpg
import pytest

from reactor import Context, Event, Reactor
from tests.engine.conftest import World, enter


async def test_a_handler_sees_and_changes_nothing_of_another_tenant(world: World) -> None:
    app = Reactor()
    mine, theirs = await world.tenant("mine"), await world.tenant("theirs")
    for tenant, name in ((mine, "my client"), (theirs, "their client")):
        await world.conn.execute(
            "insert into public.clients (tenant_id, company_name) values ($1, $2)", tenant, name
        )
    seen: dict[str, Any] = {}

    @app.on("reach")
    async def reach(event: Event[Any], ctx: Context) -> None:
        seen["role"] = await ctx.db.fetchval("select current_user::text")
        seen["clients"] = await ctx.db.fetchval("select array_agg(company_name) from clients")
        seen["tenants"] = await ctx.db.fetchval("select array_agg(name) from tenants")
        seen["updated"] = await ctx.db.execute(
            "update clients set company_name = 'x' where tenant_id = $1", theirs
        )
        seen["deleted"] = await ctx.db.execute("delete from clients where tenant_id = $1", theirs)
        seen["moved"] = "no"
        try:
            async with ctx.db.transaction():
                await ctx.db.execute("update clients set tenant_id = $1", theirs)
            seen["moved"] = "yes"
        except asyncpg.InsufficientPrivilegeError as error:
            seen["moved"] = str(error)
        await enter(event, ctx)

    await world.emit(mine, "reach")
    await world.drain(app)
    assert seen["role"] == "reactor_handler"
    assert seen["clients"] == ["my client"]
    assert seen["tenants"] == ["mine"]
    assert (seen["updated"], seen["deleted"]) == ("UPDATE 0", "DELETE 0")
    assert "row-level security" in seen["moved"]
    names = await world.conn.fetch("select company_name from public.clients order by 1")
    assert [row["company_name"] for row in names] == ["my client", "their client"]


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        ("insert into ledger (tenant_id, note) values ('{theirs}', 'x')", "row-level security"),
        ("select reactor.emit('{theirs}', 'x')", "its own tenant only"),
        ("select * from reactor.events", "permission denied"),
        ("delete from reactor.history", "permission denied"),
        (
            "select reactor.settle('{{}}', '{{}}', '{{}}', '{{}}', null, null, 1, '1s', '{{}}')",
            "permission denied",
        ),
        ("create table public.mine (a int)", "permission denied"),
        ("alter table public.ledger disable row level security", "must be owner"),
    ],
)
async def test_what_a_handler_may_not_do_is_a_clear_error(world: World, statement: str, told: str) -> None:
    app = Reactor()
    theirs = await world.tenant("theirs")
    text = statement.format(theirs=theirs)

    @app.on("reach", max_attempts=1)
    async def reach(event: Event[Any], ctx: Context) -> None:
        await enter(event, ctx)
        await ctx.db.execute(text)

    await world.emit(await world.tenant(), "reach")
    await world.drain(app)
    (dead,) = await world.dead()
    assert told in dead["reason"]
    assert await world.notes() == []


async def test_without_a_tenant_there_is_an_error_and_not_an_empty_result(world: World) -> None:
    await world.conn.execute("insert into public.ledger (tenant_id) values ($1)", await world.tenant())
    for setting in ("", "reset reactor.tenant_id; ", "set local reactor.tenant_id = ''; "):
        for statement in ("select * from public.ledger", "update public.ledger set note = 'x'"):
            with pytest.raises(asyncpg.PostgresError) as refused:
                await world.conn.execute(f"begin; set local role reactor_handler; {setting}{statement}")
            assert refused.value.sqlstate == "RX002"
            await world.conn.execute("rollback")


async def test_the_scope_of_one_run_leaks_into_no_other(world: World) -> None:
    """One connection, several tenants one after the other, and a handler that sets things."""
    app = Reactor()
    seen: list[tuple[Any, Any, str]] = []

    @app.on("work")
    async def work(event: Event[Any], ctx: Context) -> None:
        before = await ctx.db.fetchval("select current_setting('my.note', true)")
        await ctx.db.execute("set my.note = 'left behind'")
        await ctx.db.execute("set search_path = pg_catalog")
        seen.append((before, ctx.tenant_id, await ctx.db.fetchval("select reactor.current_tenant()::text")))

    for _ in range(4):
        await world.emit(await world.tenant(), "work")
    await world.drain(app, concurrency=1)
    assert len(seen) == 4
    assert all(not before and str(tenant) == set_to for before, tenant, set_to in seen)
