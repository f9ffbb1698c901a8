"""Indexes of references in tables that may be the application's own: made where there is none."""

from reactor.db import migrate, pool

_INDEXES = """
select c.relname || '(' || a.attname || ')' as name, count(*)::int as number
from pg_index i
join pg_class c on c.oid = i.indrelid and c.relnamespace = 'public'::regnamespace
join pg_attribute a on a.attrelid = i.indrelid and a.attnum = i.indkey[0]
where i.indpred is null and c.relname || '.' || a.attname = any ($1) group by 1
"""
REFERENCES = [
    "contacts.client_id",
    "orders.client_id",
    "orders.product_id",
    "kanban_cards.client_id",
    "kanban_cards.contact_id",
    "email_suppressions.contact_id",
]


async def indexes(url: str, before: str = "select") -> dict[str, int]:
    """How many indexes begin with each reference after a migration of what is there `before`."""
    async with pool.connected(url) as connection:
        await connection.execute(before)
    await migrate.migrate(lambda: pool.connect(url))
    async with pool.connected(url) as connection:
        await connection.execute(
            "delete from reactor.migrations where name = 'schema/0202_reference_indexes'"
        )
    await migrate.migrate(lambda: pool.connect(url))
    async with pool.connected(url) as connection:
        return {row["name"]: row["number"] for row in await connection.fetch(_INDEXES, REFERENCES)}


async def test_each_reference_has_one_index_also_when_the_file_runs_again(empty_database_url: str) -> None:
    found = await indexes(empty_database_url)
    assert found == {name.replace(".", "(") + ")": 1 for name in REFERENCES}


async def test_an_applications_own_index_is_enough_and_a_column_it_lacks_is_none_of_ours(
    empty_database_url: str,
) -> None:
    found = await indexes(
        empty_database_url,
        "create table tenants (id uuid primary key, name text);"
        "create table clients (id uuid primary key, tenant_id uuid not null references tenants);"
        "create table contacts (id uuid primary key, tenant_id uuid not null references tenants,"
        " client_id uuid references clients);"
        "create index ours on contacts (client_id, tenant_id);"
        "create table orders (id uuid primary key, tenant_id uuid not null references tenants,"
        " client_id uuid);"
        "create index ours_too on orders (client_id) where client_id is null;"
        "create table email_suppressions (tenant_id uuid not null references tenants, contact_id text);",
    )
    assert found == {
        "contacts(client_id)": 1,
        "orders(client_id)": 1,
        "kanban_cards(client_id)": 1,
        "kanban_cards(contact_id)": 1,
    }
