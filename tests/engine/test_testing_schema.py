"""An application's tests on the schema that it has in production: first its own tables, then ours."""

from decimal import Decimal
from typing import Any

import pytest
from pydantic import BaseModel

from reactor import Context, Event, Reactor
from reactor.testing import connected, drain
from reactor.testing.fixtures import reactor_database, reactor_template
from tests.conftest import Server

__all__ = ["reactor_database", "reactor_template"]


@pytest.fixture(scope="session")
def reactor_server(server: Server) -> str:
    """The server that the other tests run on, instead of one more."""
    return server.admin_url


@pytest.fixture(scope="session")
def application_schema() -> str:
    # As pg_dump begins; it must not reach the migration.
    return """
        select pg_catalog.set_config('search_path', '', false);
        create table public.tenants (
            id uuid primary key default gen_random_uuid(), name text not null, plan text not null);
        create table public.bills (
            id uuid primary key default gen_random_uuid(),
            tenant_id uuid not null references public.tenants, total numeric(16, 2) not null,
            paid boolean not null default false);
    """


@pytest.fixture(scope="session")
def reactor_schema() -> str:
    return """
        select reactor.protect('public.bills');
        select reactor.watch('public.bills', 'bill.created', payload_columns => '{total}');
    """


class Bill(BaseModel):
    total: Decimal


app = Reactor()


@app.on("bill.created", model=Bill)
async def pay(event: Event[Bill], ctx: Context) -> None:
    await ctx.db.execute(
        "update bills set paid = true where id = $1 and total = $2", event.subject_id, event.payload.total
    )


async def test_a_handler_works_on_the_applications_own_tables(reactor_database: str) -> None:
    async with connected(reactor_database) as conn:
        tenant: Any = await conn.fetchrow("insert into tenants (name, plan) values ('A', 'gold') returning *")
        assert (tenant["plan"], tenant["is_active"], tenant["agent_enabled"]) == ("gold", True, False)
        await conn.execute(
            "insert into bills (tenant_id, total) values ($1, 99999999999999.99), ($1, 20.00)", tenant["id"]
        )
        left = await drain(app, reactor_database)
        assert left.dead == 0
        assert await conn.fetchval("select bool_and(paid) from bills")


async def test_each_test_has_a_database_of_its_own(reactor_database: str) -> None:
    async with connected(reactor_database) as conn:
        assert await conn.fetchval("select count(*) from tenants") == 0
