"""What the catalogue says of the contract's tables, comparable between two databases."""

from collections.abc import Mapping
from typing import Any

from reactor.db import pool

TENANT_TABLES = (
    "agent_autonomous_runs",
    "agent_tenant_locks",
    "engagement_clocks",
    "agent_policy_violations",
    "order_processing_queue",
    "order_processing_exceptions",
    "agent_hourly_reflections",
    "agent_rate_limits",
    "agent_alerts",
    "email_provider_failures",
)
CONTRACT_TABLES = (*TENANT_TABLES, "system_config")
HOST_TABLES = (
    "tenants",
    "profiles",
    "clients",
    "contacts",
    "products",
    "orders",
    "kanban_cards",
    "email_suppressions",
)

_COLUMNS = """
select c.relname::text as table, a.attname::text as name,
       (format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attgenerated,
        pg_get_expr(d.adbin, d.adrelid))::text as definition
from pg_class c
join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
left join pg_attrdef d on d.adrelid = c.oid and d.adnum = a.attnum
where c.relnamespace = 'public'::regnamespace and c.relname = any ($1)
"""
_CONSTRAINTS = """
select c.conrelid::regclass::text as table, c.conname::text as name,
       pg_get_constraintdef(c.oid) as definition
from pg_constraint c
where c.connamespace = 'public'::regnamespace and c.conrelid::regclass::text = any ($1)
  and c.contype in ('p', 'u', 'f', 'c')
"""
_INDEXES = """
select tablename::text as table, indexname::text as name, indexdef as definition
from pg_indexes where schemaname = 'public' and tablename = any ($1)
"""
_POLICIES = """
select tablename::text as table, policyname::text as name,
       (permissive, roles, cmd, qual, with_check)::text as definition
from pg_policies where schemaname = 'public' and tablename = any ($1)
"""
_GRANTS = """
select c.relname::text as table,
       (case a.grantee when 0 then 'public' else pg_get_userbyid(a.grantee) end
        || ' ' || a.privilege_type)::text as name,
       '' as definition
from pg_class c, aclexplode(c.relacl) a
where c.relnamespace = 'public'::regnamespace and c.relname = any ($1) and a.grantee <> c.relowner
"""
_SECURITY = """
select relname::text as table, 'rls' as name, (relrowsecurity, relkind, reloptions)::text as definition
from pg_class where relnamespace = 'public'::regnamespace and relname = any ($1)
"""

Rules = Mapping[tuple[str, str], str]


async def read(conn: pool.Connection, tables: tuple[str, ...] = CONTRACT_TABLES) -> dict[str, Rules]:
    """For each kind of thing: {(table, name): definition}."""
    queries = {
        "columns": _COLUMNS,
        "constraints": _CONSTRAINTS,
        "indexes": _INDEXES,
        "policies": _POLICIES,
        "grants": _GRANTS,
        "security": _SECURITY,
    }
    async with conn.transaction():
        await conn.execute("set local search_path = 'public'")
        return {
            kind: {
                (row["table"], row["name"]): row["definition"]
                for row in await conn.fetch(query, list(tables))
            }
            for kind, query in queries.items()
        }


async def rows(conn: pool.Connection, table: str) -> dict[str, dict[str, Any]]:
    """All rows of a table, by their first column, as JSON shows them."""
    async with conn.transaction():
        await conn.execute("set local timezone = 'UTC'")
        key = await conn.fetchval(
            "select attname::text from pg_attribute where attrelid = $1::text::regclass and attnum > 0 and"
            " not attisdropped"
            " order by attname <> 'id', attname <> 'key', attname <> 'name' limit 1",
            table,
        )
        found = await conn.fetch(f"select to_jsonb(t) as row from {table} t")
    return {str(row["row"][key]): row["row"] for row in found}
