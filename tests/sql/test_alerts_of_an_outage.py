"""Alerts when something trips everywhere at once: for every tenant, or for all events of one."""

import asyncio
from datetime import timedelta
from uuid import UUID

import pytest

from reactor.db import calls, pool
from reactor.db.pool import Connection

RECORD = "select reactor.record_findings($1)"
RAISE = "select reactor.raise_alert($1, $2, 'critical', 'm')"
DIED = """
insert into reactor.dead_events (
    id, event_id, tenant_id, event_type, payload, priority, attempts, interruptions, created_at, died_at,
    reason)
select coalesce((select max(id) from reactor.dead_events), 0) + n, gen_random_uuid(), $1, $2, '{}', 0, 1, 0,
    now(), now(), 'boom' from generate_series(1, $3::int) n
"""


def finding(tenant: UUID, rule: str = "failure_rate", message: str = "m") -> dict[str, object]:
    return {
        "tenant_id": str(tenant),
        "alert_type": rule,
        "severity": "warning",
        "message": message,
        "metadata": {"runs": 3},
    }


async def found(conn: Connection, number: int) -> list[UUID]:
    """So many tenants, without a word to anybody."""
    rows = await conn.fetch(
        "insert into public.tenants (name) select 'tenant ' || n from generate_series(1, $1::int) n "
        "returning id",
        number,
    )
    return [row["id"] for row in rows]


async def clean(conn: Connection) -> None:
    term = await calls.lead(conn, "test", timedelta(minutes=5))
    await conn.execute("select reactor.clean_fleet($1)", term)


async def test_a_rule_that_fires_for_twenty_thousand_tenants_raises_an_alert_for_each(
    conn: Connection,
) -> None:
    """With a lock for each finding the server's table of locks was full, and nobody heard of the outage."""
    await conn.execute("alter table public.agent_alerts disable trigger user")
    findings = [finding(tenant) for tenant in await found(conn, 20_000)]
    async with conn.transaction():
        assert await conn.fetchval(RECORD, findings) == 20_000
        locks = "select count(*) from pg_locks where pid = pg_backend_pid() and locktype = 'advisory'"
        assert await conn.fetchval(locks) == 1
    assert await conn.fetchval(RECORD, findings) == 0


async def test_of_several_findings_for_a_tenant_and_rule_the_first_is_raised(conn: Connection) -> None:
    one, two = await found(conn, 2)
    findings = [
        finding(one, message="first"),
        finding(two, message="other tenant"),
        finding(one, message="second"),
        finding(one, "slow_runs", message="other rule"),
    ]
    assert await conn.fetchval(RECORD, findings) == 3
    rows = await conn.fetch("select message, severity, metadata from public.agent_alerts order by id")
    assert [row["message"] for row in rows] == ["first", "other tenant", "other rule"]
    assert {row["severity"] for row in rows} == {"warning"}
    assert all(row["metadata"] == {"runs": 3} for row in rows)
    await conn.execute("update public.agent_alerts set created_at = now() - interval '61 minutes'")
    assert await conn.fetchval(RECORD, findings[:1]) == 1
    assert await conn.fetchval(RECORD, findings) == 2


async def test_a_handlers_alert_and_a_finding_of_the_same_moment_are_one_alert(
    conn: Connection, database_url: str
) -> None:
    one, two = await found(conn, 2)
    waiting = "select exists (select from pg_locks where locktype = 'advisory' and not granted)"
    async with pool.connected(database_url, name="handler") as handler, asyncio.timeout(20):
        transaction = handler.transaction()
        await transaction.start()
        assert await handler.fetchval(RAISE, one, "failure_rate") is not None
        # Another rule's findings, and another tenant's handler, wait for nobody.
        assert await conn.fetchval(RECORD, [finding(one, "slow_runs")]) == 1
        assert await conn.fetchval(RAISE, two, "failure_rate") is not None
        async with pool.connected(database_url, name="leader") as leader:
            recording = asyncio.create_task(leader.fetchval(RECORD, [finding(one)]))
            while not await conn.fetchval(waiting):
                assert not recording.done()
            await transaction.commit()
            assert await recording == 0


async def test_the_alert_about_many_deaths_counts_all_and_names_a_hundred(conn: Connection) -> None:
    (tenant,) = await found(conn, 1)
    await conn.execute(DIED, tenant, "bad", 1000)
    await clean(conn)
    alert = await conn.fetchrow("select message, metadata from public.agent_alerts")
    assert alert is not None
    assert alert["message"] == "1000 events of type bad cannot be handled: boom"
    ids = list(range(1, 101))
    assert alert["metadata"] == {"event_type": "bad", "events": 1000, "event_ids": ids}


async def test_deaths_that_an_alert_told_of_are_not_read_again_one_by_one(conn: Connection) -> None:
    (tenant,) = await found(conn, 1)
    await conn.execute("alter table public.agent_alerts disable trigger user")
    for n in range(5):
        await conn.execute(DIED, tenant, f"bad {n}", 400)
    await conn.execute("vacuum analyze reactor.dead_events")
    await clean(conn)
    assert await conn.fetchval("select count(*) from public.agent_alerts") == 5
    read = (
        "select seq_tup_read + idx_tup_fetch from pg_stat_all_tables "
        "where relid = 'public.agent_alerts'::regclass"
    )
    await conn.execute("select pg_stat_force_next_flush()")
    before = await conn.fetchval(read)
    await clean(conn)
    assert await conn.fetchval("select count(*) from public.agent_alerts") == 5
    await conn.execute("select pg_stat_force_next_flush()")
    assert await conn.fetchval(read) - before <= 5 * 5
    # One more of a type that nobody heard of, among all the others.
    await conn.execute(DIED, tenant, "new", 1)
    await clean(conn)
    assert await conn.fetchval(
        "select count(*) from public.agent_alerts where metadata ->> 'event_type' = 'new'"
    )


async def test_an_alert_is_due_again_an_hour_after_the_last_one(conn: Connection) -> None:
    (tenant,) = await found(conn, 1)
    await conn.execute(DIED, tenant, "bad", 1)
    await clean(conn)
    await conn.execute("update public.agent_alerts set created_at = now() - interval '59 minutes'")
    await conn.execute(DIED, tenant, "bad", 1)
    await clean(conn)
    assert await conn.fetchval("select count(*) from public.agent_alerts") == 1
    await conn.execute("update public.agent_alerts set created_at = now() - interval '61 minutes'")
    await clean(conn)
    assert await conn.fetchval("select count(*) from public.agent_alerts") == 2


@pytest.mark.parametrize("refusal", ["constraint", "trigger"])
async def test_an_alert_that_the_application_refuses_stops_neither_the_death_nor_the_others_alerts(
    conn: Connection, refusal: str
) -> None:
    """The settlement failed, and the event was tried again for ever."""
    picky, other = await found(conn, 2)
    if refusal == "constraint":
        await conn.execute(
            "alter table public.agent_alerts add constraint known "
            f"check (tenant_id <> '{picky}' or alert_type in ('low_stock'))"
        )
    else:
        await conn.execute(
            "create function public.refuse() returns trigger language plpgsql as "
            f"$$ begin if new.tenant_id = '{picky}' then raise 'not here'; end if; return new; end $$; "
            "create trigger refuse before insert on public.agent_alerts for each row "
            "execute function public.refuse()"
        )
    for tenant in (picky, other):
        await conn.execute("select reactor.emit($1, 'bad')", tenant)
    claim = await calls.claim(
        conn,
        replica="test",
        tenants=10,
        batch=10,
        lease=timedelta(minutes=5),
        after=None,
        gated=[],
        peers=None,
    )
    warnings: list[str] = []
    conn.add_log_listener(lambda _, message: warnings.append(str(message.message)))
    runs = {row["run_id"]: row["tenant_id"] for row in claim.rows}
    await calls.settle(
        conn,
        calls.Settlement(
            tenants=list(runs.values()),
            runs=list(runs),
            more=[False] * len(runs),
            done=[],
            verdicts=[{"id": row["id"], "verdict": "dead", "reason": "boom"} for row in claim.rows],
            counts=[],
        ),
        batch=10,
        lease=timedelta(minutes=5),
        gated=[],
    )
    assert await conn.fetchval("select count(*) from reactor.dead_events") == 2
    told = await conn.fetch("select tenant_id from public.agent_alerts where alert_type = 'dead_event'")
    assert [row["tenant_id"] for row in told] == [other]
    (warning,) = [text for text in warnings if "was refused" in text]
    assert "known" in warning or "not here" in warning
