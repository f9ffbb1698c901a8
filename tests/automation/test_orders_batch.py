"""Batches of queued orders against a real database, in the scope that handlers run in."""

from datetime import timedelta
from decimal import Decimal
from uuid import uuid4

import asyncpg
import pytest

from reactor.automation.order_cards import card_id
from reactor.automation.order_store import Judged, Ready, load, write
from reactor.automation.orders import judge
from reactor.db import pool
from reactor.demo.check_orders import check_orders
from reactor.errors import BadArgument, Discard, Retry, WriteSkipped
from tests.automation.desk import Desk, scope


@pytest.fixture
async def desk(conn):
    return await Desk(conn).open()


async def test_a_good_order_is_validated_and_nothing_else_is_written(desk):
    order = await desk.order()
    queue = await desk.queue(order)
    before = await desk.conn.fetchrow("select *, xmin from orders where id = $1", order)

    ctx = await desk.process(queue)

    row = await desk.row(queue)
    assert row["status"] == "validated"
    assert (row["pricing_valid"], row["credit_valid"], row["requirements_valid"]) == (True, True, True)
    assert row["auto_fixes"] == []
    assert row["processed_at"] is not None
    assert await desk.exceptions(queue) == []
    assert await desk.cards() == []
    assert await desk.conn.fetchrow("select *, xmin from orders where id = $1", order) == before
    assert (ctx.run.planned, ctx.run.executed, ctx.run.cards_created) == (1, 1, 0)
    assert await check_orders(desk.conn) == []


async def test_an_order_with_every_kind_of_trouble_is_written_back_whole(desk):
    client = await desk.client(is_active=False, credit_limit=500, balance=100)
    product = await desk.insert("products", name="Appraisal", min_price=500, max_price=900)
    order = await desk.order(
        client_id=client,
        product_id=product,
        payment_method="bill",
        total_amount=Decimal("12.34"),
        tech_fee=Decimal("-1.50"),
        property_address=" ",
        property_zip=None,
        borrower_email=None,
    )
    queue = await desk.queue(order)

    ctx = await desk.process(queue)

    row = await desk.row(queue)
    assert row["status"] == "exception"
    assert (row["pricing_valid"], row["credit_valid"], row["requirements_valid"]) == (True, False, False)
    assert [(f["field"], f["old_value"], f["new_value"]) for f in row["auto_fixes"]] == [
        ("total_amount", "12.34", "450.00"),
        ("tech_fee", "-1.50", "0"),
    ]
    assert all(set(f) == {"field", "old_value", "new_value", "reason"} for f in row["auto_fixes"])
    after = await desk.conn.fetchrow("select total_amount, tech_fee from orders where id = $1", order)
    assert tuple(after) == (Decimal("450.00"), 0)
    assert await desk.exceptions(queue) == [
        ("credit", "critical", "client_inactive"),
        ("credit", "error", "credit_exceeded"),
        ("credit", "warning", "credit_nearly_used"),
        ("pricing", "warning", "fee_below_minimum"),
        ("requirements", "error", "address_missing"),
        ("requirements", "error", "borrower_unreachable"),
        ("requirements", "warning", "locality_incomplete"),
    ]
    credit, requirements = await desk.cards()
    assert (credit["type"], credit["state"], credit["priority"]) == ("create_task", "suggested", "high")
    assert (requirements["priority"], requirements["client_id"]) == ("medium", client)
    assert credit["action_payload"]["order_id"] == str(order)
    assert [e["details"]["code"] for e in requirements["action_payload"]["exceptions"]] == [
        "address_missing",
        "borrower_unreachable",
    ]
    assert (ctx.run.planned, ctx.run.executed, ctx.run.cards_created) == (1, 1, 2)
    assert await check_orders(desk.conn) == []


async def test_a_critical_finding_raises_an_alert_that_is_itself_an_event(desk):
    client = await desk.client(is_active=False)
    order = await desk.order(client_id=client, payment_method="bill")
    queue = await desk.queue(order)
    await desk.process(queue)

    alert = await desk.conn.fetchrow("select * from agent_alerts")
    assert (alert["alert_type"], alert["severity"]) == ("order_exception", "critical")
    assert alert["metadata"]["order_id"] == str(order)
    assert alert["metadata"]["code"] == "client_inactive"
    exception = await desk.conn.fetchval(
        "select id from order_processing_exceptions where severity = 'critical'"
    )
    assert alert["metadata"]["exception_id"] == str(exception)
    subject = await desk.conn.fetchval(
        "select subject_id from reactor.events where event_type = 'alert.created'"
    )
    assert subject == alert["id"]


async def test_orders_that_fit_alone_but_not_together_do_not_both_pass_in_one_batch(desk):
    client = await desk.client(credit_limit=1000, balance=100)
    orders = [
        await desk.order(client_id=client, payment_method="bill", fee_amount=500, total_amount=500)
        for _ in range(2)
    ]
    first, second = [await desk.queue(order) for order in orders]

    await desk.process(second, first)

    assert [(await desk.row(q))["status"] for q in (second, first)] == ["validated", "exception"]
    assert await desk.exceptions(first) == [
        ("credit", "error", "credit_exceeded"),
        ("credit", "warning", "credit_nearly_used"),
    ]
    assert (await desk.row(second))["processed_at"] < (await desk.row(first))["processed_at"]
    assert await check_orders(desk.conn) == []


async def test_orders_that_fit_alone_but_not_together_do_not_both_pass_in_two_batches(desk):
    client = await desk.client(credit_limit=1000)
    queues = [
        await desk.queue(
            await desk.order(client_id=client, payment_method="bill", fee_amount=600, total_amount=600)
        )
        for _ in range(2)
    ]
    for queue in queues:
        await desk.process(queue)
    assert [(await desk.row(q))["status"] for q in queues] == ["validated", "exception"]
    taken = await desk.conn.fetchval(
        """select details ->> 'taken' from order_processing_exceptions
        where details ->> 'code' = 'credit_exceeded'"""
    )
    assert Decimal(taken) == 600


@pytest.mark.parametrize(
    ("change", "passes"),
    [
        ("update orders set status = 'cancelled'", True),
        ("update orders set status = 'Billed'", True),
        ("update orders set payment_method = 'card'", True),
        ("update orders set status = 'completed'", False),
        ("update orders set status = 'new'", False),
        ("update order_processing_queue set status = 'exception'", True),
        ("update order_processing_queue set status = 'pending'", True),
        # A person validated it in spite of its credit, or before there was an automation.
        ("update order_processing_queue set credit_valid = false", False),
        ("update order_processing_queue set credit_valid = null", False),
        ("update clients set credit_limit = 1200", True),
        ("update clients set credit_limit = 'NaN'", False),
        ("update orders set total_amount = 'NaN'", False),
    ],
)
async def test_what_an_earlier_order_takes_of_the_credit(desk, change, passes):
    client = await desk.client(credit_limit=1000)
    earlier = await desk.order(client_id=client, payment_method="bill", fee_amount=600, total_amount=600)
    await desk.process(await desk.queue(earlier))
    await desk.conn.execute(change)
    later = await desk.order(client_id=client, payment_method="bill", fee_amount=600, total_amount=600)
    queue = await desk.queue(later)
    await desk.process(queue)
    assert (await desk.row(queue))["credit_valid"] is passes


@pytest.mark.parametrize("amounts", ["double precision", "numeric"])
async def test_an_applications_own_types_of_an_orders_columns_are_read_as_what_they_mean(desk, amounts):
    await desk.conn.execute(
        f"""alter table orders
            alter property_zip type int using property_zip::int,
            alter borrower_phone type bigint using null,
            alter property_address type jsonb using to_jsonb(property_address),
            alter fee_amount type {amounts},
            alter total_amount type {amounts},
            alter tech_fee type {amounts}"""
    )
    good = await desk.queue(
        await desk.order(property_zip=45501, borrower_phone=15550101, property_address={"street": "Elm"})
    )
    bad = await desk.queue(await desk.order(property_zip=None, total_amount=12, property_address={}))
    for queue in (good, bad):
        await desk.process(queue)
    assert (await desk.row(good))["status"] == "validated"
    assert ("requirements", "warning", "locality_incomplete") in await desk.exceptions(bad)


async def test_other_clients_and_other_tenants_take_nothing(desk):
    client, other = await desk.client(credit_limit=700), await desk.client(credit_limit=700)
    stranger = await Desk(desk.conn).open()
    for owner, customer in ((desk, other), (stranger, client)):
        # The stranger's order names this tenant's client: bad data, and no business of this tenant.
        order = await owner.order(client_id=customer, payment_method="bill", fee_amount=600, total_amount=600)
        queue = await owner.queue(order)
        await desk.conn.execute(
            "update order_processing_queue set status = 'validated', credit_valid = true where id = $1", queue
        )
    order = await desk.order(client_id=client, payment_method="bill", fee_amount=500, total_amount=500)
    queue = await desk.queue(order)
    await desk.process(queue)
    assert (await desk.row(queue))["status"] == "validated"


async def test_an_order_whose_client_is_another_tenants_has_no_client_and_the_card_names_none(desk):
    stranger = await Desk(desk.conn).open()
    queue = await desk.queue(await desk.order(client_id=await stranger.client(), payment_method="bill"))
    await desk.process(queue)
    assert await desk.exceptions(queue) == [("credit", "error", "client_missing")]
    (card,) = await desk.cards()
    assert card["client_id"] is None


async def test_queueing_again_resolves_what_was_found_and_refreshes_the_one_card(desk):
    order = await desk.order(fee_amount=0, total_amount=10)
    queue = await desk.queue(order)
    await desk.process(queue)
    (card,) = await desk.cards()
    await desk.conn.execute("update kanban_cards set state = 'in_review', title = 'mine'")
    await desk.conn.execute("update orders set fee_amount = -7 where id = $1", order)
    await desk.requeue(queue)

    ctx = await desk.process(queue)

    assert await desk.exceptions(queue, resolved=True) == [("pricing", "error", "fee_not_positive")]
    assert await desk.exceptions(queue) == [("pricing", "error", "fee_not_positive")]
    assert await desk.conn.fetchval(
        "select resolved_at is not null from order_processing_exceptions where resolved"
    )
    (again,) = await desk.cards()
    assert again["id"] == card["id"] == card_id(order, "pricing")
    assert again["state"] == "in_review"
    assert "-7" in again["description"]
    assert ctx.run.cards_created == 0


async def test_an_order_put_right_takes_its_suggested_card_back(desk):
    order = await desk.order(fee_amount=0, property_address=None)
    queue = await desk.queue(order)
    await desk.process(queue)
    await desk.conn.execute(
        """update kanban_cards set state = 'approved'
        where action_payload ->> 'exception_type' = 'requirements'"""
    )
    await desk.conn.execute("update orders set fee_amount = 450, property_address = 'x' where id = $1", order)
    await desk.requeue(queue)
    await desk.process(queue)
    assert (await desk.row(queue))["status"] == "validated"
    assert await desk.exceptions(queue) == []
    pricing, requirements = await desk.cards()
    assert pricing["state"] == "done"
    assert "withdrawn" in pricing["action_payload"]
    assert requirements["state"] == "approved", "a card that a person took up is the person's"


async def test_an_order_whose_findings_a_person_resolved_takes_its_suggested_card_back_too(desk):
    order = await desk.order(fee_amount=0)
    queue = await desk.queue(order)
    await desk.process(queue)
    await desk.conn.execute("update order_processing_exceptions set resolved = true, resolved_at = now()")
    await desk.conn.execute("update orders set fee_amount = 450 where id = $1", order)
    await desk.requeue(queue)
    await desk.process(queue)
    assert (await desk.row(queue))["status"] == "validated"
    [card] = await desk.cards()
    assert card["state"] == "done"


@pytest.mark.parametrize("state", ["done", "rejected"])
async def test_a_card_that_was_put_away_comes_back_when_the_trouble_does(desk, state):
    queue = await desk.queue(await desk.order(fee_amount=0))
    await desk.process(queue)
    await desk.conn.execute("update kanban_cards set state = $1", state)
    await desk.requeue(queue)
    await desk.process(queue)
    (card,) = await desk.cards()
    assert card["state"] == "suggested"


async def test_an_event_that_comes_twice_does_its_work_once(desk):
    order = await desk.order(fee_amount=0)
    queue = await desk.queue(order)
    ctx = await desk.process(queue, queue)
    assert ctx.run.planned == 1
    first = await desk.row(queue)

    again = await desk.process(queue)

    assert await desk.row(queue) == first
    assert len(await desk.exceptions(queue)) == 1
    assert len(await desk.cards()) == 1
    assert (again.run.planned, again.run.executed, again.failures) == (0, 0, {})


@pytest.mark.parametrize("status", ["processing", "validated", "exception", "skipped"])
async def test_a_queue_row_that_is_not_pending_is_left_alone(desk, status):
    queue = await desk.queue(await desk.order(fee_amount=0))
    await desk.conn.execute("update order_processing_queue set status = $1", status)
    await desk.process(queue)
    row = await desk.row(queue)
    assert (row["status"], row["processed_at"]) == (status, None)


async def test_a_deleted_order_is_discarded_and_holds_up_no_other(desk):
    order = await desk.order()
    gone, kept = await desk.queue(order), await desk.queue(await desk.order())
    await desk.conn.execute("delete from orders where id = $1", order)

    ctx = await desk.process(gone, kept)

    (error,) = ctx.failures.values()
    assert isinstance(error, Discard)
    assert str(gone) in error.reason
    assert (await desk.row(kept))["status"] == "validated"


async def test_an_event_without_a_subject_fails_with_a_clear_error_and_holds_up_no_other(desk):
    queue = await desk.queue(await desk.order())
    ctx = await desk.process(None, queue)
    (error,) = ctx.failures.values()
    assert isinstance(error, BadArgument)
    assert (await desk.row(queue))["status"] == "validated"
    alone = await desk.process(None)
    assert len(alone.failures) == 1
    assert alone.db.statements == []


async def test_an_order_that_is_not_the_tenants_is_skipped(desk):
    stranger = await Desk(desk.conn).open()
    order = await stranger.order(fee_amount=0)
    queue = await desk.queue(order)
    ctx = await desk.process(queue)
    row = await desk.row(queue)
    assert (row["status"], row["pricing_valid"], row["auto_fixes"]) == ("skipped", None, [])
    assert row["processed_at"] is not None
    assert (ctx.run.planned, ctx.run.executed) == (1, 0)
    assert await check_orders(desk.conn) == []


async def test_an_order_whose_row_is_gone_without_a_cascade_is_skipped(desk):
    # An adopted queue table may have come without the foreign key.
    order = await desk.order()
    queue = await desk.queue(order)
    await desk.conn.execute(
        "alter table order_processing_queue drop constraint order_processing_queue_order_id_fkey"
    )
    await desk.conn.execute("delete from orders where id = $1", order)
    await desk.process(queue)
    assert (await desk.row(queue))["status"] == "skipped"


@pytest.mark.parametrize("table", ["orders", "order_processing_queue"])
async def test_an_order_held_by_another_transaction_comes_again_and_holds_up_no_other(
    desk, database_url, table
):
    held, free = [await desk.queue(await desk.order()) for _ in range(2)]
    row = held if table == "order_processing_queue" else (await desk.row(held))["order_id"]
    async with pool.connected(database_url, name="application") as application:
        transaction = application.transaction()
        await transaction.start()
        await application.execute(f"update {table} set tenant_id = tenant_id where id = $1", row)

        ctx = await desk.process(held, free)

        (error,) = ctx.failures.values()
        assert isinstance(error, Retry)
        assert error.after is not None
        assert timedelta(0) < error.after <= timedelta(seconds=5)
        assert error.counts is False
        assert (await desk.row(held))["status"] == "pending"
        assert (await desk.row(free))["status"] == "validated"
        await transaction.commit()
    await desk.process(held)
    assert (await desk.row(held))["status"] == "validated"


async def test_an_application_that_queues_again_while_we_judge_is_heard(desk, database_url):
    queue = await desk.queue(await desk.order())
    async with pool.connected(database_url, name="application") as application:
        await application.execute("set lock_timeout = '50ms'")
        async with scope(desk.conn, desk.tenant_id) as db:
            found = (await load(db, [queue]))[queue]
            assert isinstance(found, Ready)
            with pytest.raises(asyncpg.LockNotAvailableError):
                await application.execute(
                    "update order_processing_queue set status = 'pending' where id = $1", queue
                )
            judgement = judge(found.order, None, None, found.taken)
            await write(db, desk.tenant_id, [Judged(found, judgement)], [])
        await application.execute("delete from reactor.events")
        await application.execute("update order_processing_queue set status = 'pending' where id = $1", queue)
        subject = await application.fetchval("select subject_id from reactor.events")
    assert subject == queue, "the row had left 'pending', so coming back to it is an event"


async def test_a_batch_takes_the_same_number_of_statements_however_large_it_is(desk):
    counts = []
    for size in (1, 60):
        client = await desk.client(is_active=False)
        queues = [
            await desk.queue(
                await desk.order(client_id=client, payment_method="bill", tech_fee=-1, property_address=None)
            )
            for _ in range(size)
        ]
        await desk.process(*queues)
        await desk.conn.execute(
            "update orders set tech_fee = -1, property_address = 'x' where client_id = $1", client
        )
        for queue in queues:
            await desk.requeue(queue)
        ctx = await desk.process(*queues)
        counts.append(len(ctx.db.statements))
    assert counts == [8, 8], (
        "two to read, six to write: corrections, queue, old findings, findings, cards twice"
    )
    assert await check_orders(desk.conn) == []


async def test_a_batch_of_good_orders_takes_four_statements(desk):
    queues = [await desk.queue(await desk.order()) for _ in range(30)]
    ctx = await desk.process(*queues)
    assert len(ctx.db.statements) == 4


async def test_money_keeps_every_digit_on_its_way_through(desk):
    await desk.conn.execute(
        "alter table orders alter fee_amount type numeric, alter total_amount type numeric"
    )
    fee = Decimal("123456789012345678901234567890.123456789")
    order = await desk.order(fee_amount=fee, total_amount=1)
    queue = await desk.queue(order)
    await desk.process(queue)
    assert await desk.conn.fetchval("select total_amount from orders where id = $1", order) == fee
    (fix,) = (await desk.row(queue))["auto_fixes"]
    assert Decimal(fix["new_value"]) == fee


async def test_the_check_notices_what_is_wrong(desk):
    client = await desk.client(credit_limit=1000, balance=0)
    bad, good = await desk.order(fee_amount=0), await desk.order(tech_fee=-2)
    orders = [bad, good] + [
        await desk.order(client_id=client, payment_method="bill", fee_amount=600, total_amount=600)
        for _ in range(2)
    ]
    queues = [await desk.queue(order) for order in orders]
    await desk.process(*queues)
    assert await check_orders(desk.conn) == []
    for damage in (
        f"update order_processing_queue set status = 'validated' where order_id = '{bad}'",
        f"update order_processing_queue set pricing_valid = true where order_id = '{bad}'",
        f"""update order_processing_queue set auto_fixes =
            '[{{"field": "tech_fee", "old_value": "2", "new_value": "0"}}]' where order_id = '{good}'""",
        f"update orders set tech_fee = -2 where id = '{good}'",
        "delete from order_processing_exceptions where exception_type = 'pricing'",
        "delete from kanban_cards",
        "update order_processing_exceptions set severity = 'critical' where exception_type = 'pricing'",
        "update order_processing_queue set status = 'validated', credit_valid = true",
        "update order_processing_queue set processed_at = null",
        "update order_processing_queue set status = 'skipped'",
        "update clients set balance = 500",
    ):
        transaction = desk.conn.transaction()
        await transaction.start()
        await desk.conn.execute(damage)
        assert await check_orders(desk.conn) != [], damage
        await transaction.rollback()


async def test_rows_of_another_tenant_are_out_of_reach(desk):
    stranger = await Desk(desk.conn).open()
    queue = await stranger.queue(await stranger.order(fee_amount=0))
    ctx = await desk.process(queue)
    (error,) = ctx.failures.values()
    assert isinstance(error, Discard)
    assert (await stranger.row(queue))["status"] == "pending"
    ctx = await desk.process(uuid4())
    assert len(ctx.failures) == 1


TROUBLED = {"payment_method": "bill", "total_amount": 1, "borrower_email": None, "borrower_phone": None}
LEFT_OUT = [
    ("orders", "update"),
    ("order_processing_queue", "update"),
    ("order_processing_exceptions", "insert"),
    ("agent_alerts", "insert"),
    ("kanban_cards", "insert"),
]


@pytest.mark.parametrize(("table", "operation"), LEFT_OUT)
async def test_what_a_trigger_leaves_out_in_silence_is_no_validated_order(desk, table, operation):
    client = await desk.client(is_active=False)
    queue_id = await desk.queue(await desk.order(client_id=client, **TROUBLED))
    await desk.conn.execute(f"""
        create function leave_out() returns trigger language plpgsql as $$ begin return null; end $$;
        create trigger frozen before {operation} on public.{table}
            for each row execute function leave_out()
    """)
    with pytest.raises(WriteSkipped) as failed:
        await desk.process(queue_id)
    assert str(failed.value).startswith(f"public.{table}: ")
    assert "by trigger frozen" in str(failed.value)
    assert (await desk.row(queue_id))["status"] == "pending"
    await desk.conn.execute(f"drop trigger frozen on {table}")
    await desk.process(queue_id)
    assert (await desk.row(queue_id))["status"] == "exception"


async def test_an_order_that_is_gone_is_not_skipped_in_silence_either(desk):
    queue_id = await desk.queue(await desk.order())
    await desk.conn.execute("set session_replication_role = replica; delete from orders")
    await desk.conn.execute("""
        reset session_replication_role;
        create function leave_out() returns trigger language plpgsql as $$ begin return null; end $$;
        create trigger frozen before update on order_processing_queue
            for each row execute function leave_out()
    """)
    with pytest.raises(WriteSkipped, match="trigger frozen"):
        await desk.process(queue_id)
