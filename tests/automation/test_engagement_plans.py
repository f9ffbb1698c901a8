"""A batch of overdue clocks reads its own contacts, emails and cards, however many the tenant has."""

from typing import Any

import pytest

from reactor.automation import engagement
from reactor.outbound.email import BLANKS
from tests.automation.desk import Desk, scope

CLIENTS = 5_000
FILL = """
with client as (
    insert into clients (tenant_id, company_name)
    select $1, 'Client ' || n from generate_series(1, $2::int) n returning id
),
person as (
    insert into contacts (tenant_id, client_id, first_name, email)
    select $1, c.id, 'Ada', 'ada@widgets.test' from client c returning id, client_id
),
clock as (
    insert into engagement_clocks (tenant_id, client_id, next_touch_due)
    select $1, c.id, now() - interval '3 days' from client c
    returning id, client_id
),
written as (
    insert into reactor.email_intents
        (tenant_id, contact_id, status, sender, recipient, subject, body_text, settled_at)
    select $1, p.id, 'sent', 'us@widgets.test', 'ada@widgets.test', 'Hello', 'Hello',
        now() - interval '1 day' * (1 + 5 * (row_number() over () % 2))
    from person p
)
insert into kanban_cards (tenant_id, client_id, type, title, action_payload)
select $1, c.client_id, 'send_email', 'card', jsonb_build_object('clock_id', c.id) from clock c
"""
CONTACTS_CLOCKS = """
insert into engagement_clocks (tenant_id, contact_id, next_touch_due)
select $1, k.id, now() - interval '3 days' from contacts k where k.tenant_id = $1
"""
READ = """
select relname::text as name, seq_tup_read + coalesce(idx_tup_fetch, 0) as rows from pg_stat_all_tables
where relid = any (array['public.contacts', 'public.clients', 'public.engagement_clocks',
    'reactor.email_intents', 'public.kanban_cards']::regclass[])
"""


async def read(desk: Desk) -> dict[str, int]:
    """Rows read so far, by table."""
    await desk.conn.execute("select pg_stat_force_next_flush()")
    return {row["name"]: row["rows"] for row in await desk.conn.fetch(READ)}


@pytest.fixture
async def desk(conn: Any) -> Desk:
    desk = await Desk(conn).open()
    await conn.execute("set session_replication_role = replica")  # no events, no cascades: only rows
    await conn.execute(FILL, desk.tenant_id, CLIENTS)
    await conn.execute(CONTACTS_CLOCKS, desk.tenant_id)
    await conn.execute("reset session_replication_role")
    await conn.execute("vacuum analyze")
    return desk


@pytest.mark.parametrize("mode", ["force_custom_plan", "force_generic_plan"])
@pytest.mark.parametrize("whose", ["client_id", "contact_id"])
async def test_a_batch_of_clocks_reads_its_own_rows_only(desk: Desk, mode: str, whose: str) -> None:
    batch = await desk.conn.fetch(
        f"select id from engagement_clocks where {whose} is not null order by id limit 50"
    )
    ids = [row["id"] for row in batch]
    before = await read(desk)
    async with scope(desk.conn, desk.tenant_id) as db:
        await db.execute(f"set local plan_cache_mode = {mode}")
        rows = await db.fetch(engagement._LOAD, desk.tenant_id, ids, BLANKS)
        cards = await db.fetch(
            engagement._OPEN_CARDS,
            desk.tenant_id,
            [str(row["id"]) for row in rows],
            [row["client_id"] for row in rows],
            [row["contact_id"] for row in rows],
        )
    after = await read(desk)
    assert len(rows) == 50
    assert all(row["first_name"] == "Ada" and row["company_name"] for row in rows)
    assert {row["written_since"] for row in rows} == {True, False}
    assert len(cards) == (50 if whose == "client_id" else 0)
    assert {name: after[name] - before[name] for name in after if after[name] - before[name] > 500} == {}
