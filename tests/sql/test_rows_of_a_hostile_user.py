"""What a tenant's users write into rows of their own, as policies let them, is no other tenant's trouble.

They may write the leases and runs of their tenant with any values, and know the ids that are in them.
"""

from collections.abc import Iterator
from uuid import UUID

import pytest

from reactor.db import operations, pool
from tests.conftest import Server, migrate_database
from tests.sql.people import Tenant

AWAY = ["9999-01-01", "294276-01-01", "4713-01-01 BC", "infinity", "-infinity"]


@pytest.fixture(params=["18", "15"], scope="module")
def shared_url(request: pytest.FixtureRequest) -> Iterator[str]:
    # Up to 16 an infinite time cannot be subtracted from.
    server: Server = request.getfixturevalue("server" if request.param == "18" else "pg15")
    name = server.create()
    migrate_database(server.url(name))
    yield server.url(name)
    server.drop(name)


async def _claimed(conn: pool.Connection, *tenants: Tenant) -> dict[UUID, UUID]:
    """Their runs, of one claim."""
    await conn.execute("delete from agent_tenant_locks; delete from agent_autonomous_runs")
    for tenant in tenants:
        await conn.execute("select reactor.emit($1, 'x')", tenant.id)
    rows = await conn.fetch(
        "select tenant_id, run_id from reactor.claim('replica', 10, 10, '1 hour', null, '{}')"
    )
    assert len(rows) >= len(tenants)
    return {row["tenant_id"]: row["run_id"] for row in rows}


async def _writes(conn: pool.Connection, user: Tenant, *statements: str) -> None:
    await conn.execute(
        "set local role authenticated; "
        f"select set_config('request.jwt.claims', '{{\"sub\": \"{user.user}\"}}', true)"
    )
    for statement in statements:
        assert not (await conn.execute(statement)).endswith(" 0")
    await conn.execute("set local role none")


async def _status(conn: pool.Connection, run: UUID) -> str:
    return await conn.fetchval("select status from agent_autonomous_runs where id = $1", run)


async def test_a_lease_that_names_anothers_run_ends_without_it(
    rolled_back: pool.Connection, two: tuple[Tenant, Tenant]
) -> None:
    ours, theirs = two
    runs = await _claimed(rolled_back, ours, theirs)
    await _writes(
        rolled_back,
        ours,
        f"update agent_tenant_locks set run_id = '{runs[theirs.id]}', expires_at = now() - interval '1 day'",
    )
    ended = await rolled_back.fetch("select tenant_id from reactor.rescue()")
    assert [row["tenant_id"] for row in ended] == [ours.id]
    assert await _status(rolled_back, runs[theirs.id]) == "running"


async def test_a_lease_that_names_a_replica_keeps_it_from_no_suspect_of_another_tenant(
    rolled_back: pool.Connection, two: tuple[Tenant, Tenant]
) -> None:
    """A replica has one event at a time that may end it, and knows itself which."""
    ours, theirs = two
    await _claimed(rolled_back, ours)
    await rolled_back.execute("delete from agent_tenant_locks where tenant_id = $1", theirs.id)
    await rolled_back.execute("update reactor.events set interruptions = 2")
    await _writes(
        rolled_back, ours, "update agent_tenant_locks set lock_holder = 'beset', expires_at = 'infinity'"
    )
    claim = (
        "select tenant_id from reactor.claim("
        "'beset', 10, 10, '1 hour', null, '{}', null, '{}', '{}', $1::uuid[]) where run_id is not null"
    )
    assert await rolled_back.fetch(claim, [ours.id]) == []
    (row,) = await rolled_back.fetch(claim, [])
    assert row["tenant_id"] == theirs.id


async def test_a_lease_that_names_anothers_run_neither_holds_it_nor_is_taken_for_its_own(
    rolled_back: pool.Connection, two: tuple[Tenant, Tenant]
) -> None:
    ours, theirs = two
    runs = await _claimed(rolled_back, ours, theirs)
    run = runs[theirs.id]
    await rolled_back.execute("select reactor.enlist('replica', '1 hour', '', '{}')")
    await _writes(
        rolled_back,
        ours,
        f"update agent_tenant_locks set run_id = '{run}', id = '{theirs.id}', locked_at = '-infinity'",
    )
    for name in (run, theirs.id):
        broken = await rolled_back.fetchrow("select * from reactor.break_lock($1, 'x')", name)
        assert (broken["tenant_id"], broken["broken"]) == (theirs.id, False)
    await rolled_back.execute("delete from agent_tenant_locks where tenant_id = $1", theirs.id)
    assert await rolled_back.fetchval("select reactor.leaseless($1)", [run]) == [run]
    await rolled_back.execute("select reactor.break_lock($1, 'x', true)", ours.id)
    assert await _status(rolled_back, run) == "running"


@pytest.mark.parametrize("began", AWAY)
@pytest.mark.parametrize(
    "end",
    [
        "select count(*) from reactor.rescue()",
        "select reactor.abandon(array['{0}', '{1}']::uuid[], array['{2}', '{3}']::uuid[], true, 'x')",
        "select public.release_tenant_lock('{0}', '{2}')",
    ],
)
async def test_a_run_that_began_at_any_time_can_be_ended(
    rolled_back: pool.Connection, two: tuple[Tenant, Tenant], end: str, began: str
) -> None:
    ours, theirs = two
    runs = await _claimed(rolled_back, ours, theirs)
    await rolled_back.execute("update agent_tenant_locks set expires_at = now() - interval '1 day'")
    await _writes(rolled_back, ours, f"update agent_autonomous_runs set started_at = '{began}'")
    assert await rolled_back.fetchval(end.format(ours.id, theirs.id, runs[ours.id], runs[theirs.id]))
    assert await _status(rolled_back, runs[ours.id]) in ("timeout", "failed", "completed")


@pytest.mark.parametrize("counts", [None, '[{{"run": "{0}", "planned": -5, "executed": 5}}]'])
@pytest.mark.parametrize("began", AWAY)
async def test_a_run_with_any_values_of_its_users_can_be_settled(
    rolled_back: pool.Connection, two: tuple[Tenant, Tenant], began: str, counts: str | None
) -> None:
    ours, theirs = two
    runs = await _claimed(rolled_back, ours, theirs)
    await _writes(
        rolled_back,
        ours,
        f"update agent_autonomous_runs set started_at = '{began}', actions_planned = -2147483648, "
        "actions_executed = 2147483647",
    )
    await rolled_back.execute(
        "select reactor.settle($1, $2, '{f,f}', '{}', null, $3::text::jsonb, 10, '1 hour', '{}')",
        [ours.id, theirs.id],
        [runs[ours.id], runs[theirs.id]],
        None if counts is None else counts.format(runs[ours.id]),
    )
    assert [await _status(rolled_back, run) for run in runs.values()] == ["completed", "completed"]


@pytest.mark.parametrize("ends", AWAY)
async def test_the_deadline_timer_knows_its_next_moment_whenever_a_lease_ends(
    rolled_back: pool.Connection, two: tuple[Tenant, Tenant], ends: str
) -> None:
    await _writes(rolled_back, two[0], f"update agent_tenant_locks set expires_at = '{ends}'")
    wait = await rolled_back.fetchval("select reactor.next_deadline('1 minute', '{}')")
    assert 0 <= wait.total_seconds() <= 60


@pytest.mark.parametrize("count", [-(2**31), 2**31 - 1])
async def test_numbers_of_any_size_are_added_up(
    rolled_back: pool.Connection, two: tuple[Tenant, Tenant], count: int
) -> None:
    columns = ["actions_planned", "actions_executed", "actions_blocked", "emails_sent", "cards_created"]
    await _writes(
        rolled_back,
        two[0],
        "insert into agent_autonomous_runs "
        f"(tenant_id, status, completed_at, duration_ms, {', '.join(columns)})"
        f" select '{two[0].id}', 'completed', now(), {count}{f', {count}' * len(columns)}"
        " from generate_series(1, 3)",
    )
    metrics = await rolled_back.fetch("select * from reactor.hour_metrics(date_trunc('hour', now()))")
    facts = await rolled_back.fetch("select * from reactor.rule_facts(now() + interval '1 minute')")
    for rows in (metrics, facts):
        assert {two[0].id, two[1].id} <= {row["tenant_id"] for row in rows}
    (ours,) = [row for row in facts if row["tenant_id"] == two[0].id]
    assert ours["planned"] == max(count, 0)


@pytest.mark.parametrize("made", ["infinity", "9999-01-01"])
async def test_a_row_that_claims_to_be_made_in_days_to_come_keeps_no_partition(
    rolled_back: pool.Connection, two: tuple[Tenant, Tenant], made: str
) -> None:
    await rolled_back.execute(
        "select reactor.make_partition('agent_autonomous_runs', 'runs_of_old', '2025-01-01', '2025-02-01')"
    )
    for tenant, created in ((two[0], made), (two[1], "2025-01-05")):
        await _writes(
            rolled_back,
            tenant,
            "insert into agent_autonomous_runs (id, tenant_id, created_at) "
            f"values ('01942000-0000-7000-8000-{tenant.id.hex[:12]}', '{tenant.id}', '{created}')",
        )
    await rolled_back.execute("select * from reactor.apply_retention()")
    assert await rolled_back.fetchval("select to_regclass('reactor.runs_of_old')") is None


@pytest.mark.parametrize("window", ["infinity", "294276-12-31 23:00"])
async def test_a_window_at_the_end_of_time_keeps_no_place_from_being_found(
    rolled_back: pool.Connection, two: tuple[Tenant, Tenant], window: str
) -> None:
    ours = two[0].id
    await _writes(
        rolled_back,
        two[0],
        "insert into agent_rate_limits (tenant_id, action_type, window_start, window_end, action_count) "
        f"select '{ours}', 'email', w, w, 5 "
        f"from unnest(array['{window}', date_trunc('hour', now(), 'UTC')]::timestamptz[]) w",
    )
    await rolled_back.execute("set local statement_timeout = '5s'")
    (place,) = await rolled_back.fetch(
        "select * from reactor.reserve_slots($1, 'email', 1, 5, 100, 100)", ours
    )
    assert 0 < place["delay"].total_seconds() <= 3600


async def test_texts_of_any_length_are_cut_in_the_lists_of_all_tenants(
    rolled_back: pool.Connection, two: tuple[Tenant, Tenant]
) -> None:
    """Replicas read these, for the dashboard and for the hour's figures: one of a gigabyte would end them."""
    ours, theirs = two
    await _claimed(rolled_back, ours, theirs)
    await rolled_back.execute("delete from agent_alerts; delete from agent_policy_violations")
    long = "repeat('x', 2000000)"
    await _writes(
        rolled_back,
        ours,
        f"update agent_tenant_locks set lock_holder = {long}",
        "insert into agent_alerts (tenant_id, alert_type, severity, message, metadata) "
        f"values ('{ours.id}', repeat('x', 100000), 'info', {long}, jsonb_build_object('why', {long}))",
        "insert into agent_policy_violations (tenant_id, violation_type, reason) "
        f"select '{ours.id}', n || repeat('x', 100000), '' from generate_series(1, 100) n",
    )
    read: list[pool.Record] = [
        *await operations.list_locks(rolled_back, 10),
        *await operations.list_alerts(rolled_back, 10),
        *await operations.list_tenants(rolled_back, 1000),
        *await rolled_back.fetch("select * from reactor.hour_metrics(date_trunc('hour', now()))"),
    ]
    assert {ours.id} <= {row.get("tenant_id") for row in read}
    assert max(len(str(value)) for row in read for value in row.values()) <= 10_000
    (figures,) = [row for row in read if row.get("policy_violations") and row["tenant_id"] == ours.id]
    assert figures["policy_violations"] == 100
