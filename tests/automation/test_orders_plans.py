"""The statements of a batch find their rows by index, among ten thousand orders of the tenant and others'."""

import json
from decimal import Decimal

import pytest

from reactor.automation import order_sql
from reactor.automation.orders import BILLED_LATER, SETTLED_STATUSES
from tests.automation.desk import Desk, scope

LARGE = {
    "orders",
    "order_processing_queue",
    "order_processing_exceptions",
    "kanban_cards",
    "clients",
}

FILL = """
with client as (
    insert into clients (tenant_id, company_name, credit_limit)
    select $1, 'Client ' || n, 100000 from generate_series(1, 500) n returning id
),
numbered as (select id, row_number() over () as n from client),
ordered as (
    insert into orders (tenant_id, client_id, status, payment_method, fee_amount, total_amount)
    select $1, c.id, 'new', 'bill', 100, 100
    from generate_series(1, 10000) g (n) join numbered c on c.n = 1 + g.n % 500
    returning id, client_id
),
queued as (
    insert into order_processing_queue (tenant_id, order_id, status, credit_valid)
    select $1, o.id, 'validated', true from ordered o returning id, order_id
),
found as (
    insert into order_processing_exceptions (tenant_id, order_id, queue_id, exception_type)
    select $1, q.order_id, q.id, 'pricing' from queued q
)
insert into kanban_cards (tenant_id, type, title) select $1, 'create_task', 'card' from queued
"""


@pytest.fixture
async def desk(conn):
    desk = await Desk(conn).open()
    other = await Desk(conn).open()
    await conn.execute("set session_replication_role = replica")  # no events, no cascades: only rows
    for tenant in (desk.tenant_id, other.tenant_id):
        await conn.execute(FILL, tenant)
    await conn.execute("reset session_replication_role")
    await conn.execute("analyze")
    return desk


async def nodes(db, query: str, *args):
    """Every node of the query's plan, as (node type, table)."""
    (row,) = await db.fetch("explain (format json) " + query, *args)
    plan = row[0] if isinstance(row[0], list) else json.loads(row[0])
    found, waiting = [], [plan[0]["Plan"]]
    while waiting:
        node = waiting.pop()
        found.append((node["Node Type"], node.get("Relation Name")))
        waiting += node.get("Plans", [])
    return found


@pytest.mark.parametrize("mode", ["force_custom_plan", "force_generic_plan"])
async def test_no_statement_of_a_batch_reads_a_whole_table(desk, mode):
    queue = await desk.conn.fetch(
        "select id, order_id from order_processing_queue where tenant_id = $1 limit 200", desk.tenant_id
    )
    ids, order_ids = [row["id"] for row in queue], [row["order_id"] for row in queue]
    n = len(ids)
    statements = {
        "LOCK": (order_sql.LOCK, [ids]),
        "LOAD": (order_sql.LOAD, [ids, BILLED_LATER, SETTLED_STATUSES]),
        "CORRECT": (order_sql.CORRECT, [order_ids, [Decimal(1)] * n, [None] * n]),
        "FINISH": (
            order_sql.FINISH,
            [ids, ["validated"] * n, [True] * n, [True] * n, [True] * n, ["[]"] * n],
        ),
        "RESOLVE": (order_sql.RESOLVE, [order_ids]),
        "WITHDRAW": (order_sql.WITHDRAW, [order_ids]),
    }
    async with scope(desk.conn, desk.tenant_id) as db:
        await db.execute(f"set local plan_cache_mode = {mode}")
        for name, (query, args) in statements.items():
            found = await nodes(db, query, *args)
            assert {table for _, table in found} & LARGE, f"{name} reads none of the tables"
            whole = [table for kind, table in found if kind == "Seq Scan" and table in LARGE]
            if whole:
                rows = await db.fetch("explain " + query, *args)
                pytest.fail(f"{name} reads all of {whole}:\n" + "\n".join(row[0][:160] for row in rows))


@pytest.mark.parametrize("mode", ["force_custom_plan", "force_generic_plan"])
async def test_a_batch_reads_its_clients_orders_and_not_the_queue_of_the_tenant(desk, mode):
    """Also where the planner takes it for a good part of the queue, and a hash of all of it for cheap."""
    queue = await desk.conn.fetch(
        "select q.id from order_processing_queue q join orders o on o.id = q.order_id "
        "where q.tenant_id = $1 order by o.client_id limit 40",
        desk.tenant_id,
    )
    read = (
        "select sum(seq_tup_read + idx_tup_fetch)::bigint from pg_stat_all_tables "
        "where relid in ('public.orders'::regclass, 'public.order_processing_queue'::regclass)"
    )
    await desk.conn.execute("update orders set payment_method = $1", BILLED_LATER)
    await desk.conn.execute("vacuum analyze orders")
    await desk.conn.execute("select pg_stat_force_next_flush()")
    before = await desk.conn.fetchval(read)
    async with scope(desk.conn, desk.tenant_id) as db:
        await db.execute(f"set local plan_cache_mode = {mode}")
        rows = await db.fetch(order_sql.LOAD, [row["id"] for row in queue], BILLED_LATER, SETTLED_STATUSES)
    await desk.conn.execute("select pg_stat_force_next_flush()")
    # Two clients, each with twenty orders of a hundred, all validated.
    assert [row["taken"] for row in rows] == [2000] * 40
    assert await desk.conn.fetchval(read) - before < 500
