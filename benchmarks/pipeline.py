"""The real work: orders enter the queue, are validated under their tenant's lock, and are written back."""

import argparse
import asyncio
import random
import time
import uuid
from typing import Any

import asyncpg

from benchmarks import held, install
from benchmarks.harness import HERE, Arena
from benchmarks.results import Results
from reactor.db import migrate, pool

PEERS = {"pgqueuer": "pipeline_pgqueuer.py", "procrastinate": "pipeline_procrastinate.py"}
NAME = "orders validated and written back, orders/s"

_ORDER = """
insert into orders (
    id, tenant_id, client_id, product_id, fee_amount, total_amount, tech_fee, payment_method,
    property_address, property_city, property_state, property_zip, borrower_name, borrower_email,
    property_contact_phone)
values (
    $1, $2, $3, $4, $5, $6, $7, $8, $9, 'Springfield', 'OH', '45501', 'A. Borrower', 'b@example.test', $10)
"""
_QUIET = """
do $$ declare t regclass; begin
for t in select distinct tgrelid::regclass from pg_trigger
    where tgname like 'reactor\\_%' and not tgisinternal
loop
    execute format('alter table %s disable trigger user', t);
end loop; end $$
"""
_VERDICTS = """
select jsonb_build_object(
    'rows', (select jsonb_object_agg(status, n) from (
        select status, count(*) as n from order_processing_queue group by 1) s),
    'findings', (select jsonb_object_agg(code, n) from (
        select details ->> 'code' as code, count(*) as n from order_processing_exceptions group by 1) e),
    'corrections', (select sum(jsonb_array_length(auto_fixes)) from order_processing_queue),
    'cards', (select count(*) from kanban_cards))::text
"""


async def pipeline(ring: Arena, contenders: list[str], options: argparse.Namespace, results: Results) -> None:
    """The built-in app and the same work as jobs of two peers; the verdicts must be the same."""
    verdicts: dict[str, Any] = {}
    for contender in contenders:
        if contender != "reactor" and contender not in PEERS:
            continue
        try:
            async with ring.database() as url:
                rate, verdicts[contender] = await _measure(contender, url, max(1, int(40 * options.scale)))
        except (RuntimeError, TimeoutError, asyncpg.PostgresError) as error:
            results.fail(NAME, contender, str(error) or type(error).__name__)
            continue
        if verdicts[contender] != next(iter(verdicts.values())):
            results.fail(NAME, contender, f"its verdicts are others: {verdicts}")
            continue
        results.note(NAME, contender, rate)


async def _measure(contender: str, url: str, orders: int) -> tuple[float, str]:
    await migrate.migrate(lambda: pool.connect(url))
    async with pool.connected(url, name="bench") as connection:
        if contender != "reactor":
            await connection.execute(_QUIET)
        count = await _enter(connection, 100, orders)
        command = held.replica(url, 0, "builtin")
        if contender != "reactor":
            program = str(HERE / "contenders" / PEERS[contender])
            await _fill(program, url)
            command = (str(install.PYTHON), program, "work", url)
        async with held.held(*command) as worker:
            began = worker.begin()
            async with asyncio.timeout(120):
                while await connection.fetchval(
                    "select exists (select from order_processing_queue where status = 'pending')"
                ):
                    if worker.process.returncode is not None:
                        raise RuntimeError("the worker ended before its work did")
                    await asyncio.sleep(0.02)
            seconds = (time.monotonic_ns() - began) / 1e9
            await worker.end()
        return count / seconds, await connection.fetchval(_VERDICTS)


async def _fill(program: str, url: str) -> None:
    process = await asyncio.create_subprocess_exec(
        str(install.PYTHON),
        program,
        "fill",
        url,
        stderr=asyncio.subprocess.PIPE,
        env=held.environment(),
    )
    _, err = await process.communicate()
    if process.returncode:
        raise RuntimeError(err.decode().strip()[-400:])


async def _enter(connection: asyncpg.Connection, tenants: int, orders: int) -> int:
    """Orders of which about a third has something wrong, the same in every database; tenants take turns."""
    rng = random.Random(11)
    key = iter(lambda: uuid.UUID(int=rng.getrandbits(128), version=4), None)
    desks = [(next(key), next(key), next(key)) for _ in range(tenants)]
    await connection.executemany(
        "insert into tenants (id, name, agent_enabled) values ($1, 'A lender', true)", [d[:1] for d in desks]
    )
    await connection.executemany(
        "insert into clients (id, tenant_id, company_name, credit_limit) values ($2, $1, 'A client', $3)",
        # Enough for all orders or for none: the verdicts must not depend on which comes first.
        [(*d[:2], 100 if n % 10 == 0 else 100_000) for n, d in enumerate(desks)],
    )
    await connection.executemany(
        "insert into products (id, tenant_id, name, min_price, max_price) "
        "values ($2, $1, 'Appraisal', 300, 900)",
        [(d[0], d[2]) for d in desks],
    )
    entered = []
    for _ in range(orders):
        for tenant, client, product in desks:
            fee = rng.choice((350, 450, 550, 250)) if rng.random() < 0.3 else 450
            entered.append(
                (
                    next(key),
                    tenant,
                    client,
                    product,
                    fee,
                    fee + 25 if rng.random() < 0.9 else fee - 50,
                    25 if rng.random() < 0.95 else -25,
                    "bill" if rng.random() < 0.3 else "card",
                    "12 Elm Street" if rng.random() < 0.9 else " ",
                    "555-0101" if rng.random() < 0.95 else None,
                )
            )
    await connection.executemany(_ORDER, entered)
    await connection.execute(
        "update system_config set value = '{\"global_enabled\": true}' where key = 'agent_config'"
    )
    await connection.execute(
        "insert into order_processing_queue (tenant_id, order_id) "
        "select o.tenant_id, o.id from unnest($1::uuid[]) with ordinality as e (id, n) "
        "join orders o using (id) order by e.n",
        [row[0] for row in entered],
    )
    await connection.execute("analyze orders, order_processing_queue, clients, products, reactor.events")
    return len(entered)
