"""What waited before the reactor came gets the events that the triggers would have made."""

from pathlib import Path

from reactor.db import pool
from tests.conftest import migrate_database

_OVERDUE = "select count(*) from engagement_clocks where not is_compliant"
_PENDING = "select count(*) from order_processing_queue where status = 'pending'"
_EVENTS = "select count(*) from reactor.events where event_type = $1"


async def test_pending_orders_and_overdue_clocks_of_an_adopted_database_have_events(
    empty_database_url: str,
) -> None:
    async with pool.connected(empty_database_url, name="test") as conn:
        await conn.execute((Path(__file__).parent / "predecessors" / "hourly_cron.sql").read_text())
    migrate_database(empty_database_url)
    async with pool.connected(empty_database_url, name="test") as conn:
        assert await conn.fetchval(_PENDING) == await conn.fetchval(_EVENTS, "order.queued") == 1
        assert await conn.fetchval(_OVERDUE) == await conn.fetchval(_EVENTS, "engagement.overdue") == 1

        await conn.execute("delete from reactor.events")
        await conn.execute(
            "update reactor.migrations set checksum = 'older' where name = 'triggers/adopted_backlog'"
        )
    migrate_database(empty_database_url)
    async with pool.connected(empty_database_url, name="test") as conn:
        assert await conn.fetchval("select count(*) from reactor.events") == 0, (
            "handled work was queued again"
        )
