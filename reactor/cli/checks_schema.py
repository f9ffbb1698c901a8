"""What `reactor doctor` looks at in the schema: migrations, triggers, row level security."""

from typing import LiteralString

from reactor.cli.checks import Finding
from reactor.cli.watch import unwatch_command, watch_command
from reactor.db import migrate, operations
from reactor.db.pool import Connection
from reactor.telemetry.words import many

# Triggers that are not made by reactor.watch(): without them the kill switch is slow, deadlines are late, or
# who deletes a tenant may meet a deadlock.
_TRIGGERS: LiteralString = """
select w.name, w.relation, t.tgenabled is not null as there,
    coalesce(t.tgenabled in ('O', 'A'), false) as works
from (values
    ('reactor_gate', 'public.tenants'),
    ('reactor_channels', 'public.tenants'),
    ('reactor_delete', 'public.tenants'),
    ('reactor_gate', 'public.system_config'),
    ('reactor_announce_insert', 'public.engagement_clocks'),
    ('reactor_announce_update', 'public.engagement_clocks'),
    ('judge_engagement_clock', 'public.engagement_clocks')
) w (name, relation)
left join pg_catalog.pg_trigger t on t.tgrelid = pg_catalog.to_regclass(w.relation) and t.tgname = w.name
"""

# Functions of triggers on tables that handlers write, which name a schema of Supabase's that handlers may not
# use: who migrates there cannot let them in.
_KEPT_OUT: LiteralString = r"""
select s.name as schema, p.oid::pg_catalog.regprocedure::text as function,
    (select pg_catalog.string_agg(distinct t.tgrelid::pg_catalog.regclass::text, ', ')
     from pg_catalog.pg_trigger t
     where t.tgfoid = p.oid and t.tgenabled in ('O', 'A') and exists (
        select from pg_catalog.pg_policy o
        where o.polrelid = t.tgrelid and o.polname = 'reactor_tenant')) as tables
from (values ('auth'), ('extensions')) as s (name)
join pg_catalog.pg_roles r on r.rolname = 'reactor_handler'
join pg_catalog.pg_proc p on p.prorettype = 'pg_catalog.trigger'::pg_catalog.regtype
    and not p.prosecdef and p.prosrc ~* ('\m' || s.name || '\.')
where not pg_catalog.has_schema_privilege(r.oid, pg_catalog.to_regnamespace(s.name)::oid, 'usage')
order by 1, 2
"""

# Every table of the contract with a tenant, its partitions included: what of its protection is missing.
_CONTRACT: LiteralString = """
select n.nspname || '.' || c.relname as name, c.relrowsecurity as secured,
    case when c.relispartition then '{}' else array(
        select p.name from pg_catalog.unnest(array['tenant_isolation', 'service_role_all', 'reactor_engine',
            'reactor_tenant', 'reactor_tenant_only']) as p (name)
        where not exists (select from pg_catalog.pg_policy o where o.polrelid = c.oid and o.polname = p.name))
    end as missing
from pg_catalog.pg_class c
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('r', 'p') and coalesce(
    (select i.inhparent from pg_catalog.pg_inherits i where i.inhrelid = c.oid and c.relispartition), c.oid)
    = any (array(select pg_catalog.to_regclass('public.' || t.name)::oid from pg_catalog.unnest(array[
        'agent_autonomous_runs', 'agent_tenant_locks', 'engagement_clocks', 'agent_policy_violations',
        'order_processing_queue', 'order_processing_exceptions', 'agent_hourly_reflections',
        'agent_rate_limits', 'agent_alerts', 'email_provider_failures']) as t (name)))
order by 1
"""

# Tables that handlers were let into by name, where nothing confines them to their tenant.
_OPEN: LiteralString = """
select n.nspname || '.' || c.relname as name, c.relrowsecurity as secured
from pg_catalog.pg_class c
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('r', 'p') and n.nspname not in ('pg_catalog', 'information_schema')
  and exists (
    select from pg_catalog.aclexplode(c.relacl) a
    join pg_catalog.pg_roles r on r.oid = a.grantee and r.rolname = 'reactor_handler'
    where a.privilege_type in ('SELECT', 'INSERT', 'UPDATE', 'DELETE'))
  and exists (
    select from pg_catalog.pg_attribute t
    where t.attrelid = c.oid and t.attname = 'tenant_id' and not t.attisdropped)
  and not (c.relrowsecurity and exists (
    select from pg_catalog.pg_policy p
    where p.polrelid = c.oid and not p.polpermissive
      and (select r.oid from pg_catalog.pg_roles r where r.rolname = 'reactor_handler') = any (p.polroles)))
order by 1
"""


async def migrations(connection: Connection) -> Finding:
    """Whether the database has all that this program needs."""
    pending = await migrate.plan(connection)
    if not pending:
        return Finding("migrations", "ok", "up to date")
    names = ", ".join(item.file.name for item in pending[:3]) + (", …" if len(pending) > 3 else "")
    return Finding(
        "migrations", "wrong", f"pending: {many(len(pending), 'file')}, {names}", "run `reactor migrate`"
    )


async def obstacles(connection: Connection) -> list[Finding]:
    """Tables of the application that the pending migration cannot build on."""
    pending = await migrate.plan(connection)
    return [
        Finding("tables", "wrong", one.what, one.mend)
        for one in await migrate.obstacles(connection, pending, migrating=False)
    ]


async def triggers(connection: Connection) -> list[Finding]:
    """Whether every table that was asked to emit events still does."""
    found = []
    watches = await operations.list_watches(connection)
    for row in watches:
        about = f"{row['table_name']} should emit {row['event_type']}"
        match row["state"]:
            case "ok":
                continue
            case "no table":
                mend = f"`{unwatch_command(row['table_name'], row['event_type'])}` forgets it"
                found.append(Finding("triggers", "wrong", f"{about}, but there is no such table", mend))
            case "disabled":
                mend = f"alter table {row['table_name']} enable trigger user"
                found.append(Finding("triggers", "wrong", f"{about}, but its trigger is disabled", mend))
            case "no column":
                about = f"{row['table_name']} lacks a column that its trigger for {row['event_type']} reads"
                mend = f"`{watch_command(row['table_name'], row['event_type'])}` with its names"
                found.append(Finding("triggers", "wrong", f"{about}, so that writes fail", mend))
            case "outdated":
                about = f"{row['table_name']} emits {row['event_type']} as an older version wrote it"
                mend = "`reactor migrate` renews it, or says why it cannot"
                found.append(Finding("triggers", "remark", about, mend))
            case _:
                mend = f"`{watch_command(row['table_name'], row['event_type'])}` installs it again"
                found.append(Finding("triggers", "wrong", f"{about}, but its trigger is gone", mend))
    for row in await connection.fetch(_TRIGGERS):
        if not row["works"]:
            state = "is disabled" if row["there"] else "is gone"
            mend = (
                f"alter table {row['relation']} enable trigger {row['name']}"
                if row["there"]
                else "delete from reactor.migrations where name like 'triggers/%'; then `reactor migrate`"
            )
            found.append(Finding("triggers", "wrong", f"{row['name']} on {row['relation']} {state}", mend))
    for row in await connection.fetch(_KEPT_OUT):
        if row["tables"]:
            about = f"{row['function']} runs on what handlers write to {row['tables']}"
            schema = row["schema"]
            mend = (
                f"alter function {row['function']} security definer; or, as the owner of schema {schema}: "
                f"grant usage on schema {schema} to reactor_handler, reactor, reactor_owner"
            )
            found.append(Finding("triggers", "wrong", f"{about}, and they may not use schema {schema}", mend))
    return found or [Finding("triggers", "ok", f"{len(watches)} tables and event types are watched")]


async def isolation(connection: Connection) -> list[Finding]:
    """Row level security: of the contract's tables and partitions, and wherever handlers may go."""
    found = []
    for row in await connection.fetch(_CONTRACT):
        if not row["secured"]:
            mend = f"alter table {row['name']} enable row level security"
            found.append(Finding("isolation", "wrong", f"{row['name']} has no row level security", mend))
        elif row["missing"]:
            gone = ", ".join(row["missing"])
            mend = (
                f"select reactor.isolate('{row['name']}'), reactor.protect('{row['name']}') "
                "as a member of reactor_owner that owns it"
            )
            found.append(Finding("isolation", "wrong", f"{row['name']} lacks policies: {gone}", mend))
    named = {finding.finding.split()[0] for finding in found}
    found += [
        Finding(
            "isolation",
            "wrong",
            f"{row['name']} is open to handlers of every tenant",
            f"select reactor.protect('{row['name']}')",
        )
        for row in await connection.fetch(_OPEN)
        if row["name"] not in named
    ]
    return found or [Finding("isolation", "ok", "tenants are kept apart by row level security")]
