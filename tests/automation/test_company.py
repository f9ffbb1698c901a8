"""The company of the demo: believable, the same for the same seed, and judged as the table says."""

from decimal import Decimal
from fractions import Fraction
from random import Random

import pytest

from reactor.app import Reactor
from reactor.automation.order_handler import process_orders
from reactor.demo.check_orders import check_orders, expect
from reactor.demo.company import DISABLED, seed_company
from reactor.demo.order_forms import Service, fill_in, new_uuid
from reactor.testing import running, settled

FACTS = """
select json_agg(x order by x::text)::text from (
    select t.id, t.name, c.company_name, c.credit_limit, o.id as order_id, o.fee_amount, o.total_amount,
        o.borrower_name, o.payment_method
    from tenants t
    join orders o on o.tenant_id = t.id
    left join clients c on c.id = o.client_id
) x
"""


async def test_the_same_seed_makes_the_same_company_and_another_seed_another(conn):
    made = []
    for seed in (7, 7, 8):
        transaction = conn.transaction()
        await transaction.start()
        company = await seed_company(conn, seed=seed, tenants=4, orders=60, clients_per_tenant=5)
        made.append((company.tenant_ids, await conn.fetchval(FACTS)))
        await transaction.rollback()
    assert made[0] == made[1]
    assert made[0] != made[2]


def test_about_a_fifth_of_the_orders_has_something_wrong_with_it():
    rng = Random(1)
    service = Service(new_uuid(rng), Decimal(500), Decimal(400), Decimal(900))
    clients = [new_uuid(rng)]
    generous = {"is_active": True, "credit_limit": Decimal("1e9"), "balance": Decimal(0)}
    found = fixed = 0
    tenant = new_uuid(rng)
    for _ in range(2000):
        form = fill_in(rng, tenant_id=tenant, clients=clients, services=[service], at=None)
        row = {name: getattr(form, name) for name in form.__dataclass_fields__} | generous
        row |= {
            "has_client": form.client_id is not None,
            "min_price": Decimal(400),
            "max_price": Decimal(900),
        }
        judged = expect(row, Fraction(0))
        found += bool(judged.findings)
        fixed += bool(judged.fixes)
    assert 0.12 < (found + fixed) / 2000 < 0.28
    assert found > 0
    assert fixed > 0


async def test_orders_of_a_whole_company_are_judged_as_the_table_says(conn, database_url):
    company = await seed_company(conn, seed=3, tenants=5, orders=400, clients_per_tenant=10)
    assert (company.enabled, company.orders, company.clients) == (5 - DISABLED, 400, 50)
    app = Reactor()
    app.on("order.queued", batch=200, gated=True)(process_orders)
    app.on("engagement.overdue")(_nothing)
    app.on("alert.created")(_nothing)
    async with running(app, database_url):
        await settled(conn)

    assert await check_orders(conn) == []
    rows = await conn.fetch(
        """select t.is_active and t.agent_enabled as enabled, q.status, count(*) as n
        from order_processing_queue q join tenants t on t.id = q.tenant_id group by 1, 2"""
    )
    counts = {(row["enabled"], row["status"]): row["n"] for row in rows}
    assert set(counts) == {(True, "validated"), (True, "exception"), (False, "pending")}
    assert counts[True, "validated"] > counts[True, "exception"]


async def test_clocks_are_overdue_due_soon_and_in_the_future(conn):
    company = await seed_company(conn, seed=5, tenants=6, orders=0)
    row = await conn.fetchrow(
        """select count(*) as clocks, count(*) filter (where not is_compliant) as overdue,
            count(*) filter (where client_id is not null) as of_clients,
            count(*) filter (where contact_id is not null) as of_contacts
        from engagement_clocks"""
    )
    assert (row["clocks"], row["overdue"]) == (company.clocks, company.clocks_overdue)
    assert 0 < company.clocks_due_soon < company.clocks_overdue < company.clocks / 4
    assert row["of_clients"] > 0
    assert row["of_contacts"] > 0
    events = await conn.fetchval(
        "select count(*) from reactor.events where event_type = 'engagement.overdue'"
    )
    assert events == company.clocks_overdue


async def test_a_company_without_an_enabled_tenant_is_refused(conn):
    with pytest.raises(ValueError, match="more than 2 tenants"):
        await seed_company(conn, seed=1, tenants=2)


async def _nothing(event, ctx) -> None:
    """Other events are not under test here."""
