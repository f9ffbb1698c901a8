"""SQLAlchemy in a handler: its session is in the tenant's transaction, and ends nothing but its own."""

import asyncio
import subprocess
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import asyncpg
import pytest
from sqlalchemy import delete, exc, func, insert, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from reactor import Context, Event, JobContext, Reactor
from reactor.engine.scoped_db import ScopedDb
from reactor.errors import ScopeBroken
from reactor.sqlalchemy import session
from reactor.testing import DatabaseClock, RecordedContext, connected, running
from tests.conftest import Server
from tests.engine.conftest import World
from tests.engine.orm import TABLES, WHOLE, Everything, Invoice, Line
from tests.engine.pgbouncer import PROGRAM, pgbouncer

Work = Callable[[Context], Awaitable[Any]]


@pytest.fixture
async def shop(world: World) -> World:
    await world.conn.execute(TABLES)
    return world


async def handle(shop: World, *work: Work, **settings: Any) -> UUID:
    """Each in the handler of an event of its own, one after the other, for one tenant."""
    app = Reactor()

    @app.on("work", max_attempts=1)
    async def handler(event: Event[Any], ctx: Context) -> None:
        await work[event.payload["n"]](ctx)

    tenant = await shop.tenant()
    for number in range(len(work)):
        await shop.emit(tenant, "work", {"n": number})
    await shop.drain(app, **settings)
    return tenant


async def handled(shop: World, *work: Work, **settings: Any) -> UUID:
    tenant = await handle(shop, *work, **settings)
    assert [dead["reason"] for dead in await shop.dead()] == []
    return tenant


async def failed(shop: World, *work: Work) -> str:
    """Why the one event that failed did."""
    await handle(shop, *work)
    (dead,) = await shop.dead()
    return str(dead["errors"]) + str(dead["reason"])


async def numbers(shop: World) -> list[str]:
    rows = await shop.conn.fetch("select number from public.invoices order by number")
    return [row["number"] for row in rows]


async def test_what_a_session_wrote_commits_with_the_acknowledgement(shop: World) -> None:
    app = Reactor()
    tenant = await shop.tenant()
    invoice = await shop.conn.fetchval(
        "insert into invoices (tenant_id, number) values ($1, 'one') returning id", tenant
    )

    @app.on("invoice.created")
    async def remind(event: Event[Any], ctx: Context) -> None:
        async with session(ctx) as db:
            found = await db.get_one(Invoice, event.subject_id)
            found.reminded_at = func.now()
            db.add(Line(invoice=found, what="a fee"))

    await shop.emit(tenant, "invoice.created", subject_id=invoice)
    await shop.drain(app)
    row = await shop.conn.fetchrow(
        "select i.reminded_at, l.what, l.tenant_id from invoices i join lines l on l.invoice_id = i.id"
    )
    assert row is not None
    assert row["reminded_at"] is not None
    assert (row["what"], row["tenant_id"]) == ("a fee", tenant)
    assert await shop.dead() == []


def test_nobody_imports_sqlalchemy_who_does_not_ask_for_it() -> None:
    said = (
        "import sys, reactor, reactor.cli, reactor.app, reactor.testing; print('sqlalchemy' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", said], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_without_sqlalchemy_the_import_says_what_to_install() -> None:
    said = "import sys; sys.modules['sqlalchemy'] = None; import reactor.sqlalchemy"
    done = subprocess.run([sys.executable, "-c", said], capture_output=True, text=True)
    assert "pip install 'reactor[sqlalchemy]'" in done.stderr.splitlines()[-1]


async def test_the_documented_handler_does_what_it_says(world: World) -> None:
    page = (Path(__file__).parents[2] / "docs" / "programming.md").read_text()
    code = page.partition("## SQLAlchemy")[2].partition("```python\n")[2].partition("```")[0]
    module = ModuleType("documented")
    # Annotations are looked up by the name of the module that a class is of.
    sys.modules[module.__name__] = module
    try:
        exec(code, module.__dict__)
    finally:
        del sys.modules[module.__name__]
    await world.conn.execute(
        "create table invoices (id uuid primary key, tenant_id uuid, total numeric(12, 2), "
        "reminded_at timestamptz); "
        "create table fees (id int generated always as identity, tenant_id uuid, invoice_id uuid, "
        "amount numeric); "
        "select reactor.protect('invoices'), reactor.protect('fees')"
    )
    tenant, invoice = await world.tenant(), UUID(int=5)
    await world.conn.execute("insert into invoices values ($1, $2, 250)", invoice, tenant)
    reminded: list[UUID | None] = []

    @module.app.on("invoice.reminded")
    async def note(event: Event[Any], ctx: Context) -> None:
        reminded.append(event.subject_id)

    await world.emit(tenant, "invoice.due", subject_id=invoice)
    await world.drain(module.app)
    assert reminded == [invoice]
    row = await world.conn.fetchrow("select i.reminded_at, f.tenant_id, f.amount from invoices i, fees f")
    assert row is not None
    assert row["reminded_at"] is not None
    assert (row["tenant_id"], row["amount"]) == (tenant, Decimal("2.50"))


async def test_nothing_of_a_session_is_kept_when_the_handler_fails_after_it(shop: World) -> None:
    async def work(ctx: Context) -> None:
        async with session(ctx) as db:
            db.add(Invoice(number="lost"))
            await db.commit()
        raise ValueError("too late")

    assert "too late" in await failed(shop, work)
    assert await numbers(shop) == []


async def test_a_session_and_ctx_db_see_each_others_writes(shop: World) -> None:
    seen: list[Any] = []

    async def work(ctx: Context) -> None:
        await ctx.db.execute("insert into invoices (number) values ('one')")
        async with session(ctx) as db:
            seen.append(await db.scalar(select(func.count()).select_from(Invoice)))
            db.add(Invoice(number="two"))
            await db.flush()
            seen.append(await ctx.db.fetchval("select count(*) from invoices"))
            await ctx.db.execute("insert into invoices (number) values ('three')")
            seen.append((await db.scalars(select(Invoice.number).order_by(Invoice.number))).all())
            seen.append(await db.scalar(text("select pg_current_xact_id()::text")))
        seen.append(await ctx.db.fetchval("select pg_current_xact_id()::text"))

    await handled(shop, work)
    assert seen[:3] == [1, 2, ["one", "three", "two"]]
    assert seen[3] == seen[4]


async def test_a_session_is_the_tenants_and_its_role_is_a_handlers(shop: World) -> None:
    other = await shop.tenant("other")
    await shop.conn.execute("insert into invoices (tenant_id, number) values ($1, 'theirs')", other)
    seen: list[Any] = []

    async def work(ctx: Context) -> None:
        async with session(ctx) as db:
            seen.append(await db.scalar(text("select current_user::text")))
            seen.append((await db.scalars(select(Invoice))).all())
            seen.append((await db.execute(update(Invoice).values(number="mine"))).rowcount)
            with pytest.raises(exc.ProgrammingError, match="row-level security"):
                async with db.begin_nested():
                    await db.execute(insert(Invoice).values(number="x", tenant_id=other))

    await handled(shop, work)
    assert seen == ["reactor_handler", [], 0]
    assert await numbers(shop) == ["theirs"]


async def test_commit_keeps_and_rollback_undoes_what_the_session_did_since(shop: World) -> None:
    async def work(ctx: Context) -> None:
        await ctx.db.execute("insert into invoices (number) values ('0 before')")
        async with session(ctx) as db:
            db.add(Invoice(number="1 kept"))
            await db.commit()
            db.add(Invoice(number="2 undone"))
            await db.flush()
            await db.rollback()
            async with db.begin_nested():
                db.add(Invoice(number="3 nested"))
            with suppress(ZeroDivisionError):
                async with db.begin_nested():
                    db.add(Invoice(number="4 nested and undone"))
                    await db.flush()
                    raise ZeroDivisionError
            db.add(Invoice(number="5 at the end"))
        with suppress(ZeroDivisionError):
            async with session(ctx) as db:
                db.add(Invoice(number="6 left by an exception"))
                await db.flush()
                raise ZeroDivisionError
        async with session(ctx) as db, db.begin():
            db.add(Invoice(number="7 begun by hand"))

    await handled(shop, work)
    assert await numbers(shop) == ["0 before", "1 kept", "3 nested", "5 at the end", "7 begun by hand"]


async def test_the_next_event_is_not_touched_by_one_whose_session_failed(shop: World) -> None:
    async def good(ctx: Context) -> None:
        async with session(ctx) as db:
            db.add(Invoice(number=str(ctx.events[0].id)))

    async def bad(ctx: Context) -> None:
        async with session(ctx) as db:
            db.add_all([Invoice(number="twice"), Invoice(number="twice")])

    tenant = await handle(shop, good, bad, good)
    assert len(await numbers(shop)) == 2
    (dead,) = await shop.dead()
    assert "IntegrityError" in dead["reason"]
    assert dead["tenant_id"] == tenant


async def test_errors_are_sqlalchemys_and_keep_the_parameters_to_themselves(shop: World) -> None:
    async def caught(ctx: Context) -> None:
        async with session(ctx) as db:
            db.add(Invoice(number="x"))
            await db.commit()
            with pytest.raises(exc.IntegrityError) as error:
                async with db.begin_nested():
                    db.add(Invoice(number="x"))
            assert isinstance(error.value.orig.__cause__, asyncpg.UniqueViolationError)
            with pytest.raises(exc.NoResultFound):
                await db.get_one(Invoice, UUID(int=0))
            assert (await db.execute(delete(Line))).rowcount == 0

    async def fails(ctx: Context) -> None:
        async with session(ctx) as db:
            await db.execute(
                text("select 1 / :nothing - length(:secret)"), {"nothing": 0, "secret": "hunter2"}
            )

    why = await failed(shop, caught, fails)
    assert "DBAPIError" in why
    assert "division by zero" in why
    assert "hunter2" not in why
    assert await numbers(shop) == ["x"]


@pytest.mark.parametrize(
    "statement",
    [
        "commit",
        "rollback",
        "set role postgres",
        "select set_config('reactor.tenant_id', :id, true)",
        "prepare p as select 1",
    ],
)
async def test_what_ctx_db_may_not_run_a_session_may_not_either(shop: World, statement: str) -> None:
    async def work(ctx: Context) -> None:
        async with session(ctx) as db:
            await db.execute(text(statement), {"id": "x"} if ":id" in statement else {})

    why = await failed(shop, work)
    assert "may not run" in why
    assert "ScopeBroken" in why


@pytest.mark.parametrize(
    "options",
    [{"isolation_level": "SERIALIZABLE"}, {"isolation_level": "AUTOCOMMIT"}, {"postgresql_readonly": True}],
    ids=str,
)
async def test_the_transactions_options_are_not_the_sessions(shop: World, options: dict[str, Any]) -> None:
    async def work(ctx: Context) -> None:
        async with session(ctx) as db:
            await db.connection(execution_options=options)
            await db.execute(text("select 1"))

    assert "no isolation level" in await failed(shop, work)


async def test_a_session_that_is_left_open_fails_the_handler_by_name(shop: World) -> None:
    async def work(ctx: Context) -> None:
        db = await session(ctx).__aenter__()
        db.add(Invoice(number="never flushed"))

    assert "left 1 session(ctx) open" in await failed(shop, work)


async def test_a_checkpoint_inside_a_session_is_refused(shop: World) -> None:
    async def work(ctx: Context) -> None:
        async with session(ctx) as db:
            db.add(Invoice(number="x"))
            await db.commit()
            await ctx.checkpoint()

    assert "called ctx.checkpoint() inside session(ctx)" in await failed(shop, work)
    assert await numbers(shop) == []


async def test_a_checkpoint_between_two_sessions_keeps_the_first(shop: World) -> None:
    async def work(ctx: Context) -> None:
        async with session(ctx) as db:
            db.add(Invoice(number="first"))
        await ctx.checkpoint()
        async with session(ctx) as db:
            db.add(Invoice(number="second"))
        raise ValueError("after it")

    assert "after it" in await failed(shop, work)
    assert await numbers(shop) == ["first"]


async def test_a_call_of_the_session_that_nobody_awaits_fails_the_handler(shop: World) -> None:
    await handled(shop, lambda ctx: ctx.db.execute("insert into invoices (number) values ('stays')"))

    async def work(ctx: Context) -> None:
        async with session(ctx) as db:
            (found,) = (await db.scalars(select(Invoice))).all() or [Invoice(number="x")]
            db.delete(found)  # the classic one: it must be awaited

    assert "did not await session.delete()" in await failed(shop, work)


@pytest.mark.parametrize("then", ["asks", "leaves", "fails"])
async def test_a_session_is_refused_once_the_handler_returned(shop: World, then: str) -> None:
    late: list[BaseException | None] = []
    may_go = asyncio.Event()

    async def behind(ctx: Context, inside: asyncio.Event) -> None:
        try:
            async with session(ctx) as db:
                await db.execute(insert(Invoice).values(number="in time"))
                inside.set()
                await may_go.wait()
                if then == "asks":
                    await db.execute(insert(Invoice).values(number="late"))
                elif then == "fails":
                    raise ValueError("late")
        except (ScopeBroken, ValueError) as error:
            late.append(error)

    tasks = []

    async def leaves(ctx: Context) -> None:
        inside = asyncio.Event()
        tasks.append(asyncio.create_task(behind(ctx, inside)))
        await inside.wait()

    async def next_one(ctx: Context) -> None:
        async with session(ctx) as db:
            db.add(Invoice(number="next"))
            await db.flush()
            may_go.set()
            await asyncio.wait(tasks)

    assert "left 1 session(ctx) open" in await failed(shop, leaves, next_one)
    (said,) = late
    assert ("after it returned" in str(said)) == (then != "fails")
    assert (str(said) == "late") == (then == "fails")
    assert await numbers(shop) == ["next"]


async def test_a_wait_that_was_cancelled_undoes_the_session_and_nothing_else(shop: World) -> None:
    async def work(ctx: Context) -> None:
        await ctx.db.execute("insert into invoices (number) values ('before')")
        with suppress(TimeoutError):
            async with asyncio.timeout(0.2), session(ctx) as db:
                db.add(Invoice(number="cut"))
                await db.flush()
                await db.execute(text("select pg_sleep(600)"))
        async with session(ctx) as db:
            db.add(Invoice(number="cut within"))
            await db.flush()
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2):
                    await db.execute(text("select pg_sleep(600)"))
            await db.rollback()
            db.add(Invoice(number="goes on"))
        await ctx.db.execute("insert into invoices (number) values ('last')")

    await handled(shop, work)
    assert await numbers(shop) == ["before", "goes on", "last"]


async def test_blocks_that_do_not_nest_are_refused(shop: World) -> None:
    async def work(ctx: Context) -> None:
        async with session(ctx) as db:
            db.add(Invoice(number="x"))
            await db.flush()
            async with ctx.db.transaction():
                await db.commit()

    assert "in another block than it began in" in await failed(shop, work)
    assert await numbers(shop) == []


async def test_a_lost_connection_is_an_interruption(shop: World) -> None:
    app = Reactor()
    tries: list[int] = []

    @app.on("work", max_attempts=1)
    async def work(event: Event[Any], ctx: Context) -> None:
        tries.append(event.interruptions)
        async with session(ctx) as db:
            db.add(Invoice(number=f"try {len(tries)}"))
            await db.flush()
            if len(tries) == 1:
                pid = await db.scalar(text("select pg_backend_pid()"))
                await shop.conn.execute("select pg_terminate_backend($1)", pid)
                await db.execute(text("select 1"))

    await shop.emit(await shop.tenant(), "work")
    await shop.drain(app)
    assert tries == [0, 1]
    assert await numbers(shop) == ["try 2"]
    assert await shop.dead() == []


async def test_a_connection_that_is_cut_under_a_session_is_an_interruption(shop: World) -> None:
    """As it is when it fell silent: then the scope has it no more, and only the error tells."""
    app = Reactor()
    tries: list[int] = []

    async def cut(ctx: Context) -> None:
        assert isinstance(ctx.db, ScopedDb)
        await shop.until("select exists (select from pg_stat_activity where query ~ '^select pg_sleep')")
        # What the watch over silent connections goes by.
        assert ctx.db.scope.asked_at > 0
        ctx.db.scope.terminate()

    @app.on("work", max_attempts=1)
    async def work(event: Event[Any], ctx: Context) -> None:
        tries.append(event.interruptions)
        async with session(ctx) as db:
            db.add(Invoice(number=f"try {len(tries)}"))
            await db.flush()
            if len(tries) == 1:
                cutting = asyncio.create_task(cut(ctx))
                try:
                    await db.execute(text("select pg_sleep(600)"))
                finally:
                    await cutting

    await shop.emit(await shop.tenant(), "work")
    await shop.drain(app)
    assert tries == [0, 1]
    assert await numbers(shop) == ["try 2"]
    assert await shop.dead() == []


async def test_every_type_comes_back_as_it_was_written(shop: World) -> None:
    async def work(ctx: Context) -> None:
        async with session(ctx) as db:
            db.add(Everything(**WHOLE))
        async with session(ctx) as db:
            (row,) = (await db.scalars(select(Everything))).all()
            assert {name: getattr(row, name) for name in WHOLE} == WHOLE
            found = await db.scalars(
                select(Everything.data["deep"]["list"][0]["n"].as_integer()).where(
                    Everything.data == WHOLE["data"], Everything.doc["a"][3].as_string() == "x"
                )
            )
            assert found.all() == [1]
            row.data = None
            row.doc = "a string"
        rows = await ctx.db.fetch("select data, data is null as no_data, doc, documents from everything")
        # JSON null, as SQLAlchemy writes None, and as ctx.db reads it.
        assert [tuple(row) for row in rows] == [(None, False, "a string", WHOLE["documents"])]
        async with session(ctx) as db:
            raw = await db.execute(
                text("update everything set data = :data returning data, doc"), {"data": '{"raw": [1]}'}
            )
            assert [tuple(each) for each in raw] == [({"raw": [1]}, "a string")]

    await handled(shop, work)
    assert await shop.conn.fetchval("select data ->> 'raw' from everything") == "[1]"


async def test_bulk_returning_locks_streams_and_no_rows(shop: World) -> None:
    async def work(ctx: Context) -> None:
        async with session(ctx) as db:
            ids = await db.scalars(
                insert(Invoice).returning(Invoice.id, sort_by_parameter_order=True),
                [{"number": f"{n:04}", "total": n} for n in range(1200)],
            )
            assert len(set(ids.all())) == 1200
            await db.execute(
                insert(Everything), [{"data": {"n": n}, "doc": None, "documents": []} for n in range(20)]
            )
            conn = await db.connection()
            await conn.execute(
                text("insert into everything (data) values (:data)"),
                [{"data": '{"n": 20}'}, {"data": "null"}],
            )
            locked = await db.scalars(select(Invoice).where(Invoice.number == "0007").with_for_update())
            locked.one().total += 1
            streamed = 0
            async for invoice in await db.stream_scalars(select(Invoice).execution_options(yield_per=300)):
                streamed += invoice.total >= 0
            assert streamed == 1200
            nothing = await db.execute(select(Invoice.number, Invoice.total).where(Invoice.number == "none"))
            assert list(nothing.keys()) == ["number", "total"]
            assert nothing.all() == []
            assert (await db.execute(text("create temporary table if not exists t ()"))).returns_rows is False

    await handled(shop, work)
    assert await shop.conn.fetchval("select sum(total) from invoices") == 1199 * 1200 // 2 + 1
    assert await shop.conn.fetchval("select sum((data ->> 'n')::int) from everything") == 210


async def test_nothing_stays_on_the_connection(shop: World) -> None:
    async def work(ctx: Context) -> None:
        async with session(ctx) as db:
            db.add(Everything(**WHOLE))
            await db.flush()
            await db.execute(text("select 'found by others'"))
            # A simple query: before each other one the driver closes statements that nobody has any more.
            await ctx.db.execute(
                "do $$ begin if exists (select from pg_prepared_statements where statement ~ 'others') "
                "then raise 'a statement is kept'; end if; end $$"
            )

    found: list[Any] = []

    async def looks(ctx: Context) -> None:
        found.append(
            await ctx.db.fetchval(
                "select array_agg(statement) from pg_prepared_statements "
                "where statement ~ 'others|everything' and statement !~ 'pg_prepared_statements'"
            )
        )
        found.append(await ctx.db.fetchval("""select '{"a": 1}'::jsonb"""))
        found.append(await ctx.db.fetchval("select $1::jsonb", "text"))

    await handled(shop, work, looks, concurrency=1)
    assert found == [None, {"a": 1}, "text"]


@pytest.mark.skipif(PROGRAM is None, reason="no pgbouncer here; Debian: apt-get install pgbouncer")
async def test_sessions_share_a_transaction_poolers_connections(shop: World, server: Server) -> None:
    app = Reactor()

    @app.on("work", max_attempts=1)
    async def work(event: Event[Any], ctx: Context) -> None:
        async with session(ctx) as db:
            db.add(Everything(**WHOLE))
            db.add(Invoice(number=str(event.id), lines=[Line(what="a"), Line(what="b")]))
            await db.commit()
            found = await db.scalars(select(Invoice.number).where(Invoice.number == str(event.id)))
            assert found.one() == str(event.id)
            assert len((await db.scalars(select(Everything).limit(1))).all()) == 1
            async for line in await db.stream_scalars(select(Line)):
                assert line.what in "ab"

    for _ in range(6):
        await shop.flood(await shop.tenant(), "work", 15)
    async with pgbouncer(server, "transaction") as port:
        through = f"postgresql://postgres@127.0.0.1:{port}{urlsplit(shop.url).path}"
        async with running(app, through, listen_url=shop.url, pooler="auto", concurrency=4):
            await shop.until("select not exists (select from reactor.events)", within=40)
        async with connected(through, pooler="transaction") as session_of_the_pool:
            kept = await session_of_the_pool.fetch(
                "select statement from pg_prepared_statements where statement ~ 'invoices'"
            )
    assert kept == []
    assert [dead["reason"] for dead in await shop.dead()] == []
    assert await shop.count("reactor.history where attempts + interruptions > 0") == 0
    assert await shop.count("public.lines") == 180


async def test_a_session_costs_no_round_trip_but_its_own(shop: World) -> None:
    """Of a session's own: a savepoint, two for each statement, and the end of the savepoint."""
    asked: list[str] = []

    async def work(ctx: Context) -> None:
        assert isinstance(ctx.db, ScopedDb)
        connection = await ctx.db.lend("select 1")

        def note(record: Any) -> None:
            asked.append(record.query)

        connection.add_query_logger(note)
        async with session(ctx) as db:
            await db.scalar(text("select 42"))
        connection.remove_query_logger(note)

    await handled(shop, work)
    assert asked == ["savepoint reactor_session_1_1", "release savepoint reactor_session_1_1"]


async def test_a_periodic_job_has_sessions_too(shop: World) -> None:
    app = Reactor()

    @app.every("1h")
    async def job(ctx: JobContext) -> None:
        tenant = await ctx.db.fetchval("select id from public.tenants")
        async with session(ctx) as db:
            db.add(Invoice(number="kept", tenant_id=tenant))
            await db.commit()
            db.add(Invoice(number="undone", tenant_id=tenant))
            await db.flush()
            await db.rollback()

    await shop.tenant()
    await shop.conn.execute("grant all on invoices to reactor")
    await shop.drain(app)
    await DatabaseClock(shop.conn).advance(timedelta(hours=1))
    await shop.drain(app)
    assert await numbers(shop) == ["kept"]


async def test_a_recorded_context_lends_the_tests_connection(shop: World) -> None:
    tenant = await shop.tenant()
    await shop.conn.execute("select set_config('reactor.tenant_id', $1, false)", str(tenant))
    ctx = RecordedContext(tenant_id=tenant, db=shop.conn)
    async with session(ctx) as db:
        db.add(Everything(**WHOLE))
        db.add(Invoice(number="tested", tenant_id=tenant))
        with pytest.raises(exc.IntegrityError):
            async with db.begin_nested():
                db.add(Invoice(number="tested", tenant_id=tenant))
    assert await numbers(shop) == ["tested"]
    assert await shop.conn.fetchval("select data from everything") == WHOLE["data"]


async def test_an_applications_own_class_of_session_is_taken(shop: World) -> None:
    class Own(AsyncSession):
        async def add_numbered(self, number: str) -> None:
            self.add(Invoice(number=number))
            await self.flush()

    async def work(ctx: Context) -> None:
        async with session(ctx, class_=Own, autoflush=False) as db:
            assert isinstance(db, Own)
            await db.add_numbered("own")

    await handled(shop, work)
    assert await numbers(shop) == ["own"]
