"""Who owns schema ``reactor``, and whether the connecting role may migrate at all."""

from typing import LiteralString

import asyncpg

from reactor.db.pool import Connection
from reactor.errors import MigrationError, MissingPrivilege

# What the first versioned file creates when it may. Also printed, to be run by hand, when it may not.
ROLES: dict[str, str] = {
    "reactor_owner": "create role reactor_owner nologin;",
    "reactor_handler": "create role reactor_handler nologin nobypassrls;",
    "reactor": "create role reactor nologin noinherit;",
    "anon": "create role anon nologin;",
    "authenticated": "create role authenticated nologin;",
    "service_role": "create role service_role nologin;",
}

_ME: LiteralString = """
select r.rolname, r.rolsuper, r.rolcreaterole,
       pg_catalog.has_database_privilege(pg_catalog.current_database(), 'create') as may_create,
       pg_catalog.current_database() as database,
       array(select o.rolname::text from pg_catalog.pg_roles o where o.rolname = any ($1::text[])) as present,
       coalesce((select pg_catalog.pg_has_role(o.oid, 'usage') from pg_catalog.pg_roles o
                 where o.rolname = 'reactor_owner'), false) as is_owner,
       p.mine as may_fill_public, p.passes_on, p.owners as owner_may_fill_public
from pg_catalog.pg_roles r
-- What is made in schema public, and given to reactor_owner there: all of it, once these two are.
cross join lateral (
    select pg_catalog.count(*) = 2 as done
    from pg_catalog.pg_class c
    where c.relnamespace = pg_catalog.to_regnamespace('public')
      and c.relname in ('agent_autonomous_runs', 'email_provider_failures')
      and pg_catalog.pg_get_userbyid(c.relowner) = 'reactor_owner') t
cross join lateral (
    select t.done or coalesce(pg_catalog.has_schema_privilege(n.oid, 'create'), true) as mine,
        t.done or coalesce(
            pg_catalog.has_schema_privilege(n.oid, 'create with grant option'), true) as passes_on,
        t.done or coalesce(
            (select pg_catalog.has_schema_privilege(o.oid, n.oid, 'create')
             from pg_catalog.pg_roles o where o.rolname = 'reactor_owner'),
            pg_catalog.has_schema_privilege('public', n.oid, 'create'), true) as owners
    from (select pg_catalog.to_regnamespace('public')::oid as oid) n) p
where r.rolname = current_user
"""

# Each object of schema reactor that reactor_owner does not own yet, as the statement that gives it.
# Left out: what belongs to an extension, to a table (its type, its identity's sequence), or to another type.
_FOREIGN: LiteralString = """
with owner as (
    select o.oid from pg_catalog.pg_roles o where o.rolname = 'reactor_owner'
), ours as (
    select n.oid, n.nspowner from pg_catalog.pg_namespace n where n.nspname = 'reactor'
)
select pg_catalog.format('alter schema reactor owner to reactor_owner') as statement
from ours, owner where ours.nspowner <> owner.oid
union all
select pg_catalog.format('alter %s %s owner to reactor_owner',
           case c.relkind when 'v' then 'view' when 'm' then 'materialized view' when 'S' then 'sequence'
                          when 'f' then 'foreign table' when 'c' then 'type' else 'table' end,
           c.oid::pg_catalog.regclass)
from pg_catalog.pg_class c, ours, owner
where c.relnamespace = ours.oid and c.relowner <> owner.oid and c.relkind in ('r', 'p', 'v', 'm', 'S', 'f')
  and not exists (select from pg_catalog.pg_depend d
                  where d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass and d.objid = c.oid
                    and (d.deptype = 'e' or c.relkind = 'S' and d.deptype in ('a', 'i')))
union all
select pg_catalog.format('alter routine %s owner to reactor_owner', p.oid::pg_catalog.regprocedure)
from pg_catalog.pg_proc p, ours, owner
where p.pronamespace = ours.oid and p.proowner <> owner.oid
  and not exists (select from pg_catalog.pg_depend d
                  where d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass
                    and d.objid = p.oid and d.deptype = 'e')
union all
select pg_catalog.format('alter type %s owner to reactor_owner', t.oid::pg_catalog.regtype)
from pg_catalog.pg_type t
left join pg_catalog.pg_class c on c.oid = t.typrelid, ours, owner
where t.typnamespace = ours.oid and t.typowner <> owner.oid and t.typelem = 0
  and (t.typtype in ('e', 'd', 'r') or t.typtype = 'c' and c.relkind = 'c')
  and not exists (select from pg_catalog.pg_depend d
                  where d.classid = 'pg_catalog.pg_type'::pg_catalog.regclass
                    and d.objid = t.oid and d.deptype = 'e')
"""

# What default privileges of the migrating role gave to API roles in schema reactor, as the statements that
# take it back. Meant for them are one function, and the columns that the dashboard's view counts by.
_GIVEN_AWAY: LiteralString = """
with api as (
    select r.oid, r.rolname from pg_catalog.pg_roles r where r.rolname in ('anon', 'authenticated')
    union all
    select 0, 'public'
), objects as (
    select 'schema' as kind, n.nspname::text as name, n.nspacl as acl, 0::oid as relation
    from pg_catalog.pg_namespace n where n.nspname = 'reactor'
    union all
    select case c.relkind when 'S' then 'sequence' else 'table' end, c.oid::pg_catalog.regclass::text,
        c.relacl, c.oid
    from pg_catalog.pg_class c
    where c.relnamespace = pg_catalog.to_regnamespace('reactor')
        and c.relkind in ('r', 'p', 'v', 'm', 'f', 'S')
    union all
    select 'routine', p.oid::pg_catalog.regprocedure::text, p.proacl, 0
    from pg_catalog.pg_proc p where p.pronamespace = pg_catalog.to_regnamespace('reactor')
), given as (
    select distinct o.kind, o.name, o.relation, a.oid as role, a.rolname
    from objects o cross join lateral pg_catalog.aclexplode(o.acl) e join api a on a.oid = e.grantee
    where o.kind in ('table', 'sequence') or a.rolname = 'anon'
       or a.rolname = 'authenticated' and o.kind = 'routine' and o.name <> 'reactor.caller_tenant()'
)
(select s.statement
from given g
cross join lateral (
    select 1 as step, pg_catalog.format('revoke all on %s %s from %I', g.kind, g.name, g.rolname) as statement
    union all
    -- Taken back with the table's.
    select 2, pg_catalog.format('grant %s (%I) on %s to %I', e.privilege_type, c.attname, g.name, g.rolname)
    from pg_catalog.pg_attribute c cross join lateral pg_catalog.aclexplode(c.attacl) e
    where c.attrelid = g.relation and e.grantee = g.role and g.rolname = 'authenticated') s
order by g.name, g.rolname, s.step)
union all
-- A function of theirs there could be taken for one of the engine's.
select 'revoke create on schema reactor from authenticated'
from objects o cross join lateral pg_catalog.aclexplode(o.acl) e join api a on a.oid = e.grantee
where o.kind = 'schema' and e.privilege_type = 'CREATE' and a.rolname = 'authenticated'
"""

# Who restored a backup without roles owns it all; a role that nobody logs in with was given it.
_RENAMED: LiteralString = """
select r.rolname from pg_catalog.pg_namespace n
join pg_catalog.pg_roles r on r.oid = n.nspowner and not r.rolcanlogin and r.rolname <> current_user
where n.nspname = 'reactor'
"""

_REPLICAS_READ: LiteralString = """
select exists (select from pg_catalog.pg_roles r where r.rolname = 'reactor')
   and not pg_catalog.has_table_privilege('reactor', 'reactor.migrations', 'select')
"""


async def check_may_migrate(connection: Connection) -> None:
    """Raises MissingPrivilege, with the statements that an administrator must run, before anything ran."""
    me = await connection.fetchrow(_ME, list(ROLES))
    if me is None or me["rolsuper"]:
        return
    by_hand = []
    missing = [role for role in ROLES if role not in me["present"]]
    # Tables are handed to reactor_owner, who must be allowed in where they are.
    owner_is_kept_out = not me["owner_may_fill_public"] and not me["passes_on"]
    if missing and (not me["rolcreaterole"] or owner_is_kept_out):
        by_hand += [ROLES[role] for role in missing]
        if "reactor" in missing or "reactor_handler" in missing:
            inherit = " with inherit false, set true" if connection.get_server_version().major >= 16 else ""
            by_hand.append(f"grant reactor_handler to reactor{inherit};")
    if not me["is_owner"] and (by_hand or "reactor_owner" in me["present"]):
        by_hand.append(f"grant reactor_owner, reactor to {_quoted(me['rolname'])};")
    if not me["may_create"]:
        by_hand.append(f"grant create on database {_quoted(me['database'])} to {_quoted(me['rolname'])};")
    kept_out = [] if me["may_fill_public"] else [_quoted(me["rolname"])]
    kept_out += ["reactor_owner"] if owner_is_kept_out else []
    if kept_out:
        by_hand.append(f"grant create on schema public to {', '.join(kept_out)};")
    if by_hand:
        raise MissingPrivilege(
            f"role {me['rolname']} may not prepare this database",
            hint="let an administrator run this, then migrate again:\n  " + "\n  ".join(by_hand),
        )


async def check_roles(connection: Connection) -> None:
    """Raises MigrationError where a migrated database is on a server without the roles, or they were renamed.

    A backup has none, and restoring one leaves out their policies and what is granted to them: no file that
    was applied makes those again.
    """
    me = await connection.fetchrow(_ME, list(ROLES))
    missing = [role for role in ROLES if me is not None and role not in me["present"]]
    if missing and missing != ["anon"]:  # who may do nothing with us
        inherit = " with inherit false, set true" if connection.get_server_version().major >= 16 else ""
        by_hand = [ROLES[role] for role in missing]
        by_hand.append(f"grant reactor_handler to reactor{inherit};")
        owner = await connection.fetchval(_RENAMED) if "reactor_owner" in missing else None
        if owner is not None:
            raise MigrationError(
                f"role reactor_owner is missing, and schema reactor belongs to {owner}",
                hint="if that is reactor_owner by another name, give it back its own, then migrate again:\n"
                f"  alter role {_quoted(owner)} rename to reactor_owner;",
            )
        raise MigrationError(
            f"this database is migrated, and its server lacks {', '.join(missing)}: "
            "it was restored without them, and so without what they may do",
            hint="pg_dump saves no roles; make them, then restore the backup again:\n  "
            + "\n  ".join(by_hand),
        )


async def give_to_owner(connection: Connection) -> None:
    """Makes reactor_owner, when it exists, the owner of all that is in schema reactor, and the API's roles
    no more than what is meant for them. Raises MissingPrivilege with the statements to run by hand.

    Runs in the transaction of each file: a SECURITY DEFINER function is never seen by others while
    it belongs to the superuser who migrates, or while default privileges let everybody's users call it.
    """
    statements = await foreign(connection)
    try:
        for statement in statements:
            await connection.execute(statement)
    except asyncpg.InsufficientPrivilegeError as error:
        raise MissingPrivilege(
            f"schema reactor holds what is another's: {error.args[0]}",
            hint="let its owner or a superuser run this, then migrate again:\n  "
            + "\n  ".join(f"{statement};" for statement in statements),
        ) from error
    for row in await connection.fetch(_GIVEN_AWAY):
        await connection.execute(row["statement"])
    if await connection.fetchval(_REPLICAS_READ):
        await connection.execute("grant usage on schema reactor to reactor")
        await connection.execute("grant select on reactor.migrations to reactor")


async def foreign(connection: Connection) -> list[str]:
    """What would give reactor_owner all that is in schema reactor: a statement for each object."""
    return [row["statement"] for row in await connection.fetch(_FOREIGN)]


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
