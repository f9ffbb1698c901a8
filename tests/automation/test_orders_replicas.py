"""Orders through the whole engine, with several replicas at once."""

from contextlib import AsyncExitStack
from random import Random

import anyio
import pytest

from reactor.app import Reactor
from reactor.automation.order_handler import process_orders
from reactor.db import pool
from reactor.demo.check_orders import check_orders
from reactor.testing import running, settled
from tests.automation.desk import Desk


def orders_app() -> Reactor:
    app = Reactor()
    app.on("order.queued", batch=7, gated=True)(process_orders)
    return app


@pytest.fixture
async def open_system(conn):
    await conn.execute(
        "update system_config set value = value || '{\"global_enabled\": true}' where key = 'agent_config'"
    )


async def queue_on_credit(desk: Desk, count: int, *, limit: int, each: int) -> None:
    client = await desk.client(credit_limit=limit)
    for _ in range(count):
        await desk.queue(
            await desk.order(client_id=client, payment_method="bill", fee_amount=each, total_amount=each)
        )


async def test_whichever_replicas_judge_them_a_clients_orders_never_pass_its_credit_together(
    conn, database_url, open_system
):
    desks = [await Desk(conn).open() for _ in range(4)]
    async with AsyncExitStack() as replicas:
        for n in range(3):
            await replicas.enter_async_context(running(orders_app(), database_url, replica=f"replica {n}"))
        for desk in desks:
            await queue_on_credit(desk, 25, limit=1000, each=90)
        await settled(conn)

    assert await check_orders(conn) == []
    for desk in desks:
        counts = await conn.fetch(
            "select status, count(*) from order_processing_queue where tenant_id = $1 group by 1 order by 1",
            desk.tenant_id,
        )
        assert [tuple(row) for row in counts] == [("exception", 14), ("validated", 11)]
    runs = await conn.fetchrow(
        "select sum(actions_planned), sum(actions_executed), sum(cards_created) from agent_autonomous_runs"
    )
    assert tuple(runs) == (100, 100, 56)
    assert await conn.fetchval("select count(*) from kanban_cards") == 56


async def test_deleting_orders_under_the_reactors_hands_leaves_no_dead_event(conn, database_url, open_system):
    desk = await Desk(conn).open()
    queues = [await desk.queue(await desk.order(fee_amount=0)) for _ in range(10)]
    await conn.execute(
        "delete from orders where id in (select order_id from order_processing_queue order by id limit 5)"
    )
    async with running(orders_app(), database_url):
        await settled(conn)
    assert await conn.fetchval("select count(*) from reactor.dead_events") == 0
    outcomes = await conn.fetch(
        """select outcome, count(*), bool_and(reason is not null) as told
        from reactor.history where event_type = 'order.queued' group by 1 order by 1"""
    )
    assert [tuple(row) for row in outcomes] == [("discarded", 5, True), ("handled", 5, False)]
    assert await conn.fetchval("select count(*) from order_processing_queue where status = 'exception'") == 5
    assert len(queues) == 10


async def test_orders_of_a_tenant_that_is_switched_off_wait(conn, database_url, open_system):
    on, off = await Desk(conn).open(), await Desk(conn).open()
    await conn.execute("update tenants set agent_enabled = false where id = $1", off.tenant_id)
    waiting = await off.queue(await off.order())
    async with running(orders_app(), database_url):
        done = await on.queue(await on.order())
        while (await on.row(done))["status"] == "pending":
            await conn.fetchval("select pg_sleep(0.01)")
        assert (await off.row(waiting))["status"] == "pending"
        await conn.execute("update tenants set agent_enabled = true where id = $1", off.tenant_id)
        while (await off.row(waiting))["status"] == "pending":
            await conn.fetchval("select pg_sleep(0.01)")
    assert await check_orders(conn) == []


async def test_an_application_at_work_on_the_same_orders_meets_no_deadlock(conn, database_url, open_system):
    """It corrects an order and queues it again, or deletes it, while replicas judge: in both lock orders."""
    desk = await Desk(conn).open()
    client = await desk.client(credit_limit=100_000)
    orders = [
        await desk.order(client_id=client, payment_method="bill", tech_fee=-1, property_address=None)
        for _ in range(60)
    ]
    for order in orders:
        await desk.queue(order)

    async def work(seed: int) -> None:
        rng = Random(seed)
        async with pool.connected(database_url, name="application") as application:
            for _ in range(150):
                order = rng.choice(orders)
                if rng.random() < 0.02:
                    await application.execute("delete from orders where id = $1", order)
                    continue
                async with application.transaction():
                    await application.execute(
                        "update orders set tech_fee = -1, property_address = $2 where id = $1",
                        order,
                        rng.choice(("12 Elm Street", None)),
                    )
                    await application.execute(
                        "update order_processing_queue set status = 'pending' where order_id = $1", order
                    )

    async with running(orders_app(), database_url), running(orders_app(), database_url):
        async with anyio.create_task_group() as people:
            for seed in range(3):
                people.start_soon(work, seed)
        while await conn.fetchval("select count(*) from reactor.events"):
            await conn.fetchval("select pg_sleep(0.01)")
        await settled(conn)

    assert await conn.fetchval("select count(*) from order_processing_queue where status = 'pending'") == 0
    assert await check_orders(conn) == []
    await conn.execute("select pg_stat_clear_snapshot()")
    deadlocks = await conn.fetchval(
        "select deadlocks from pg_stat_database where datname = current_database()"
    )
    assert deadlocks == 0
    assert await conn.fetchval("select count(*) from reactor.dead_events") == 0
    doubled = await conn.fetchval(
        """select count(*) from (select 1 from kanban_cards
        group by action_payload ->> 'order_id', action_payload ->> 'exception_type' having count(*) > 1) x"""
    )
    assert doubled == 0
