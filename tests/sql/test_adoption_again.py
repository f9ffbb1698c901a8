"""Every migration can be run again without effect, also over data."""

from pathlib import Path
from typing import Any

import pytest

from reactor.db import pool
from tests.conftest import migrate_database
from tests.sql import catalogue

_OBJECTS = """
with acl (text, oid) as (
  select string_agg(x.grantee::regrole || ' ' || x.privilege_type, ', ' order by x.grantee, x.privilege_type),
         o.oid
  from (select oid, relacl from pg_class union all select oid, proacl from pg_proc
        union all select oid, nspacl from pg_namespace) o (oid, acl),
       aclexplode(o.acl) x
  group by o.oid
)
select format('relation %s %s %s %s', c.oid::regclass, c.relkind, c.relowner::regrole, a.text) as line
from pg_class c left join acl a on a.oid = c.oid
where c.relnamespace in ('reactor'::regnamespace, 'public'::regnamespace)
union all
select format('routine %s %s %s %s', p.oid::regprocedure, p.proowner::regrole, md5(p.prosrc), a.text)
from pg_proc p left join acl a on a.oid = p.oid
where p.pronamespace in ('reactor'::regnamespace, 'public'::regnamespace)
union all
select 'trigger ' || pg_get_triggerdef(t.oid) from pg_trigger t where not t.tgisinternal
union all
select format('schema %s %s', n.nspname, a.text) from pg_namespace n left join acl a on a.oid = n.oid
where n.nspname !~ '^pg_(toast|temp)'
"""


async def _state(conn: pool.Connection) -> dict[str, Any]:
    everything = catalogue.CONTRACT_TABLES + catalogue.HOST_TABLES
    return {
        "catalogue": await catalogue.read(conn, everything),
        "objects": {row["line"] for row in await conn.fetch(_OBJECTS)},
        "rows": {table: await catalogue.rows(conn, table) for table in everything},
        "archive": await conn.fetchval("select count(*) from reactor.adoption_archive"),
    }


async def _differences(database_url: str) -> dict[str, Any]:
    async with pool.connected(database_url, name="test") as conn:
        before = await _state(conn)
        await conn.execute("delete from reactor.migrations")
    migrate_database(database_url)
    async with pool.connected(database_url, name="test") as conn:
        after = await _state(conn)
    objects = before.pop("objects") ^ after.pop("objects")
    differences = {key: (before[key], after[key]) for key in before if before[key] != after[key]}
    return differences | ({"objects": objects} if objects else {})


async def test_all_files_over_a_migrated_database_with_data_change_nothing(database_url: str) -> None:
    async with pool.connected(database_url, name="test") as conn:
        tenant = await conn.fetchval("insert into tenants (name) values ('One') returning id")
        client = await conn.fetchval(
            "insert into clients (tenant_id, company_name) values ($1, 'C') returning id", tenant
        )
        await conn.execute(
            "insert into engagement_clocks (tenant_id, client_id, next_touch_due) values ($1, $2, now())",
            tenant,
            client,
        )
        await conn.execute(
            "insert into agent_alerts (tenant_id, alert_type, severity) values ($1, 'a', 'info')", tenant
        )
        await conn.execute(
            "insert into email_provider_failures (tenant_id, error_type) values ($1, 'auth')", tenant
        )
        await conn.fetchval("select acquire_tenant_lock($1, 'me')", tenant)
        await conn.execute(
            'update system_config set value = \'{"global_enabled": true, "kill_switch_reason": "x"}\''
        )
    assert await _differences(database_url) == {}


@pytest.mark.parametrize(
    "predecessor", sorted(path.stem for path in (Path(__file__).parent / "predecessors").glob("*.sql"))
)
async def test_all_files_over_an_adopted_database_change_nothing(
    empty_database_url: str, predecessor: str
) -> None:
    async with pool.connected(empty_database_url, name="test") as conn:
        await conn.execute((Path(__file__).parent / "predecessors" / f"{predecessor}.sql").read_text())
    migrate_database(empty_database_url)
    assert await _differences(empty_database_url) == {}
