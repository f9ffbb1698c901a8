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
        ("set local reactor.tenant_id = '{theirs}'; update public.ledger set note = 'x'", "may not run"),
        ("select set_config('reactor.tenant_id', '{theirs}', true)", "may not run"),
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


@pytest.mark.parametrize(
    "way",
    [
        "do $$ begin set local role none; end $$",
        "do $$ begin execute 'set local role ' || 'none'; end $$",
        "do $$ begin reset role; end $$",
        # Not before the end of the transaction, or its checkpoint.
        "insert into public.late values (current_setting('reactor.tenant_id')::uuid)",
    ],
    ids=["set role", "execute", "reset", "a deferred trigger"],
)
@pytest.mark.parametrize("checks_in", [False, True], ids=["acknowledged", "checkpoint"])
async def test_a_handler_that_gave_up_its_role_unseen_commits_nothing(
    world: World, way: str, checks_in: bool
) -> None:
    """As the replica, it would go on with rights that no handler has."""
    await world.conn.execute("""
        create table public.late (tenant_id uuid);
        select reactor.protect('public.late');
        create function public.become() returns trigger language plpgsql as $$ begin
            set local role none;
            return null;
        end $$;
        create constraint trigger late after insert on public.late deferrable initially deferred
            for each row execute function public.become();
    """)
    app = Reactor()

    @app.on("becomes", max_attempts=1)
    async def becomes(event: Event[Any], ctx: Context) -> None:
        await enter(event, ctx)
        await ctx.db.execute(way)
        if checks_in:
            await ctx.checkpoint()

    @app.on("stays")
    async def stays(event: Event[Any], ctx: Context) -> None:
        await enter(event, ctx)
        assert await ctx.db.fetchval("select current_user::text") == "reactor_handler"

    tenant = await world.tenant()
    for kind in ("stays", "becomes", "stays"):
        await world.emit(tenant, kind)
    await world.drain(app)
    assert sorted(await world.notes()) == ["stays", "stays"]
    (dead,) = await world.dead()
    assert dead["event_type"] == "becomes"
    assert "gave up its role" in dead["reason"]


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


@pytest.mark.parametrize("kind", ["uuid", "timestamptz", "jsonb", "text", "float8"])
async def test_a_type_of_a_handlers_own_is_used_neither_with_the_owners_rights_nor_by_the_next_tenant(
    world: World, kind: str
) -> None:
    """On an empty search path a temporary type comes first, and a domain's check is code of its maker's."""
    app = Reactor()
    mine, theirs = await world.tenant("mine"), await world.tenant("theirs")

    @app.on("trap", max_attempts=1)
    async def trap(event: Event[Any], ctx: Context) -> None:
        await enter(event, ctx)
        await ctx.db.execute(
            "create function pg_temp.spy() returns boolean language plpgsql as $$ begin "
            "if current_user <> 'reactor_handler' then insert into public.agent_alerts "
            "(tenant_id, alert_type, severity, message) "
            f"values ('{theirs}', 'x', 'info', current_user::varchar); "
            "end if; return true; end $$; "
            f"create domain pg_temp.{kind} as pg_catalog.{kind} check (pg_temp.spy())"
        )
        ctx.run.executed += 1
        if event.payload["fails"]:
            raise ValueError("no")

    @app.on("work", max_attempts=1)
    async def work(event: Event[Any], ctx: Context) -> None:
        await ctx.db.execute("select reactor.emit($1, 'more')", ctx.tenant_id)
        await enter(event, ctx)

    @app.on("more")
    async def more(event: Event[Any], ctx: Context) -> None:
        await enter(event, ctx)

    async with world.running(app, concurrency=1):
        for fails in (True, False):
            await world.emit(mine, "trap", {"fails": fails})
        await world.until("select count(*) = 1 from public.ledger")
        for _ in range(2):
            await world.emit(theirs, "work")
        await world.until("select count(*) = 5 from public.ledger")
    assert await world.count("public.agent_alerts where alert_type = 'x'") == 0
    assert await world.notes(mine) == ["trap"]
    assert sorted(await world.notes(theirs)) == ["more", "more", "work", "work"]
