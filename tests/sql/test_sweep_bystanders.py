"""What of one tenant cannot be swept stops no other's deadlines; errors are kept within bounds."""

from datetime import timedelta
from types import SimpleNamespace
from uuid import UUID

import asyncpg
import pytest

from reactor.db import calls
from reactor.db.pool import Connection
from reactor.upkeep import housekeeping

REFUSE = """
    create function public.refuse() returns trigger language plpgsql as $$
    begin
        if new.tenant_id = '{tenant}' then
            raise division_by_zero;
        end if;
        return new;
    end $$;
    create trigger refuse before {operation} on public.{table} for each row execute function public.refuse();
"""

#: It refuses in silence: what it returns is null, and the row is not written.
LEAVE_OUT = REFUSE.replace("raise division_by_zero;", "return null;")


@pytest.fixture
def conn(rolled_back: Connection) -> Connection:
    """A transaction that leaves nothing behind, instead of a database for each test."""
    return rolled_back


async def tenant(conn: Connection) -> UUID:
    return await conn.fetchval("insert into public.tenants (name) values ('t') returning id")


async def clock(conn: Connection, tenant: UUID) -> UUID:
    """One that is due and was not judged since."""
    client = await conn.fetchval(
        "insert into clients (tenant_id, company_name) values ($1, 'c') returning id", tenant
    )
    return await conn.fetchval(
        "insert into engagement_clocks (tenant_id, client_id, next_touch_due, evaluated_at) "
        "values ($1, $2, now() - interval '1 minute', now() - interval '1 hour') returning id",
        tenant,
        client,
    )


async def sweep(conn: Connection) -> calls.Swept:
    term = await calls.lead(conn, "leader", timedelta(hours=1))
    assert term is not None
    return await calls.sweep(conn, term, 1000)


async def test_a_clock_that_cannot_be_judged_holds_up_neither_clocks_nor_events_nor_leases(
    conn: Connection,
) -> None:
    bad, good = await tenant(conn), await tenant(conn)
    refused, judged = await clock(conn, bad), await clock(conn, good)
    await conn.execute("select reactor.emit($1, 'x', delay => '1 hour')", good)
    await conn.execute("update reactor.events set available_at = now() - interval '1 second'")
    await conn.fetchval("select public.acquire_tenant_lock($1, 'gone')", good)
    await conn.execute("update agent_tenant_locks set expires_at = now() - interval '1 second'")
    await conn.execute(REFUSE.format(tenant=bad, operation="update", table="engagement_clocks"))
    swept = await sweep(conn)
    assert (swept.clocks, swept.events, swept.leases) == (1, 1, 1)
    compliant = dict(await conn.fetch("select id, is_compliant from engagement_clocks"))
    assert compliant == {refused: True, judged: False}
    [alert] = await conn.fetch("select tenant_id, message, metadata from agent_alerts")
    assert alert["tenant_id"] == bad
    assert f"engagement clock {refused} cannot become overdue: division_by_zero" in alert["message"]
    assert (await sweep(conn)).clocks == 0
    assert await conn.fetchval("select count(*) from agent_alerts") == 1, "said once a day"


async def test_a_lease_that_cannot_be_ended_holds_up_no_other(conn: Connection) -> None:
    bad, good = await tenant(conn), await tenant(conn)
    for one in (bad, good):
        await conn.fetchval("select public.acquire_tenant_lock($1, 'gone')", one)
    await conn.execute("update agent_tenant_locks set expires_at = now() - interval '1 second'")
    await conn.execute(REFUSE.format(tenant=bad, operation="update", table="agent_autonomous_runs"))
    assert (await sweep(conn)).leases == 1
    assert [row["tenant_id"] for row in await conn.fetch("select tenant_id from agent_tenant_locks")] == [bad]


async def test_what_is_cut_short_again_and_again_comes_back_at_once_and_keeps_its_last_errors(
    conn: Connection,
) -> None:
    one = await tenant(conn)
    await conn.execute("select reactor.emit($1, 'x')", one)
    for turn in range(1, 31):
        claim = await calls.claim(
            conn,
            replica="r",
            tenants=1,
            batch=10,
            lease=timedelta(hours=1),
            after=None,
            gated=[],
            peers=None,
        )
        [row] = claim.rows
        await calls.abandon(conn, [one], [row["run_id"]], interrupted=True, reason=f"turn {turn}")
        event = await conn.fetchrow("select interruptions, errors, available_at from reactor.events")
        assert event is not None
        assert event["interruptions"] == turn
        assert event["available_at"] is None, "or later ones would overtake it"
        assert len(event["errors"]) == min(turn, 20)
        assert event["errors"][-1]["error"] == f"turn {turn}"


async def test_never_is_no_number_of_days_and_a_long_interval_no_error(conn: Connection) -> None:
    if conn.get_server_version().major < 17:
        pytest.skip("before 17 the generated column refuses infinity")
    one = await tenant(conn)
    never, overdue = await clock(conn, one), await clock(conn, one)
    await conn.execute("update engagement_clocks set next_touch_due = 'infinity' where id = $1", never)
    await conn.execute("update engagement_clocks set priority_score = 5 where id = $1", never)
    await conn.execute(
        "update engagement_clocks set evaluated_at = now(), next_touch_due = now() - interval '40 days' "
        "where id = $1",
        overdue,
    )
    await conn.execute("select reactor.score_clocks($1)", one)
    score = dict(await conn.fetch("select id, priority_score from engagement_clocks"))
    assert score[never] == 0 < score[overdue]
    await conn.execute("update engagement_clocks set engagement_interval_days = 2147483647")
    await conn.execute(
        "select update_engagement_clock($1, client_id, null, 'call', null) from engagement_clocks", one
    )
    assert await conn.fetchval("select bool_and(is_compliant) from engagement_clocks")


async def test_counters_of_one_tenant_that_add_up_to_too_much_stop_no_others_figures(
    conn: Connection,
) -> None:
    one, other = await tenant(conn), await tenant(conn)
    for tenant_, planned in ((one, 2147483647), (one, 2147483647), (other, 3)):
        await conn.execute(
            "insert into agent_autonomous_runs "
            "(tenant_id, status, started_at, completed_at, actions_planned, emails_sent) "
            "select $1, 'completed', h, h, $2, $2 from date_trunc('hour', now()) h",
            tenant_,
            planned,
        )
    rows = await conn.fetch(
        "select tenant_id, planned from reactor.rule_facts(date_trunc('hour', now()) + interval '1 minute')"
    )
    assert {row["tenant_id"]: row["planned"] for row in rows} == {one: 2147483647, other: 3}
    await conn.fetch("select * from reactor.hour_metrics(date_trunc('hour', now()))")


async def _lead(conn: Connection) -> int:
    term = await calls.lead(conn, "leader", timedelta(hours=1))
    assert term is not None
    return term


async def test_a_clock_that_cannot_be_judged_again_stops_no_other(conn: Connection) -> None:
    bad, good = await tenant(conn), await tenant(conn)
    for one in (bad, good):
        await clock(conn, one)
    await sweep(conn)
    await conn.execute(
        "update engagement_clocks set next_touch_due = now() - interval '3 days', "
        "evaluated_at = now() - interval '2 days'"
    )
    await conn.execute(REFUSE.format(tenant=bad, operation="update", table="engagement_clocks"))
    assert await conn.fetchval("select reactor.reevaluate_clocks($1)", await _lead(conn)) == 1
    late = "select tenant_id from engagement_clocks where evaluated_at < now() - interval '1 day'"
    assert await conn.fetchval(late) == bad


async def test_each_clock_is_judged_again_in_batches_of_which_each_has_one_that_is_refused(
    conn: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(housekeeping, "_BATCH", 2)
    bad, good = await tenant(conn), await tenant(conn)
    for one in (bad, *[good] * 6):
        await clock(conn, one)
    await sweep(conn)
    await conn.execute(
        "update engagement_clocks set next_touch_due = now() - interval '4 days', "
        "evaluated_at = now() - case when tenant_id = $1 then interval '3 days' else '2 days' end",
        bad,
    )
    await conn.execute(REFUSE.format(tenant=bad, operation="update", table="engagement_clocks"))
    leader = SimpleNamespace(_term=await _lead(conn))
    await housekeeping.Housekeeping._clocks(leader, SimpleNamespace(db=conn))
    late = "select tenant_id from engagement_clocks where evaluated_at < now() - interval '1 day'"
    assert [row["tenant_id"] for row in await conn.fetch(late)] == [bad]


SERVERS_TROUBLE = """
    create or replace function full_disk() returns trigger language plpgsql as $$ begin
        raise exception 'could not extend file' using errcode = '53100';
    end $$;
    create trigger full_disk before insert on public.{table} for each row execute function full_disk()
"""


async def test_what_the_server_cannot_write_now_is_not_taken_for_done(conn: Connection) -> None:
    one = await tenant(conn)
    recorded = {
        "agent_hourly_reflections": (
            "select reactor.record_reflections(date_trunc('hour', now()), $1)",
            [{"tenant_id": str(one), "summary": {}, "changes": []}],
        ),
        "agent_alerts": (
            "select reactor.record_findings($1)",
            [{"tenant_id": str(one), "alert_type": "x", "severity": "info", "message": "m", "metadata": {}}],
        ),
    }
    for table, (statement, said) in recorded.items():
        await conn.execute(SERVERS_TROUBLE.format(table=table))
        with pytest.raises(asyncpg.DiskFullError):
            async with conn.transaction():
                await conn.fetchval(statement, said)
    assert await conn.fetchval("select count(*) from reactor.reflected_hours") == 0


async def test_an_alert_that_cannot_be_raised_keeps_no_other_tenants(conn: Connection) -> None:
    tenants = [await tenant(conn) for _ in range(3)]
    await conn.execute(REFUSE.format(tenant=tenants[1], operation="insert", table="agent_alerts"))
    found = [
        {"tenant_id": str(one), "alert_type": "x", "severity": "warning", "message": "m", "metadata": {}}
        for one in tenants
    ]
    assert await conn.fetchval("select reactor.record_findings($1)", found) == 2
    raised = await conn.fetch("select tenant_id from agent_alerts order by tenant_id")
    assert [row["tenant_id"] for row in raised] == sorted([tenants[0], tenants[2]])


@pytest.mark.parametrize("others", [0, 2])
async def test_a_reflection_that_cannot_be_written_keeps_no_other_and_its_hour_is_done(
    conn: Connection, others: int
) -> None:
    tenants = [await tenant(conn) for _ in range(others + 1)]
    await conn.execute(
        REFUSE.format(tenant=tenants[-1], operation="insert", table="agent_hourly_reflections")
    )
    said = [{"tenant_id": str(one), "summary": {}, "changes": []} for one in tenants]
    record = "select reactor.record_reflections(date_trunc('hour', now()), $1)"
    for written in (others, 0):
        assert await conn.fetchval(record, said) == written
        assert await conn.fetchval("select count(*) from agent_hourly_reflections") == others
        assert await conn.fetchval("select tenants from reactor.reflected_hours") == others


async def test_old_rows_that_cannot_be_deleted_keep_those_of_no_other_table(conn: Connection) -> None:
    one = await tenant(conn)
    await conn.execute(
        "insert into agent_alerts (tenant_id, alert_type, severity, message, acknowledged, created_at) "
        "values ($1, 'x', 'warning', 'm', true, now() - interval '200 days')",
        one,
    )
    await conn.execute(
        "insert into agent_policy_violations (tenant_id, violation_type, reason, created_at) "
        "values ($1, 'x', 'r', now() - interval '200 days')",
        one,
    )
    refuse = REFUSE.replace("new", "old").format(
        tenant=one, operation="delete", table="agent_policy_violations"
    )
    await conn.execute(refuse)
    swept = await conn.fetch("select relation, removed from reactor.apply_retention()")
    removed = {row["relation"]: row["removed"] for row in swept}
    assert (removed["agent_policy_violations"], removed["agent_alerts"]) == (0, 1)


@pytest.mark.parametrize("how", [REFUSE, LEAVE_OUT], ids=["loudly", "in silence"])
async def test_more_refused_clocks_than_a_sweep_takes_keep_nobody_behind_them(
    conn: Connection, how: str
) -> None:
    """They are left alone for a minute: neither the timer nor the server's log is busy with them."""
    bad, good = await tenant(conn), await tenant(conn)
    # All are due at one moment, as a bulk of them is.
    for _ in range(5):
        await clock(conn, bad)
    judged = await clock(conn, good)
    await conn.execute(how.format(tenant=bad, operation="update", table="engagement_clocks"))
    term = await _lead(conn)
    swept = [(await calls.sweep(conn, term, 2)).clocks for _ in range(4)]
    assert swept == [0, 0, 1, 0]
    assert not await conn.fetchval("select is_compliant from engagement_clocks where id = $1", judged)
    assert await calls.next_deadline(conn, timedelta(hours=1), []) > timedelta(seconds=30)
    # What comes due meanwhile is done in its time.
    another = await clock(conn, good)
    assert await calls.next_deadline(conn, timedelta(hours=1), []) == timedelta(0)
    assert (await calls.sweep(conn, term, 2)).clocks == 1
    assert not await conn.fetchval("select is_compliant from engagement_clocks where id = $1", another)
    # A minute later the application has changed its mind.
    await conn.execute("drop trigger refuse on engagement_clocks")
    assert (await calls.sweep(conn, term, 10)).clocks == 0
    await conn.execute("update reactor.set_aside set again_at = reactor.now()")
    assert await calls.next_deadline(conn, timedelta(hours=1), []) == timedelta(0)
    assert (await calls.sweep(conn, term, 10)).clocks == 5


async def test_more_leases_that_cannot_be_ended_than_a_sweep_takes_keep_nobody_behind_them(
    conn: Connection,
) -> None:
    bad, good = [await tenant(conn) for _ in range(3)], await tenant(conn)
    for one in (*bad, good):
        await conn.fetchval("select public.acquire_tenant_lock($1, 'gone')", one)
    await conn.execute(
        "update agent_tenant_locks set expires_at = now() - "
        "case when tenant_id = $1 then interval '1 second' else interval '1 minute' end",
        good,
    )
    for number, one in enumerate(bad):
        refuse = REFUSE.replace("refuse", f"refuse{number}")
        await conn.execute(refuse.format(tenant=one, operation="update", table="agent_autonomous_runs"))
    term = await _lead(conn)
    assert [(await calls.sweep(conn, term, 2)).leases for _ in range(3)] == [0, 1, 0]
    left = await conn.fetch("select tenant_id from agent_tenant_locks order by tenant_id")
    assert [row["tenant_id"] for row in left] == sorted(bad)
    assert await calls.next_deadline(conn, timedelta(hours=1), []) > timedelta(seconds=30)
    await conn.execute("update reactor.set_aside set again_at = reactor.now()")
    assert await calls.next_deadline(conn, timedelta(hours=1), []) == timedelta(0)


async def test_a_clock_that_somebody_is_in_the_way_of_for_a_moment_is_not_left_alone(
    conn: Connection,
) -> None:
    one = await tenant(conn)
    await clock(conn, one)
    held = REFUSE.replace("raise division_by_zero", "raise exception 'held' using errcode = '55P03'")
    await conn.execute(held.format(tenant=one, operation="update", table="engagement_clocks"))
    assert (await sweep(conn)).clocks == 0
    await conn.execute("drop trigger refuse on engagement_clocks")
    assert (await sweep(conn)).clocks == 1


@pytest.mark.parametrize("how", [REFUSE, LEAVE_OUT], ids=["loudly", "in silence"])
async def test_more_clocks_that_cannot_be_judged_again_than_a_batch_keep_nobody_behind_them(
    conn: Connection, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    monkeypatch.setattr(housekeeping, "_BATCH", 2)
    bad, good = await tenant(conn), await tenant(conn)
    for one in (*[bad] * 5, *[good] * 3):
        await clock(conn, one)
    await sweep(conn)
    await conn.execute(
        "update engagement_clocks set next_touch_due = now() - interval '4 days', "
        "evaluated_at = now() - case when tenant_id = $1 then interval '3 days' else interval '2 days' end",
        bad,
    )
    await conn.execute(how.format(tenant=bad, operation="update", table="engagement_clocks"))
    leader = SimpleNamespace(_term=await _lead(conn))
    await housekeeping.Housekeeping._clocks(leader, SimpleNamespace(db=conn))
    late = "select tenant_id from engagement_clocks where evaluated_at < now() - interval '1 day'"
    assert [row["tenant_id"] for row in await conn.fetch(late)] == [bad] * 5


async def test_old_rows_that_cannot_be_deleted_keep_no_others_of_their_table(conn: Connection) -> None:
    bad, good = await tenant(conn), await tenant(conn)
    for one, rows in ((bad, 5), (good, 3)):
        await conn.execute(
            "insert into agent_policy_violations (tenant_id, violation_type, reason, created_at) "
            "select $1, 'x', 'r', now() - interval '200 days' from generate_series(1, $2::int)",
            one,
            rows,
        )
    refuse = REFUSE.format(tenant=bad, operation="delete", table="agent_policy_violations")
    await conn.execute(refuse.replace("new", "old"))
    left = "select array_agg(distinct tenant_id) from agent_policy_violations"
    # More are refused than are looked at in one call.
    for _ in range(100):
        rows = await conn.fetch("select relation, removed, more from reactor.apply_retention(p_limit => 4)")
        [said] = [row for row in rows if row["relation"] == "agent_policy_violations"]
        assert said["more"] == (said["removed"] > 0)
        if await conn.fetchval(left) == [bad]:
            break
    assert await conn.fetchval(left) == [bad]
    assert await conn.fetchval("select count(*) from agent_policy_violations") == 5


async def test_a_run_that_something_old_will_not_let_go_of_keeps_no_other_tables_old_rows(
    conn: Connection,
) -> None:
    one = await tenant(conn)
    await conn.execute(
        "insert into agent_alerts (tenant_id, alert_type, severity, message, acknowledged, created_at) "
        "values ($1, 'x', 'warning', 'm', true, now() - interval '200 days')",
        one,
    )
    await conn.execute(
        "insert into agent_autonomous_runs (id, tenant_id, created_at) "
        "values (gen_random_uuid(), $1, now() - interval '200 days')",
        one,
    )
    refuse = REFUSE.format(tenant=one, operation="delete", table="agent_autonomous_runs")
    await conn.execute(refuse.replace("new", "old"))
    rows = await conn.fetch("select relation, removed, more from reactor.apply_retention()")
    assert {row["relation"]: row["removed"] for row in rows}["agent_alerts"] == 1
    assert not any(row["more"] for row in rows)
    assert await conn.fetchval("select count(*) from agent_autonomous_runs") == 1


async def test_what_was_left_alone_until_a_moment_that_the_server_will_not_come_to_soon_is_due(
    conn: Connection,
) -> None:
    """Its clock was set back since."""
    one = await tenant(conn)
    await clock(conn, one)
    await conn.execute(
        "insert into reactor.set_aside select kind, now(), 'ffffffff-ffff-ffff-ffff-ffffffffffff', "
        "now() + interval '2 days' from unnest('{clock,lease}'::text[]) as kind"
    )
    await conn.fetchval("select public.acquire_tenant_lock($1, 'gone')", one)
    await conn.execute("update agent_tenant_locks set expires_at = now() - interval '1 second'")
    assert await calls.next_deadline(conn, timedelta(hours=1), []) == timedelta(0)
    swept = await sweep(conn)
    assert (swept.clocks, swept.leases) == (1, 1)


@pytest.mark.slow
@pytest.mark.parametrize("then", ["raise division_by_zero", "return new"])
async def test_clocks_that_take_long_to_be_judged_keep_the_timer_from_nothing_else(
    conn: Connection, then: str
) -> None:
    """A sweep that is not over in time is undone, and so was the next one, which met the same clocks."""
    slow, other = await tenant(conn), await tenant(conn)
    await conn.execute(
        """
        with made as (
            insert into clients (tenant_id, company_name)
            select $1, 'c' || n from generate_series(1, 900) n returning id)
        insert into engagement_clocks (tenant_id, client_id, next_touch_due, evaluated_at)
        select $1, id, now() - interval '1 minute', now() - interval '1 hour' from made
        """,
        slow,
    )
    last = await clock(conn, other)
    await conn.execute(
        "update engagement_clocks set next_touch_due = now() - interval '1 second', "
        "evaluated_at = now() - interval '1 hour' where id = $1",
        last,
    )
    await conn.execute(
        f"""
        create function public.tarry() returns trigger language plpgsql as $$
        begin
            if new.tenant_id = '{slow}' then
                perform pg_sleep(0.012);
                {then};
            end if;
            return new;
        end $$;
        create trigger tarry before update on engagement_clocks for each row execute function public.tarry()
        """
    )
    await conn.execute("set local client_min_messages = error")
    for _ in range(20):
        await sweep(conn)
        if not await conn.fetchval("select is_compliant from engagement_clocks where id = $1", last):
            return
    raise AssertionError("the other tenant's clock was not judged in twenty sweeps")


async def test_a_trigger_that_leaves_a_clock_out_in_silence_is_named(conn: Connection) -> None:
    bad, good = await tenant(conn), await tenant(conn)
    left_out, judged = await clock(conn, bad), await clock(conn, good)
    await conn.execute(LEAVE_OUT.format(tenant=bad, operation="update", table="engagement_clocks"))
    assert (await sweep(conn)).clocks == 1
    compliant = dict(await conn.fetch("select id, is_compliant from engagement_clocks"))
    assert compliant == {left_out: True, judged: False}
    [alert] = await conn.fetch("select tenant_id, message from agent_alerts")
    assert alert["tenant_id"] == bad
    assert alert["message"].endswith(
        "public.engagement_clocks: rows that were to be written (update) were left out without an error, "
        "by trigger refuse"
    )


async def test_a_lease_that_a_trigger_keeps_from_being_deleted_is_not_ended_again_and_again(
    conn: Connection,
) -> None:
    """As one for all operations that returns NEW, which is null for a delete."""
    bad, good = await tenant(conn), await tenant(conn)
    for one in (bad, good):
        await conn.fetchval("select public.acquire_tenant_lock($1, 'gone')", one)
    await conn.execute("update agent_tenant_locks set expires_at = now() - interval '1 second'")
    await conn.execute(f"""
        create function public.stamp() returns trigger language plpgsql as $$
        begin
            if tg_op = 'DELETE' and old.tenant_id <> '{bad}' then return old; end if;
            return new;
        end $$;
        create trigger stamp before insert or update or delete on public.agent_tenant_locks
            for each row execute function public.stamp();
    """)
    term = await _lead(conn)
    assert [(await calls.sweep(conn, term, 1000)).leases for _ in range(2)] == [1, 0]
    assert await calls.next_deadline(conn, timedelta(hours=1), []) > timedelta(seconds=30)
    runs = dict(await conn.fetch("select tenant_id, status from agent_autonomous_runs"))
    assert runs == {bad: "running", good: "timeout"}
