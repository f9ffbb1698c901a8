"""Databases that had some of the tables already: nothing is lost, and the shape is the contract's."""

import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from reactor.db import pool
from tests import servers
from tests.conftest import PG15, Server, migrate_database, run_async
from tests.sql import catalogue

PREDECESSORS = sorted(path.stem for path in (Path(__file__).parent / "predecessors").glob("*.sql"))
OWNER = "crm_owner"  # may create roles and owns the database, like Supabase's postgres, and is no superuser

# Said in other words, by the contract: the value is kept, under another name or in another type.
RENAMED = {"touch_frequency_days": "engagement_interval_days"}
COMPUTED = {"is_compliant", "days_overdue"}
MOVED = {"entity_type", "entity_id"}
MERGED = {"agent_rate_limits"}


@dataclass(frozen=True)
class Adopted:
    """A predecessor's database after migration, and its rows from before."""

    url: str
    before: dict[str, dict[str, dict[str, Any]]]


async def _prepare(url: str, predecessor: str, owner: bool) -> dict[str, dict[str, dict[str, Any]]]:
    async with pool.connected(url, name="test") as conn:
        if owner:
            await conn.execute(
                f"do $$ begin create role {OWNER} createrole login; exception when duplicate_object then"
                f" null; end $$"
            )
            await conn.execute(
                f"do $$ begin execute format('alter database %I owner to {OWNER}', current_database());"
                f" end $$"
            )
            await conn.execute(f"set session authorization {OWNER}")
        await conn.execute((Path(__file__).parent / "predecessors" / f"{predecessor}.sql").read_text())
        await conn.execute("reset session authorization")
        tables = await conn.fetch(
            "select oid::regclass::text as name from pg_class where relnamespace = 'public'::regnamespace"
            " and relkind in ('r', 'p') and not relispartition"
        )
        return {row["name"]: await catalogue.rows(conn, row["name"]) for row in tables}


def _as_owner(url: str) -> str:
    return re.sub(r"//[^@/]*@", f"//{OWNER}@", url)


@pytest.fixture(scope="module", params=["18", "15"])
def any_server(request: pytest.FixtureRequest) -> Server:
    return request.getfixturevalue("server" if request.param == "18" else "pg15")


@pytest.fixture(scope="module", params=PREDECESSORS)
def adopted(request: pytest.FixtureRequest, any_server: Server) -> Iterator[Adopted]:
    name = any_server.create()
    url = any_server.url(name)
    before = run_async(_prepare(url, request.param, owner=False))
    migrate_database(url)
    yield Adopted(url, before)
    any_server.drop(name)


@pytest.fixture
async def after(adopted: Adopted) -> AsyncIterator[pool.Connection]:
    async with pool.connected(adopted.url, name="test") as conn:
        yield conn


@pytest.fixture(scope="module")
def fresh(any_server: Server) -> Iterator[dict[str, catalogue.Rules]]:
    name = any_server.create()
    migrate_database(any_server.url(name))

    async def read() -> dict[str, catalogue.Rules]:
        async with pool.connected(any_server.url(name), name="test") as conn:
            return await catalogue.read(conn)

    yield run_async(read())
    any_server.drop(name)


def _same(old: Any, new: Any) -> bool:
    if old is None or old == new:
        return True  # what was not said may have got its default
    if isinstance(old, str) and isinstance(new, str) and re.match(r"\d{4}-\d\d-\d\dT", old):
        return new.removesuffix("+00:00") == old.removesuffix("+00:00")
    if isinstance(old, dict) and isinstance(new, dict):
        return old.items() <= new.items()  # a setting that was missing may have got its default
    if isinstance(old, int | float) and isinstance(new, int | float):
        return float(old) == float(new)
    return isinstance(old, str) and old.replace(" ", "") == str(new).replace("'", '"').replace(" ", "")


async def test_every_row_is_still_there_or_in_the_archive(adopted: Adopted, after: pool.Connection) -> None:
    archived = [
        (row["table_name"], row["content"])
        for row in await after.fetch("select table_name, content from reactor.adoption_archive")
    ]
    looked_at = 0
    for table, old_rows in adopted.before.items():
        new_rows = await catalogue.rows(after, table)
        for key, old in old_rows.items():
            looked_at += 1
            kept_whole = any(
                name == table
                and all(
                    _same(value, content.get(RENAMED.get(column, column))) or column in COMPUTED
                    for column, value in old.items()
                )
                for name, content in archived
            )
            new = new_rows.get(key)
            if kept_whole or table in MERGED:
                continue
            assert new is not None, f"row {key} of {table} is gone"
            for column, value in old.items():
                if column in COMPUTED | MOVED:
                    continue
                name = RENAMED.get(column, column)
                assert name in new, f"{table}.{column} is gone"
                assert _same(value, new[name]), f"{table}.{column} of {key}: {value!r} became {new[name]!r}"
    assert looked_at > 0


async def test_the_catalogue_says_the_same_as_after_a_fresh_migration(
    after: pool.Connection, fresh: dict[str, catalogue.Rules]
) -> None:
    found = await catalogue.read(after)
    for kind, rules in fresh.items():
        # A default is the application's own word where the contract has none: its inserts rely on it.
        left_open = {key for key, value in rules.items() if kind == "columns" and value.endswith(",)")}
        missing = {
            key: value
            for key, value in rules.items()
            if found[kind].get(key) != value
            and not (key in left_open and str(found[kind].get(key)).startswith(value[:-1]))
        }
        assert not missing, (
            f"{kind}: {[(key, value, found[kind].get(key)) for key, value in missing.items()]}"
        )


async def test_what_is_there_besides_the_contract_speaks_of_the_applications_own_columns(
    adopted: Adopted, after: pool.Connection, fresh: dict[str, catalogue.Rules]
) -> None:
    found = await catalogue.read(after)
    own = {name for _, name in found["columns"].keys() - fresh["columns"].keys()}
    for key in found["columns"].keys() - fresh["columns"].keys():
        assert key[1] in next(iter(adopted.before[key[0]].values())), key
    for kind in ("constraints", "indexes"):
        for key in found[kind].keys() - fresh[kind].keys():
            assert any(name in found[kind][key] for name in own), (kind, key, found[kind][key])


async def test_a_constraint_that_old_rows_failed_holds_for_all_rows_now(after: pool.Connection) -> None:
    loose = await after.fetch(
        "select conname::text from pg_constraint where connamespace = 'public'::regnamespace and not"
        " convalidated"
    )
    assert [row["conname"] for row in loose] == []


async def test_old_runs_are_in_partitions_and_can_be_referred_to(
    adopted: Adopted, after: pool.Connection
) -> None:
    expected = set(adopted.before["agent_autonomous_runs"])
    assert {str(row["id"]) for row in await after.fetch("select id from agent_autonomous_runs")} == expected
    versions = await after.fetch(
        "select substr(id::text, 15, 1) as version, tableoid::regclass::text as part, started_at from"
        " agent_autonomous_runs"
    )
    assert all(
        row["part"] == "reactor.agent_autonomous_runs_default" for row in versions if row["version"] == "4"
    )
    this_month = await after.fetchval(
        "select 'reactor.agent_autonomous_runs_' || to_char(now() at time zone 'UTC', 'YYYY_MM')"
    )
    recent = [
        row for row in versions if row["version"] == "7" and f"{row['started_at']:%Y_%m}" == this_month[-7:]
    ]
    assert all(row["part"] == this_month for row in recent)

    tenant = await after.fetchval("select tenant_id from agent_autonomous_runs limit 1")
    run = await after.fetchval("select id from agent_autonomous_runs where tenant_id = $1 limit 1", tenant)
    violation = await after.fetchval(
        "insert into agent_policy_violations (tenant_id, run_id, violation_type, reason) values ($1, $2,"
        " 'x', 'y') returning id",
        tenant,
        run,
    )
    with pytest.raises(asyncpg.ForeignKeyViolationError):
        await after.execute(
            "update agent_policy_violations set run_id = gen_random_uuid() where id = $1", violation
        )


async def test_the_functions_replace_older_ones_of_their_name(after: pool.Connection) -> None:
    found = await after.fetch(
        "select p.oid::regprocedure::text as signature, p.prokind::text as kind,"
        " has_function_privilege('public', p.oid, 'execute') as open, p.proconfig from pg_proc p"
        " where pronamespace = 'public'::regnamespace and proname = any ($1) order by 1",
        [
            "acquire_tenant_lock",
            "release_tenant_lock",
            "extend_tenant_lock",
            "update_engagement_clock",
            "check_and_increment_rate_limit",
            "get_engagement_violations",
        ],
    )
    assert [row["signature"] for row in found] == [
        "acquire_tenant_lock(uuid,text,integer)",
        "check_and_increment_rate_limit(uuid,text,integer)",
        "extend_tenant_lock(uuid,integer)",
        "extend_tenant_lock(uuid,uuid,integer)",
        "get_engagement_violations(uuid)",
        "release_tenant_lock(uuid,uuid,text)",
        "update_engagement_clock(uuid,uuid,uuid,text,uuid)",
    ]
    assert not any(row["open"] for row in found)
    assert all(row["kind"] == "f" and row["proconfig"] == ['search_path=""'] for row in found)


async def test_the_agent_can_work_in_the_adopted_database(after: pool.Connection) -> None:
    tenant = await after.fetchval(
        "select id from tenants t where not exists (select from agent_tenant_locks l where l.tenant_id ="
        " t.id) limit 1"
    )
    run = await after.fetchval("select acquire_tenant_lock($1, 'test')", tenant)
    assert run is not None
    assert await after.fetchval("select release_tenant_lock($1, $2)", tenant, run)
    client = await after.fetchval("select id from clients limit 1")
    if client is not None:
        owner = await after.fetchval("select tenant_id from clients where id = $1", client)
        clock = await after.fetchval(
            "select update_engagement_clock($1, $2, null, 'call', null)", owner, client
        )
        assert await after.fetchval("select is_compliant from engagement_clocks where id = $1", clock)


@pytest.fixture(scope="module", params=["18", "15"])
def untouched_server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """A server on which nobody has made the reactor's roles yet."""
    if request.param == "15" and not (PG15 / "postgres").exists():
        pytest.skip(f"no PostgreSQL 15 in {PG15}")
    with servers.running(bin_dir=PG15 if request.param == "15" else None) as own:
        yield Server(own.url(), own)


@pytest.mark.parametrize("predecessor", PREDECESSORS)
def test_the_owner_of_the_database_may_migrate_it_without_being_superuser(
    untouched_server: Server, predecessor: str
) -> None:
    name = untouched_server.create()
    url = untouched_server.url(name)
    run_async(_prepare(url, predecessor, owner=True))
    migrate_database(_as_owner(url))

    async def check() -> None:
        async with pool.connected(_as_owner(url), name="test") as conn:
            run = await conn.fetchval(
                "select acquire_tenant_lock((select id from tenants order by id desc limit 1), 'test')"
            )
            assert run is not None or await conn.fetchval("select count(*) from agent_tenant_locks") > 0
            owners = await conn.fetch(
                "select distinct pg_get_userbyid(relowner)::text as owner from pg_class where relnamespace"
                " = 'reactor'::regnamespace"
            )
            assert [row["owner"] for row in owners] == ["reactor_owner"]
            assert not await conn.fetchval("select has_schema_privilege('reactor_owner', 'public', 'create')")

    run_async(check())
    untouched_server.drop(name)
