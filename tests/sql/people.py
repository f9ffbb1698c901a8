"""Two tenants with everything the contract's tables refer to, and how to become one of their users."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import UUID

from reactor.db import pool


@dataclass(frozen=True)
class Tenant:
    """A tenant with one user, client, contact and order."""

    id: UUID
    user: UUID
    client: UUID
    contact: UUID
    order: UUID


async def tenant(conn: pool.Connection, name: str = "Acme") -> Tenant:
    """Inserts one, as superuser."""
    owner = await conn.fetchval("insert into tenants (name) values ($1) returning id", name)
    user = await conn.fetchval(
        "insert into profiles (tenant_id, email) values ($1, 'u@t.test') returning id", owner
    )
    client = await conn.fetchval(
        "insert into clients (tenant_id, company_name) values ($1, 'C') returning id", owner
    )
    contact = await conn.fetchval(
        "insert into contacts (tenant_id, client_id, first_name) values ($1, $2, 'Ann') returning id",
        owner,
        client,
    )
    order = await conn.fetchval(
        "insert into orders (tenant_id, client_id) values ($1, $2) returning id", owner, client
    )
    return Tenant(owner, user, client, contact, order)


async def agent_data(conn: pool.Connection, t: Tenant) -> UUID:
    """One row in every agent table, referring to each other where they can; returns the run's id."""
    run: UUID = await conn.fetchval(
        "insert into agent_autonomous_runs (tenant_id, phase, trigger) values ($1, 'plan', 'manual')"
        " returning id",
        t.id,
    )
    await conn.execute(
        "insert into agent_tenant_locks (tenant_id, run_id, expires_at) values ($1, $2, now() + interval"
        " '1 hour')",
        t.id,
        run,
    )
    await conn.execute(
        "insert into engagement_clocks (tenant_id, client_id, last_touch_by) values ($1, $2, $3)",
        t.id,
        t.client,
        t.user,
    )
    await conn.execute(
        "insert into agent_policy_violations (tenant_id, run_id, violation_type, reason) values ($1, $2,"
        " 'x', 'y')",
        t.id,
        run,
    )
    queue = await conn.fetchval(
        "insert into order_processing_queue (tenant_id, order_id) values ($1, $2) returning id", t.id, t.order
    )
    await conn.execute(
        "insert into order_processing_exceptions (tenant_id, order_id, queue_id, exception_type) values"
        " ($1, $2, $3, 'other')",
        t.id,
        t.order,
        queue,
    )
    await conn.execute(
        "insert into agent_hourly_reflections (tenant_id, run_id, summary) values ($1, $2, '{}')", t.id, run
    )
    await conn.execute(
        "insert into agent_rate_limits (tenant_id, action_type, window_start, window_end) values ($1, 'x',"
        " now(), now())",
        t.id,
    )
    await conn.execute(
        "insert into agent_alerts (tenant_id, alert_type, severity) values ($1, 'x', 'info')", t.id
    )
    await conn.execute(
        "insert into email_provider_failures (tenant_id, error_type) values ($1, 'auth')", t.id
    )
    return run


async def everything(conn: pool.Connection, name: str) -> Tenant:
    """A tenant with a row in every table of the contract and of the host."""
    t = await tenant(conn, name)
    await agent_data(conn, t)
    await conn.execute("insert into products (tenant_id, name) values ($1, 'p')", t.id)
    await conn.execute("insert into kanban_cards (tenant_id, type, title) values ($1, 't', 't')", t.id)
    await conn.execute("insert into email_suppressions (tenant_id, reason) values ($1, 'manual')", t.id)
    return t


@asynccontextmanager
async def acting_as(
    conn: pool.Connection, role: str, *, user: UUID | None = None, tenant: UUID | None = None
) -> AsyncIterator[None]:
    """A transaction as another role, rolled back at its end: with a user's token, or in a tenant's scope."""
    transaction = conn.transaction()
    await transaction.start()
    try:
        await conn.execute(f"set local role {role}")
        if user is not None:
            await conn.execute(
                "select set_config('request.jwt.claims', json_build_object('sub', $1::uuid)::text, true)",
                user,
            )
        if tenant is not None:
            await conn.execute("select set_config('reactor.tenant_id', $1::uuid::text, true)", tenant)
        yield
    finally:
        await transaction.rollback()
