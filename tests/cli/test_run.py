"""``reactor run``: as a process of its own, and as a role that is merely a member of ``reactor``."""

import asyncio
import signal
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from reactor.cli.run import load_app
from reactor.errors import SettingError
from tests.operators import Cli, as_role
from tests.processes import replica

SHOP = """
import asyncio
from reactor import Reactor

app = Reactor()

@app.on("invoice.created")
async def remind(event, ctx):
    await ctx.db.execute("update public.invoices set reminded = true where id = $1", event.subject_id)

@app.on("slow")
async def slow(event, ctx):
    await ctx.db.execute("insert into public.invoices (tenant_id, total) values ($1, 1)", ctx.tenant_id)
    ctx.log.info("slow_began")
    await asyncio.sleep(1.5)
"""

INVOICES = """
    create table public.invoices (
        id uuid primary key default gen_random_uuid(), tenant_id uuid not null references public.tenants,
        total numeric, reminded boolean not null default false);
    select reactor.protect('public.invoices');
    select reactor.watch('public.invoices', 'invoice.created');
"""


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    (tmp_path / "shop.py").write_text(SHOP)
    return tmp_path


async def until(conn, query: str) -> None:
    async with asyncio.timeout(30):
        while not await conn.fetchval(query):
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("with_signal", [signal.SIGTERM, signal.SIGINT])
async def test_a_least_privileged_role_handles_events_and_a_signal_ends_it_with_0(
    shop, conn, operator_url, with_signal
):
    await conn.execute(INVOICES)
    tenant = await conn.fetchval("insert into public.tenants (name) values ('Acme') returning id")
    async with replica(shop, operator_url, "--app", "shop:app") as running:
        await running.says("replica_started")
        await conn.execute("insert into public.invoices (tenant_id, total) values ($1, 10)", tenant)
        await until(conn, "select reminded from public.invoices")
        await until(conn, "select outcome = 'handled' from reactor.history")
        assert await running.end(with_signal) == 0
    assert running.events[-1] == "replica_stopped"
    (started,) = running.about("replica_started")
    assert "invoice.created" in started["handles"]
    assert await conn.fetchval("select count(*) from public.agent_tenant_locks") == 0
    assert await conn.fetchval("select count(*) from reactor.replicas") == 0


async def test_what_is_in_flight_at_the_signal_is_finished(shop, conn, operator_url):
    await conn.execute(INVOICES)
    tenant = await conn.fetchval("insert into public.tenants (name) values ('Acme') returning id")
    async with replica(shop, operator_url, "--app", "shop:app") as running:
        await running.says("replica_started")
        event = await conn.fetchval("select reactor.emit($1, 'slow')", tenant)
        await running.says("slow_began")
        assert await running.end(signal.SIGTERM) == 0
    assert await conn.fetchval("select outcome from reactor.history where id = $1", event) == "handled"
    assert await conn.fetchval("select count(*) from public.invoices") == 1


async def test_the_built_in_app_runs_as_that_role_and_judges_an_order(tmp_path, conn, operator_url):
    tenant = await conn.fetchval(
        "insert into public.tenants (name, agent_enabled) values ('Acme', true) returning id"
    )
    await conn.execute("select reactor.set_kill_switch(false)")
    async with replica(tmp_path, operator_url) as running:
        await running.says("replica_started")
        order = await conn.fetchval(
            "insert into public.orders (tenant_id, fee_amount, total_amount, property_address, "
            "borrower_email) values ($1, 100, 100, '1 Main St', 'b@example.com') returning id",
            tenant,
        )
        await conn.execute(
            "insert into public.order_processing_queue (tenant_id, order_id) values ($1, $2)", tenant, order
        )
        await until(conn, "select status = 'validated' from public.order_processing_queue")
        assert await running.end(signal.SIGTERM) == 0


async def test_a_password_never_shows_in_the_log(shop, operator_url):
    async with replica(shop, operator_url, "--app", "shop:app", REACTOR_LOG_LEVEL="debug") as running:
        await running.says("replica_started")
        assert await running.end(signal.SIGTERM) == 0
    assert "for-tests-only" in operator_url
    assert "for-tests-only" not in "\n".join(running.lines)


@pytest.mark.parametrize(
    ("path", "source", "complaint", "hint"),
    [
        ("shop", SHOP, "'shop' names no app", "module:attribute"),
        ("shop:", SHOP, "'shop:' names no app", "module:attribute"),
        ("nowhere:app", SHOP, "there is no module nowhere", "was looked for in"),
        ("shop_a.sub:app", SHOP, "there is no module shop_a", "was looked for in"),
        ("shop_b:application", SHOP, "module shop_b has no application", "it has shop_b:app"),
        ("shop_z:app", "apps = []", "module shop_z has no app", "an app is a Reactor()"),
        ("shop_c:remind", SHOP, "shop_c:remind is no Reactor, but of type function", "it has shop_c:app"),
        ("shop_d:app", "import not_installed", "No module named 'not_installed'", "install it"),
        ("shop_e:app", "x = 1\n1 / 0", "ZeroDivisionError: division by zero", None),
        ("shop_f:app", "def (", "SyntaxError", None),
    ],
)
def test_an_app_that_cannot_be_loaded_is_named_with_what_is_wrong(
    clean, tmp_path, monkeypatch, path, source, complaint, hint
):
    monkeypatch.setattr(sys, "path", [*sys.path])
    module = path.partition(":")[0]
    if module not in ("nowhere", "shop_a.sub"):
        (tmp_path / f"{module}.py").write_text(source)
    with pytest.raises(SettingError) as refused:
        load_app(path)
    assert complaint in refused.value.message
    assert refused.value.exit_code == 2
    if hint is None:
        assert f"{module}.py, line {source.count(chr(10)) + 1})" in refused.value.message
    else:
        assert hint in (refused.value.hint or "")


@pytest.mark.parametrize(
    ("path", "right"),
    [
        ("./shop.py:app", "shop:app"),
        ("shop.py:app", "shop:app"),
        ("src/shop/events.py:main.app", "src.shop.events:main.app"),
        ("shop/__init__.py:app", "shop:app"),
        ("./shop:app", "shop:app"),
        ("/elsewhere/shop.py:app", "shop:app"),
    ],
)
def test_who_names_the_apps_file_is_told_its_module(clean, path, right):
    with pytest.raises(SettingError, match="names a file") as refused:
        load_app(path)
    assert refused.value.hint == f"write --app {right}"


@pytest.mark.parametrize(
    ("name", "registers", "complaint", "hint"),
    [
        ("sync", '@app.on("x")\ndef f(e, c): ...', "sync.f is not async", "async def"),
        ("number", 'app.on("x", timeout=30)', "timeout of x: 30 is no duration", "30s, 5m"),
        ("endless", 'app.on("x", timeout="9e9d")', "timeout of x: '9e9d' is no duration", "30s, 5m"),
        ("never", 'app.every("99999999999d")', "interval of a periodic job: '99999999999d' is long", "30s"),
        ("bare", "@app.on\nasync def f(e, c): ...", "an event type is text, not <function f", '@app.on("'),
        ("long", "app.on('x' * 201)", "1 to 200 characters, 'xxxxxxxxxxxxxxxxxxxx…' has 201", "payload"),
        (
            "narrow",
            '@app.on("x")\nasync def f(e): ...',
            "narrow.f takes (e), but is called",
            "f(event, ctx)`",
        ),
        ("wide", '@app.on("x", batch=2)\nasync def f(a, b, c): ...', "takes (a, b, c)", "f(events, ctx)`"),
        (
            "job",
            '@app.every("1h")\nasync def f(): ...',
            "job.f takes (), but is called with (ctx)",
            "f(ctx)`",
        ),
        ("layer", "@app.middleware\ndef f(e, c, n): ...", "layer.f is not async", "async def"),
        (
            "thin",
            "@app.middleware\nasync def f(e, c): ...",
            "thin.f takes (e, c)",
            "(events, ctx, call_next)",
        ),
        ("model", 'app.on("x", model=int)', "model of x is a class that extends", "plain JSON"),
        ("mapping", 'app.on("x", model={"a": int})', "not {'a': <class 'int'>}", "plain JSON"),
        ("first", 'app.on("x", priority="a")', "priority of x is a whole number, not 'a'", "leave it out"),
        ("many", 'app.on("x", batch="5")', "batch of x is a whole number, not '5'", "leave it out"),
        ("none", 'app.on("x", batch=0)', "batch of x must be at least 1, not 0", "leave it out"),
        (
            "mixed",
            'app.on("x", name="a")(f)\napp.on("x", name="b", gated=True)(f)',
            "b is, a is not",
            "give b gated=False",
        ),
    ],
)
def test_what_an_app_registers_in_vain_is_named_with_the_users_line_and_what_to_do(
    clean, tmp_path, monkeypatch, name, registers, complaint, hint
):
    monkeypatch.setattr(sys, "path", [*sys.path])
    lines = ["from reactor import Reactor", "app = Reactor()", "async def f(event, ctx): ...", registers]
    (tmp_path / f"{name}.py").write_text("\n".join(lines))
    with pytest.raises(SettingError) as refused:
        load_app(f"{name}:app")
    assert complaint in refused.value.message
    line = 5 if name == "mixed" else 4
    assert f"({tmp_path}/{name}.py, line {line})" in refused.value.message
    assert hint in (refused.value.hint or "")


def test_the_built_in_app_loads_by_name():
    assert "order.queued" in load_app("reactor.builtin:app").handlers.by_type


def test_run_exits_as_its_trouble_says(cli: Cli, empty_database_url, database_url):
    assert cli("run", "--app", "nowhere:app").code == 2
    assert cli("run", url="postgresql://u:hunter2@127.0.0.1:1/d").code == 3
    said = cli("run", url=empty_database_url)
    assert (said.code, "run `reactor migrate`" in said.err) == (3, True)
    assert cli("run", url=database_url, env={"REACTOR_BATCH_SIZE": "0"}).code == 2


async def test_of_several_databases_each_line_says_which_it_is_about(
    shop, conn, operator_url, operator, server, template
):
    name = server.create(template)
    other = as_role(server.url(name), operator)
    try:
        settings = {"REACTOR_DATABASES": f"{operator_url},{other}"}
        async with replica(shop, operator_url, "--app", "shop:app", **settings) as running:
            await running.says("replica_started", times=2)
            assert await running.end(signal.SIGTERM) == 0
        ends = {line["database"].rpartition(" ")[2] for line in running.about("replica_stopped")}
        assert ends == {urlsplit(operator_url).path.removeprefix("/"), name}
    finally:
        server.drop(name)


async def test_of_several_databases_the_one_that_cannot_be_served_is_named(
    shop, operator_url, operator, server
):
    name = server.create()  # which nobody migrated
    try:
        settings = {"REACTOR_DATABASES": f"{operator_url},{as_role(server.url(name), operator)}"}
        async with replica(shop, operator_url, "--app", "shop:app", **settings) as running:
            async with asyncio.timeout(60):
                _, said = await running.process.communicate()
            assert running.process.returncode == 3
    finally:
        server.drop(name)
    [error] = [line for line in said.decode().splitlines() if line.startswith("reactor: ")]
    assert f"database {name}: " in error
    assert "not migrated" in error or "reactor migrate" in said.decode()
