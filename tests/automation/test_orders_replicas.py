"""Orders through the whole engine, with several replicas at once."""

from contextlib import AsyncExitStack

import pytest

from reactor.app import Reactor
from reactor.automation.order_handler import process_orders
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
