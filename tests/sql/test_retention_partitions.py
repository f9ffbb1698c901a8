"""Ids ordered by time, partitions cut by them, and what falls outside."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from uuid import UUID

import asyncpg
import pytest

from reactor.db import pool
from tests.conftest import Server, migrate_database, run_async
from tests.sql import people

_FLOOR = "select reactor.uuid7_floor($1)"


async def _run_at(conn: pool.Connection, tenant: UUID, at: datetime) -> tuple[UUID, str]:
    """A run whose id was made at that instant, and the partition it went to."""
    row = await conn.fetchrow(
        "insert into agent_autonomous_runs (id, tenant_id, started_at, created_at) values"
        " (reactor.uuid7_floor($2), $1, $2, $2)"
        " returning id, tableoid::regclass::text as part",
        tenant, at,
    )  # fmt: skip
    return row["id"], row["part"]


@pytest.fixture(params=["18", "15"], scope="module")
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    server: Server = request.getfixturevalue("server" if request.param == "18" else "pg15")
    name = server.create()
    migrate_database(server.url(name))
    yield server.url(name)
    server.drop(name)


class TestIds:
    """reactor.uuid7() and its relatives, on each server."""

    async def test_they_are_version_7_of_now_and_all_different(self, url: str) -> None:
        async with pool.connected(url, name="test") as conn:
            rows = await conn.fetch(
                "select reactor.uuid7() as id, statement_timestamp() as began from generate_series(1, 5000) n"
            )
            ended = await conn.fetchval("select clock_timestamp()")
        assert {row["id"].version for row in rows} == {7}
        assert {row["id"].variant for row in rows} == {UUID(int=0x8000 << 48).variant}
        assert len({row["id"] for row in rows}) == 5000
        for row in rows:
            made = datetime.fromtimestamp((row["id"].int >> 80) / 1000, UTC)
            assert row["began"] - timedelta(milliseconds=1) <= made <= ended

    async def test_they_grow_with_time_within_a_millisecond_too(self, url: str) -> None:
        async with pool.connected(url, name="test") as conn:
            rows = await conn.fetch("select reactor.uuid7() as id from generate_series(1, 500)")
        times = [row["id"].int >> 64 for row in rows]  # milliseconds, version, fraction of the millisecond
        assert times == sorted(times)
        assert len(set(times)) > len({time >> 16 for time in times}), "the fraction says nothing"

    async def test_the_floor_of_an_instant_is_below_every_id_of_it_and_tells_it(self, url: str) -> None:
        async with pool.connected(url, name="test") as conn:
            for at in (
                datetime(2026, 3, 1, tzinfo=UTC),
                datetime(1970, 1, 1, tzinfo=UTC),
                datetime(2999, 12, 31, tzinfo=UTC),
            ):
                floor = await conn.fetchval(_FLOOR, at)
                assert floor.int == int(at.timestamp() * 1000) << 80
                assert await conn.fetchval("select reactor.uuid7_time($1)", floor) == at
            assert await conn.fetchval(_FLOOR, None) is None


@pytest.mark.parametrize(
    ("at", "part"),
    [
        ("2031-01-31 23:59:59.999", "reactor.agent_autonomous_runs_2031_01"),
        ("2031-02-01 00:00:00", "reactor.agent_autonomous_runs_2031_02"),
        ("2031-02-28 23:59:59.999", "reactor.agent_autonomous_runs_2031_02"),
        ("2031-03-01 00:00:00", "reactor.agent_autonomous_runs_2031_03"),
        ("2030-12-31 23:59:59.999", "reactor.agent_autonomous_runs_default"),
        ("2031-04-01 00:00:00", "reactor.agent_autonomous_runs_default"),
    ],
)
@pytest.mark.parametrize("zone", ["UTC", "Pacific/Auckland"])
async def test_a_run_goes_to_the_month_of_its_id_in_utc(
    rolled_back: pool.Connection, zone: str, at: str, part: str
) -> None:
    await rolled_back.execute(f"set local timezone = '{zone}'")
    await rolled_back.execute(
        "select reactor.make_partitions('agent_autonomous_runs', 'month', 2, '2031-01-15 12:00Z')"
    )
    t = await people.tenant(rolled_back)
    assert (await _run_at(rolled_back, t.id, datetime.fromisoformat(at).replace(tzinfo=UTC)))[1] == part


@pytest.mark.parametrize(
    ("at", "part"),
    [
        ("2030-12-29 23:59:59.999", "reactor.email_provider_failures_default"),
        ("2030-12-30 00:00:00", "reactor.email_provider_failures_2031_w01"),
        ("2031-01-05 23:59:59.999", "reactor.email_provider_failures_2031_w01"),
        ("2031-01-06 00:00:00", "reactor.email_provider_failures_2031_w02"),
    ],
)
async def test_a_failure_goes_to_the_week_of_its_id_across_the_new_year(
    rolled_back: pool.Connection, at: str, part: str
) -> None:
    await rolled_back.execute(
        "select reactor.make_partitions('email_provider_failures', 'week', 1, '2030-12-31 12:00Z')"
    )
    t = await people.tenant(rolled_back)
    found = await rolled_back.fetchval(
        "insert into email_provider_failures (id, tenant_id, error_type) values (reactor.uuid7_floor($2),"
        " $1, 'auth')"
        " returning tableoid::regclass::text",
        t.id, datetime.fromisoformat(at).replace(tzinfo=UTC),
    )  # fmt: skip
    assert found == part


async def test_partitions_are_there_ahead_of_time_and_made_once(rolled_back: pool.Connection) -> None:
    # The template may be of last week or last month, when the suite runs over their end.
    await rolled_back.fetchval("select reactor.ensure_partitions()")
    count = "select count(*) from pg_inherits where inhparent = $1::text::regclass"
    assert (
        await rolled_back.fetchval(count, "agent_autonomous_runs") >= 5
    )  # this month, three more, the default one
    assert await rolled_back.fetchval(count, "email_provider_failures") >= 8
    assert await rolled_back.fetchval("select reactor.ensure_partitions()") == 0
    async with people.acting_as(rolled_back, "reactor"):
        assert (
            await rolled_back.fetchval("select reactor.ensure_partitions(p_months => 5, p_weeks => 7)") == 3
        )
    t = await people.tenant(rolled_back)
    part = await rolled_back.fetchval(
        "insert into agent_autonomous_runs (tenant_id) values ($1) returning tableoid::regclass::text", t.id
    )
    assert part == f"reactor.agent_autonomous_runs_{datetime.now(UTC):%Y_%m}"


async def test_rows_that_came_before_their_partition_move_into_it_with_what_refers_to_them(
    rolled_back: pool.Connection,
) -> None:
    t = await people.tenant(rolled_back)
    run, part = await _run_at(rolled_back, t.id, datetime(2031, 5, 5, tzinfo=UTC))
    assert part == "reactor.agent_autonomous_runs_default"
    await rolled_back.execute(
        "insert into agent_hourly_reflections (tenant_id, run_id) values ($1, $2)", t.id, run
    )
    await rolled_back.execute(
        "insert into agent_policy_violations (tenant_id, run_id, violation_type, reason) values ($1, $2,"
        " 'x', 'y')",
        t.id,
        run,
    )
    await rolled_back.execute(
        "insert into agent_tenant_locks (tenant_id, run_id, expires_at) values ($1, $2, now())", t.id, run
    )

    assert (
        await rolled_back.fetchval(
            "select reactor.make_partitions('agent_autonomous_runs', 'month', 0, '2031-05-20Z')"
        )
        == 1
    )
    assert await rolled_back.fetchval(
        "select tableoid::regclass::text from agent_autonomous_runs where id = $1", run
    ) == ("reactor.agent_autonomous_runs_2031_05")
    for table in ("agent_hourly_reflections", "agent_policy_violations", "agent_tenant_locks"):
        assert await rolled_back.fetchval(f"select run_id from {table}") == run, table


async def test_too_many_rows_stay_in_the_default_partition_and_inserts_go_on(
    rolled_back: pool.Connection,
) -> None:
    t = await people.tenant(rolled_back)
    for day in (1, 2, 3):
        await _run_at(rolled_back, t.id, datetime(2031, 5, day, tzinfo=UTC))
    made = await rolled_back.fetchval(
        "select reactor.make_partition('agent_autonomous_runs', 'agent_autonomous_runs_2031_05',"
        " '2031-05-01Z', '2031-06-01Z', 2)"
    )
    assert made is False
    assert (await _run_at(rolled_back, t.id, datetime(2031, 5, 4, tzinfo=UTC)))[
        1
    ] == "reactor.agent_autonomous_runs_default"


async def test_an_id_of_version_4_finds_its_place(rolled_back: pool.Connection) -> None:
    t = await people.tenant(rolled_back)
    part = await rolled_back.fetchval(
        "insert into agent_autonomous_runs (id, tenant_id) values"
        " ('9b2f8f5c-3c1e-4d54-8a71-0d5f3f0b7a11', $1)"
        " returning tableoid::regclass::text",
        t.id,
    )
    assert part == "reactor.agent_autonomous_runs_default"
    with pytest.raises(asyncpg.UniqueViolationError):
        await rolled_back.execute(
            "insert into agent_autonomous_runs (id, tenant_id) values"
            " ('9b2f8f5c-3c1e-4d54-8a71-0d5f3f0b7a11', $1)",
            t.id,
        )


def test_partitions_are_made_where_the_migration_is_not_superusers(server: Server) -> None:
    """The roles' owner makes them: a member of the role that a replica has may not, by itself."""

    async def check(url: str) -> None:
        async with pool.connected(url, name="test") as conn:
            async with people.acting_as(conn, "reactor"):
                with pytest.raises(asyncpg.InsufficientPrivilegeError):
                    await conn.execute("select reactor.make_partitions('agent_autonomous_runs', 'month', 9)")
            async with people.acting_as(conn, "reactor"):
                assert await conn.fetchval("select reactor.ensure_partitions(p_months => 9)") == 6

    name = server.create()
    migrate_database(server.url(name))
    run_async(check(server.url(name)))
    server.drop(name)
