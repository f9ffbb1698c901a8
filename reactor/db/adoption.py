"""What an application's own tables must have before ``sql/`` can be applied beside them.

The tables of the host (sql/schema/0002) are made where they are absent and left as they are where they
exist, and what follows refers to them: foreign keys to their ids, policies over their ``tenant_id``,
functions that read a tenant's switches. One that cannot bear this would fail a file half way through; all
of them are looked at before the first, and nothing is changed.

The reactor's own tables are brought to their shape where an older one exists. A table that only has the
name of one would be robbed by that: rows that no tenant has go to the archive.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import LiteralString

from reactor.db.pool import Connection

#: The files that meet the host's tables: with one of them pending, the tables are looked at.
FILES = ("schema/0002_host_tables", "functions/protected_tables")
#: The file with which the adoption of older tables ends.
END = "schema/0099_adoption_end"

# What refers to a table's id; a foreign key needs it unique. Products are referred to by the orders that
# the migration makes, and by nothing when there are orders already.
_REFERRED: dict[str, str] = {
    "tenants": "every table of the reactor",
    "profiles": "engagement_clocks, agent_alerts and order_processing_exceptions",
    "clients": "engagement_clocks",
    "contacts": "engagement_clocks",
    "products": "the orders that the migration makes",
    "orders": "order_processing_queue and order_processing_exceptions",
}
_HOST = (*_REFERRED, "kanban_cards", "email_suppressions")
_OURS = (
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
# The one without a tenant, and what one knows it by.
_CONFIG, _CONFIG_KEYS = "system_config", ("key", "value")
# Columns of tenants that may be absent, and are added then; of another type they are of no use.
_SWITCHES = ("is_active", "agent_enabled")
_NUMBERS = ("smallint", "integer", "bigint", "numeric")
_NEW_ID = "id uuid not null unique default gen_random_uuid()"

_LOOK: LiteralString = """
select w.name, c.relkind::text as kind, pg_catalog.pg_get_userbyid(c.relowner)::text as owner,
    pg_catalog.pg_has_role(c.relowner, 'usage') as mine, current_user::text as me,
    col.names, col.types, col.bases,
    array(
        select pg_catalog.quote_ident(a.attname)
        from pg_catalog.pg_index i
        join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attnum = i.indkey[0]
        where i.indrelid = c.oid and i.indisunique and i.indimmediate and i.indisvalid
          and i.indnkeyatts = 1 and i.indpred is null and i.indexprs is null
        order by i.indisprimary desc, i.indexrelid) as keys,
    array(
        select pg_catalog.quote_ident(a.attname)
        from pg_catalog.pg_constraint k
        join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attnum = k.conkey[1]
        where k.conrelid = c.oid and k.contype = 'f' and pg_catalog.cardinality(k.conkey) = 1
          and a.atttypid = 'pg_catalog.uuid'::pg_catalog.regtype
        order by k.conkey[1], k.oid) as links,
    array(
        select pg_catalog.format('%I.%I', n.nspname, r.relname)
        from pg_catalog.pg_constraint k
        join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attnum = k.conkey[1]
        join pg_catalog.pg_class r on r.oid = k.confrelid
        join pg_catalog.pg_namespace n on n.oid = r.relnamespace
        where k.conrelid = c.oid and k.contype = 'f' and pg_catalog.cardinality(k.conkey) = 1
          and a.atttypid = 'pg_catalog.uuid'::pg_catalog.regtype
        order by k.conkey[1], k.oid) as targets
from pg_catalog.unnest($1::text[]) with ordinality as w (name, place)
join pg_catalog.pg_namespace n on n.nspname = 'public'
join pg_catalog.pg_class c on c.relnamespace = n.oid and c.relname = w.name
cross join lateral (
    select coalesce(pg_catalog.array_agg(pg_catalog.quote_ident(a.attname) order by a.attnum), '{}') as names,
        coalesce(pg_catalog.array_agg(
            pg_catalog.format_type(a.atttypid, a.atttypmod) order by a.attnum), '{}') as types,
        coalesce(pg_catalog.array_agg(
            pg_catalog.format_type(coalesce(nullif(t.typbasetype, 0), t.oid), null) order by a.attnum),
            '{}') as bases
    from pg_catalog.pg_attribute a
    join pg_catalog.pg_type t on t.oid = a.atttypid
    where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped) as col
order by w.place
"""

_KINDS = {
    "v": "a view",
    "m": "a materialized view",
    "f": "a foreign table",
    "S": "a sequence",
    "i": "an index",
    "I": "an index",
    "c": "a type",
}


@dataclass(frozen=True, slots=True)
class Obstacle:
    """Why a table of the application cannot be built on: what is there, what is needed, the way out."""

    what: str
    mend: str

    def __str__(self) -> str:
        return f"{self.what}\n  → {self.mend}"


@dataclass(frozen=True, slots=True)
class Archived:
    """What an adopted table, or a view of it, had and could not keep: so many rows of the archive."""

    table: str
    reason: str
    rows: int


_ARCHIVED: LiteralString = """
select table_name, reason, pg_catalog.count(*) as rows
from reactor.adoption_archive
group by table_name, reason
order by pg_catalog.min(id)
"""


async def archived(connection: Connection) -> list[Archived]:
    """All that adopting a database changed or set aside, in the order in which it did."""
    return [
        Archived(row["table_name"], row["reason"], row["rows"]) for row in await connection.fetch(_ARCHIVED)
    ]


@dataclass(frozen=True, slots=True)
class _Table:
    name: str
    kind: str
    owner: str
    mine: bool
    me: str
    types: dict[str, str]
    bases: dict[str, str]
    keys: list[str]
    links: dict[str, str]

    @property
    def aside(self) -> str:
        """For one that only happens to have the name of ours."""
        # The indexes of a renamed table keep the names that ours shall have.
        ways = "rename it, or move it" if self.name in _HOST else "move it"
        return (
            f"when it is something else by the same name, {ways} out of schema public"
            f" (create schema app; alter table public.{self.name} set schema app;"
            f" and app before public in the application's search_path): the migration then makes its own"
        )


async def obstacles(connection: Connection, *, migrating: bool = True) -> list[Obstacle]:
    """All of them, in the order of the tables; nothing is changed.

    ``migrating``: as the role that migrates, which must own the tables.
    """
    tables = {
        row["name"]: _Table(
            row["name"],
            row["kind"],
            row["owner"],
            row["mine"],
            row["me"],
            dict(zip(row["names"], row["types"], strict=True)),
            dict(zip(row["names"], row["bases"], strict=True)),
            row["keys"],
            dict(zip(row["links"], row["targets"], strict=True)),
        )
        for row in await connection.fetch(_LOOK, [*_HOST, *_OURS, _CONFIG])
    }
    found: list[Obstacle] = []
    encoding = await connection.fetchval("select pg_catalog.current_setting('server_encoding')")
    # SQL_ASCII keeps whatever it is given.
    if encoding not in ("UTF8", "SQL_ASCII"):
        found.append(
            Obstacle(
                f"the database is encoded in {encoding}, which lacks characters of messages and payloads",
                "pg_dump it, and restore it into one of UTF8:"
                " create database … encoding 'UTF8' template template0",
            )
        )
    for table in tables.values():
        if table.kind not in ("r", "p"):
            found.append(
                Obstacle(
                    f"public.{table.name} is {_KINDS.get(table.kind, 'no table')}, and a table is needed",
                    "rename it, or move it out of schema public: the migration then makes a table",
                )
            )
            continue
        if migrating and not table.mine:
            found.append(
                Obstacle(
                    f"public.{table.name} belongs to {table.owner}, and {table.me} may not alter it",
                    f"migrate as {table.owner} or as a superuser, or: grant {table.owner} to {table.me}",
                )
            )
        if table.name in _HOST:
            found += _host(table, tables)
        else:
            found += await _ours(connection, table)
    return found


def _host(table: _Table, tables: Mapping[str, _Table]) -> list[Obstacle]:
    found: list[Obstacle] = []
    if table.name in _REFERRED and not (table.name == "products" and "orders" in tables):
        found += _id(table)
    if table.name == "tenants":
        found += _switches(table)
    else:
        found += _tenant(table, has_tenants="tenants" in tables)
    return found


async def _ours(connection: Connection, table: _Table) -> list[Obstacle]:
    known_by = _CONFIG_KEYS if table.name == _CONFIG else ("tenant_id",)
    lacks = [name for name in known_by if name not in table.types]
    if lacks:
        what = f"public.{table.name} has no {' and no '.join(lacks)}: it is no table of the reactor"
        return [Obstacle(what, table.aside)]
    # Numbers become no uuids; where there is no row yet, nothing is lost with them.
    numbers = [name for name in ("id", "tenant_id") if table.bases.get(name) in _NUMBERS]
    if (
        numbers
        and table.mine
        and await connection.fetchval(
            f"select exists (select from public.{table.name})"  # noqa: S608 - one of the names above
        )
    ):
        what = f"public.{table.name}.{numbers[0]} is of type {table.types[numbers[0]]}, and a uuid is needed"
        return [Obstacle(what, table.aside)]
    return []


def _id(table: _Table) -> Sequence[Obstacle]:
    where, needed = f"public.{table.name}.id", f"it is referred to by {_REFERRED[table.name]}"
    exact = table.name == "tenants"  # a policy compares it with the tenant of the transaction
    aside = "" if exact else f"; or, {table.aside}"
    if "id" not in table.types:
        key = next((name for name in table.keys if table.bases[name] == "uuid"), None)
        mend = (
            f"alter table public.{table.name} rename column {key} to id"
            if key
            else f"alter table public.{table.name} add column {_NEW_ID}"
        )
        return [Obstacle(f"{where} does not exist, and a unique uuid is needed: {needed}", mend + aside)]
    if (table.types if exact else table.bases)["id"] != "uuid":
        mend = (
            f"give each row a uuid as well: alter table public.{table.name} rename column id to old_id;"
            f" alter table public.{table.name} add column {_NEW_ID}"
        )
        what = f"{where} is of type {table.types['id']}, and a uuid is needed: {needed}"
        return [Obstacle(what, mend + aside)]
    if "id" not in table.keys:
        what = f"{where} has no primary key or unique constraint of its own, and needs one: {needed}"
        return [Obstacle(what, f"alter table public.{table.name} add unique (id){aside}")]
    return []


def _switches(table: _Table) -> Sequence[Obstacle]:
    return [
        Obstacle(
            f"public.tenants.{name} is of type {table.types[name]}, and a boolean is needed",
            f"alter table public.tenants alter column {name} type boolean using …; or rename the column:"
            " the migration then adds its own",
        )
        for name in _SWITCHES
        if table.bases.get(name, "boolean") != "boolean"
    ]


def _tenant(table: _Table, *, has_tenants: bool) -> Sequence[Obstacle]:
    where = f"public.{table.name}.tenant_id"
    needed = "a row's tenant, a uuid, is needed: row level security keeps tenants apart by it"
    if "tenant_id" not in table.types:
        mend = f"alter table public.{table.name} add column tenant_id uuid, and fill it"
        for link, target in table.links.items():
            if target == "public.tenants":
                mend = f"alter table public.{table.name} rename column {link} to tenant_id"
                break
            if not has_tenants and target.startswith("public."):
                mend += (
                    f"; where {target} are the tenants: alter table {target} rename to tenants;"
                    f" alter table public.{table.name} rename column {link} to tenant_id"
                )
                break
        return [Obstacle(f"{where} does not exist, and {needed}", f"{mend}; or, {table.aside}")]
    if table.types["tenant_id"] != "uuid":
        mend = (
            f"alter table public.{table.name} rename column tenant_id to old_tenant_id;"
            f" alter table public.{table.name} add column tenant_id uuid, and fill it; or, {table.aside}"
        )
        return [Obstacle(f"{where} is of type {table.types['tenant_id']}, and {needed}", mend)]
    return []
