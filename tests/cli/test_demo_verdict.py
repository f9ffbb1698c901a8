"""The demo's verdict: it finds what is wrong, so that its silence means something."""

from datetime import timedelta

import pytest

from reactor import testing
from reactor.builtin import app
from reactor.db.pool import Connection
from reactor.demo.company import seed_company
from reactor.demo.verdict import idle_for_closed, judge

ONE_ORDER = "(select order_id from public.order_processing_queue where status = 'validated' limit 1)"
DEFECTS = (
    (
        "1 order.queued not handled: ready",
        f"""
        update public.order_processing_queue set status = 'pending' where order_id = {ONE_ORDER}""",
    ),
    (
        "1 order.queued not handled: waits until later",
        """
        select reactor.emit((select id from public.tenants limit 1), 'order.queued', delay => '1 hour')""",
    ),
    (
        "1 order.queued not handled: waits for its tenant",
        """
        insert into reactor.events (tenant_id, event_type, available_at)
        select id, 'order.queued', 'infinity' from public.tenants limit 1""",
    ),
    (
        "1 order.queued dead: it would not",
        """
        insert into reactor.dead_events (id, event_id, tenant_id, event_type, payload, priority, attempts,
            interruptions, created_at, reason)
        select 0, gen_random_uuid(), id, 'order.queued', '{}', 0, 10, 0, now(), 'it would not'
        from public.tenants limit 1""",
    ),
    (
        "1 orders without a verdict",
        f"""
        update public.order_processing_queue set status = 'processing' where order_id = {ONE_ORDER}""",
    ),
    (
        "1 orders without a verdict",
        f"""
        delete from public.order_processing_queue where order_id = {ONE_ORDER}""",
    ),
    (
        "lacks requirements error",
        f"update public.orders set property_address = ' ' where id = {ONE_ORDER}",
    ),
    (
        "the status does not follow",
        f"""
        update public.order_processing_queue set status = 'exception' where order_id = {ONE_ORDER}""",
    ),
    (
        "1 overdue clocks without an outcome",
        """
        with clock as (
            select c.id from public.engagement_clocks c
            join public.kanban_cards k on k.action_payload ->> 'clock_id' = c.id::text limit 1)
        delete from public.kanban_cards k using clock
        where k.action_payload ->> 'clock_id' = clock.id::text""",
    ),
)
"""What the verdict must say, and a statement that makes it true."""


@pytest.fixture
async def finished(conn: Connection, database_url: str) -> Connection:
    """A small company for which everything was done."""
    await seed_company(
        conn, seed=3, tenants=5, orders=150, clients_per_tenant=10, due_within=timedelta(milliseconds=1)
    )
    await conn.execute("update public.tenants set is_active = true, agent_enabled = true")
    await testing.drain(app, database_url)
    return conn


async def test_a_finished_run_has_no_problems(finished: Connection) -> None:
    verdict = await judge(finished)

    assert verdict.problems == []
    assert verdict.left == verdict.parked == verdict.dead == 0
    assert verdict.counts["orders"] == verdict.handled["order.queued"] == 150


async def test_every_defect_is_found(finished: Connection) -> None:
    for told, defect in DEFECTS:
        transaction = finished.transaction()
        await transaction.start()
        await finished.execute(defect)
        problems = (await judge(finished)).problems
        await transaction.rollback()
        assert any(told in problem for problem in problems), f"{told}: {problems}"

    assert (await judge(finished)).ok


async def test_what_was_done_for_a_closed_tenant_is_a_problem(finished: Connection) -> None:
    busy = await finished.fetchval("select tenant_id from public.orders limit 1")

    [problem] = await idle_for_closed(finished, [busy])

    assert "is switched off, and yet there are" in problem
