"""Words of an older application: the contract's in other letters, and those that nobody knows."""

from reactor.db import pool
from tests.conftest import migrate_database

_OLDER = """
create table tenants (id uuid primary key default gen_random_uuid(), name text not null);
insert into tenants (name) values ('a');
create table agent_alerts (
    id uuid primary key default gen_random_uuid(), tenant_id uuid references tenants,
    alert_type text, severity text, message text, acknowledged bool default false,
    acknowledged_at timestamptz, created_at timestamptz default now());
insert into agent_alerts (tenant_id, alert_type, severity, message)
select id, 'disk', 'CRITICAL', 'm' from tenants;
create table orders (
    id uuid primary key default gen_random_uuid(), tenant_id uuid references tenants, note text);
insert into orders (tenant_id, note)
select t.id, n from tenants t, unnest(array['PENDING', ' Pending ', 'validated']) n;
create table order_processing_queue (
    id uuid primary key default gen_random_uuid(), tenant_id uuid references tenants,
    order_id uuid, status text);
insert into order_processing_queue (tenant_id, order_id, status) select tenant_id, id, note from orders;
create table order_processing_exceptions (
    id uuid primary key default gen_random_uuid(), tenant_id uuid references tenants, order_id uuid,
    exception_type text, severity text, message text, details jsonb, resolved bool default false);
insert into order_processing_exceptions (tenant_id, order_id, exception_type, severity, message)
select tenant_id, id, 'Compliance', E'Error\\n', 'm' from orders;
"""


async def test_words_in_other_letters_are_the_contracts_and_unknown_ones_other_and_all_can_be_updated(
    empty_database_url: str,
) -> None:
    async with pool.connected(empty_database_url) as conn:
        await conn.execute(_OLDER)
    migrate_database(empty_database_url)
    async with pool.connected(empty_database_url) as conn:
        assert await conn.fetchval("select severity from agent_alerts") == "critical"
        queue = await conn.fetch("select status from order_processing_queue order by 1")
        assert [row["status"] for row in queue] == ["pending", "pending", "validated"]
        found = await conn.fetch("select distinct exception_type, severity from order_processing_exceptions")
        assert [tuple(row) for row in found] == [("other", "error")]
        archived = await conn.fetch(
            "select table_name, reason, count(*) from reactor.adoption_archive group by 1, 2 order by 1, 2"
        )
        assert [tuple(row) for row in archived] == [
            ("agent_alerts", "severity in other letters", 1),
            ("order_processing_exceptions", "an unknown word for exception_type", 3),
            ("order_processing_exceptions", "severity in other letters", 3),
            ("order_processing_queue", "status in other letters", 2),
        ]
        # Those that came in other letters are work like any other.
        waiting = "select count(*) from reactor.events where event_type = 'order.queued'"
        assert await conn.fetchval(waiting) == 2
        await conn.execute(
            "update agent_alerts set acknowledged = true;"
            "update order_processing_queue set queued_at = now();"
            "update order_processing_exceptions set resolved = true"
        )
