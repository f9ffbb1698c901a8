"""An application's own tables that the migration cannot build on are named before it changes anything."""

from urllib.parse import urlsplit

import pytest

from reactor.db import adoption, migrate, pool, sqlfiles
from reactor.errors import MigrationError

_TENANTS = "create table tenants (id uuid primary key default gen_random_uuid(), name text not null);"


@pytest.fixture(params=["18", "15"])
def any_database_url(request, server, empty_database_url):
    """An empty database on the newest server, and one on the oldest that is supported."""
    if request.param == "18":
        yield empty_database_url
        return
    old = request.getfixturevalue("pg15")
    name = old.create()
    yield old.url(name)
    old.drop(name)


def connector(url: str):
    return lambda: pool.connect(url, name="reactor migrate")


async def run(url: str, statements: str) -> None:
    async with pool.connected(url) as connection:
        await connection.execute(statements)


# What the application has · what is said of it · what mends it.
REFUSED = {
    "the key of tenants is a number": (
        "create table tenants (id bigint generated always as identity primary key, name text);",
        ["public.tenants.id is of type bigint, and a uuid is needed"],
        (
            "alter table public.tenants rename column id to old_id; alter table public.tenants"
            " add column id uuid not null unique default gen_random_uuid();"
        ),
    ),
    "the key of tenants has another name": (
        "create table tenants (tenant_id uuid primary key);",
        [
            "public.tenants.id does not exist, and a unique uuid is needed",
            "alter table public.tenants rename column tenant_id to id",
        ],
        "alter table public.tenants rename column tenant_id to id;",
    ),
    "tenants are called organizations": (
        (
            "create table organizations (id uuid primary key, name text);"
            "create table orders (id uuid primary key, org_id uuid not null references organizations);"
        ),
        [
            "public.orders.tenant_id does not exist",
            (
                "alter table public.organizations rename to tenants;"
                " alter table public.orders rename column org_id to tenant_id"
            ),
        ],
        (
            "alter table public.organizations rename to tenants;"
            "alter table public.orders rename column org_id to tenant_id;"
        ),
    ),
    "orders are numbered": (
        _TENANTS + "create table orders (id bigserial primary key, tenant_id uuid references tenants);",
        ["public.orders.id is of type bigint, and a uuid is needed: it is referred to by order_processing"],
        (
            "alter table public.orders rename column id to old_id;"
            "alter table public.orders add column id uuid not null unique default gen_random_uuid();"
        ),
    ),
    "products have no tenant": (
        _TENANTS + "create table products (id uuid primary key, name text);",
        [
            "public.products.tenant_id does not exist",
            "alter table public.products add column tenant_id uuid, and fill it",
        ],
        "alter table public.products add column tenant_id uuid;",
    ),
    "orders are something else": (
        _TENANTS + "create table orders (number int primary key, shop text);",
        [
            "public.orders.id does not exist",
            "public.orders.tenant_id does not exist",
            "alter table public.orders set schema app",
        ],
        "create schema app; alter table public.orders set schema app;",
    ),
    "the tenant is called otherwise": (
        _TENANTS + 'create table clients (id uuid primary key, "ownerId" uuid references tenants);',
        ['alter table public.clients rename column "ownerId" to tenant_id'],
        'alter table public.clients rename column "ownerId" to tenant_id;',
    ),
    "the tenant is a text": (
        "create table contacts (id uuid primary key, tenant_id text);",
        ["public.contacts.tenant_id is of type text"],
        (
            "alter table public.contacts rename column tenant_id to old_tenant_id;"
            "alter table public.contacts add column tenant_id uuid;"
        ),
    ),
    "a key is not unique by itself": (
        "create table profiles (id uuid, tenant_id uuid, primary key (tenant_id, id));",
        ["public.profiles.id has no primary key or unique constraint of its own"],
        "alter table public.profiles add unique (id);",
    ),
    "a key is checked late": (
        "create table clients (id uuid unique deferrable, tenant_id uuid);",
        ["public.clients.id has no primary key or unique constraint of its own"],
        "alter table public.clients add unique (id);",
    ),
    "tenants are a view": (
        "create table companies (id uuid primary key); create view tenants as select * from companies;",
        ["public.tenants is a view, and a table is needed"],
        "drop view tenants;",
    ),
    "a switch is no boolean": (
        "create table tenants (id uuid primary key, is_active text default 'yes');",
        ["public.tenants.is_active is of type text, and a boolean is needed"],
        "alter table public.tenants rename column is_active to was_active;",
    ),
    "a table of settings of the same name": (
        (
            "create table system_config (id serial primary key, name text); insert into system_config (name)"
            " values ('theme');"
        ),
        ["public.system_config has no key and no value", "alter table public.system_config set schema app"],
        "create schema app; alter table public.system_config set schema app;",
    ),
    "a table of alerts without tenants": (
        (
            "create table agent_alerts (id uuid primary key default gen_random_uuid(), message text);"
            "insert into agent_alerts (message) values ('fire');"
        ),
        ["public.agent_alerts has no tenant_id: it is no table of the reactor"],
        "create schema app; alter table public.agent_alerts set schema app;",
    ),
    "alerts that are numbered": (
        (
            "create table agent_alerts (id bigserial primary key, tenant_id uuid, message text);"
            "insert into agent_alerts (message) values ('fire');"
        ),
        ["public.agent_alerts.id is of type bigint, and a uuid is needed"],
        "create schema app; alter table public.agent_alerts set schema app;",
    ),
    "alerts are a view": (
        "create view agent_alerts as select 1 as id;",
        ["public.agent_alerts is a view, and a table is needed"],
        "drop view agent_alerts;",
    ),
    "the orders to be made need products with a uuid": (
        _TENANTS + "create table products (id serial primary key, tenant_id uuid);",
        ["public.products.id is of type integer, and a uuid is needed"],
        (
            "alter table public.products rename column id to old_id;"
            "alter table public.products add column id uuid not null unique default gen_random_uuid();"
        ),
    ),
}


# It would not fail, but take the application's rows out of its table.
ROBBED = ("a table of settings of the same name", "a table of alerts without tenants")


@pytest.mark.parametrize("case", REFUSED)
async def test_what_would_fail_is_named_and_what_is_advised_mends_it(any_database_url, case):
    application, said, mend = REFUSED[case]
    await run(any_database_url, application)
    with pytest.raises(MigrationError) as caught:
        await migrate.migrate(connector(any_database_url))
    assert "nothing was changed" in caught.value.message
    for part in said:
        assert part in caught.value.hint
    async with pool.connected(any_database_url) as connection:
        assert await connection.fetchval("select to_regnamespace('reactor')") is None
        pending = await migrate.plan(connection)
        told = "\n".join(str(one) for one in await migrate.obstacles(connection, pending))
    assert caught.value.hint.endswith("\n" + told)
    await run(any_database_url, mend)
    assert len((await migrate.migrate(connector(any_database_url))).applied) == len(sqlfiles.load())


@pytest.mark.parametrize("case", [case for case in REFUSED if case not in ROBBED])
async def test_without_the_look_it_would_have_failed(empty_database_url, case, monkeypatch):
    async def blind(_: object, *, migrating: bool) -> list[adoption.Obstacle]:
        return []

    monkeypatch.setattr(adoption, "obstacles", blind)
    await run(empty_database_url, REFUSED[case][0])
    with pytest.raises(MigrationError, match=r"\.sql"):
        await migrate.migrate(connector(empty_database_url))


async def test_all_obstacles_are_told_at_once(empty_database_url):
    await run(
        empty_database_url,
        "create table tenants (id bigint primary key); create table products (id int primary key);"
        "create table orders (id int primary key);",
    )
    async with pool.connected(empty_database_url) as connection:
        found = await adoption.obstacles(connection)
    assert [one.what.split()[0] for one in found] == [
        "public.tenants.id",
        "public.products.tenant_id",
        "public.orders.id",
        "public.orders.tenant_id",
    ]


# What works as it is, however little or much it has.
TAKEN = {
    "tenants without switches and with columns of their own": (
        "create table tenants (id uuid primary key default gen_random_uuid(), name text not null, plan text);"
        "insert into tenants (name, plan) values ('Acme', 'gold');"
    ),
    "tenants that are only an id": (
        "create table tenants (id uuid primary key); insert into tenants values (gen_random_uuid());"
    ),
    "all tables, with more columns, keys of a domain, numbered rows where nothing refers to them": (
        """
        create domain key as uuid;
        create type plan as enum ('basic', 'gold');
        create table tenants (id uuid unique not null default gen_random_uuid(), slug text primary key,
            name varchar(80) not null, is_active boolean, plan plan not null default 'basic');
        create table profiles (id uuid primary key, tenant_id uuid not null references tenants (id),
            avatar text);
        create table clients (id key primary key, tenant_id uuid not null, vat text, unique (tenant_id, id));
        create table contacts (id uuid primary key, tenant_id uuid not null, phone text);
        create table products (id serial primary key, tenant_id uuid not null, sku text not null);
        create table orders (id uuid primary key, tenant_id uuid not null, total numeric not null,
            product_id int references products);
        create table kanban_cards (id bigserial, tenant_id uuid not null, lane int not null);
        create table email_suppressions (tenant_id uuid, address text, primary key (tenant_id, address));
        insert into tenants (slug, name) values ('acme', 'Acme');
        """
    ),
    "a table of ours that is empty and numbered": (
        _TENANTS + "create table agent_alerts (id bigserial primary key, tenant_id bigint, message text);"
        "insert into tenants (name) values ('Acme');"
    ),
    "tables partitioned by their key": (
        _TENANTS + "create table orders (id uuid primary key, tenant_id uuid) partition by hash (id);"
        "create table orders_0 partition of orders for values with (modulus 1, remainder 0);"
        "insert into tenants (name) values ('Acme');"
    ),
}


@pytest.mark.parametrize("case", TAKEN)
async def test_what_works_is_taken_as_it_is(any_database_url, case):
    await run(any_database_url, TAKEN[case])
    await migrate.migrate(connector(any_database_url))
    async with pool.connected(any_database_url) as connection:
        tenant = await connection.fetchrow("select * from tenants")
        assert (tenant["agent_enabled"], tenant["agent_settings"]) == (False, {})
        assert await connection.fetchval("select count(*) from agent_health_dashboard") == 1
        await connection.execute("update system_config set value = value || '{\"global_enabled\": true}'")
        await connection.fetch("select * from reactor.set_tenant_enabled($1, true)", [tenant["id"]])
        assert await connection.fetchval("select reactor.is_open($1)", tenant["id"]) is (
            tenant["is_active"] is True
        )
        pending = await migrate.plan(connection)
        assert pending == []
        assert await migrate.obstacles(connection, pending) == []


async def test_a_column_that_is_added_lets_everybody_act(empty_database_url):
    await run(empty_database_url, TAKEN["tenants without switches and with columns of their own"])
    await migrate.migrate(connector(empty_database_url))
    async with pool.connected(empty_database_url) as connection:
        row = await connection.fetchrow("select * from tenants")
    assert (row["name"], row["plan"], row["is_active"]) == ("Acme", "gold", True)


async def test_tables_of_somebody_else_are_named(server, empty_database_url):
    server.admin(
        "drop role if exists stranger", "create role stranger login password 'for-tests-only' createrole"
    )
    name = urlsplit(empty_database_url).path.lstrip("/")
    try:
        server.admin(f"grant create on database {name} to stranger")
        await run(empty_database_url, _TENANTS + "create table orders (id int);")
        async with pool.connected(empty_database_url) as connection:
            owner = await connection.fetchval("select current_user")
        async with pool.connected(server.url(name, "stranger", "for-tests-only")) as connection:
            found = await adoption.obstacles(connection)
        assert [one.what for one in found][:2] == [
            f"public.tenants belongs to {owner}, and stranger may not alter it",
            f"public.orders belongs to {owner}, and stranger may not alter it",
        ]
    finally:
        server.admin(f"revoke create on database {name} from stranger", "drop role stranger")


async def test_an_encoding_without_all_characters_is_named_before_anything_is_changed(server) -> None:
    server.admin("create database t_latin template template0 encoding 'LATIN1' lc_collate 'C' lc_ctype 'C'")
    try:
        with pytest.raises(MigrationError, match="nothing was changed") as refused:
            await migrate.migrate(connector(server.url("t_latin")))
        assert "encoded in LATIN1" in str(refused.value.hint)
        async with pool.connected(server.url("t_latin")) as connection:
            assert await connection.fetchval("select to_regclass('reactor.events')") is None
    finally:
        server.drop("t_latin")
