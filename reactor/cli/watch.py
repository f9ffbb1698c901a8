"""``reactor watch``, ``unwatch`` and ``watches``."""

import shlex
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, LiteralString

import asyncpg
from cyclopts import Parameter

from reactor.cli.output import print_json, print_rows, say
from reactor.cli.session import session
from reactor.db import operations
from reactor.db.pool import Connection
from reactor.errors import BadArgument, MissingPrivilege
from reactor.telemetry.words import ago

_TABLE: LiteralString = """
select pg_catalog.format('%I.%I', n.nspname, c.relname) as name,
    current_user as role, pg_catalog.pg_get_userbyid(c.relowner) as owner,
    pg_catalog.pg_has_role(c.relowner, 'usage') as owned,
    pg_catalog.pg_has_role('reactor_owner', 'usage') as may_install,
    exists (select from pg_catalog.pg_policy p where p.polrelid = c.oid and p.polname = 'reactor_tenant_only')
        as protected
from pg_catalog.pg_class c
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where c.oid = pg_catalog.to_regclass($1)
"""

# Watched tables that were dropped since; a name without a schema fits any. parse_ident refuses other text.
_GONE: LiteralString = """
select w.table_name as name, n.parts[1] as schema, n.parts[2] as relation, w.event_type,
    current_user as role, pg_catalog.pg_has_role('reactor_owner', 'usage') as may_install
from reactor.list_watches() w
cross join lateral (select pg_catalog.parse_ident(w.table_name) as parts) n
where w.state = 'no table'
  and pg_catalog.parse_ident($1) in (n.parts, n.parts[2:])
  and ($2::text is null or w.event_type = $2)
order by 1, 4
"""


@dataclass(frozen=True, slots=True)
class _Table:
    name: str
    protected: bool


async def watch(
    table: str,
    /,
    *,
    emit: str,
    on: tuple[str, ...] = ("insert",),
    tenant_column: str = "tenant_id",
    subject_column: str = "id",
    payload: str | None = None,
    when: str | None = None,
    json: bool = False,
) -> int:
    """Installs a trigger that emits an event for each row of a table that is inserted, updated or deleted.

    A second time replaces the first. Connect as a role that owns the table and is a member of
    reactor_owner; exits 3 when it is not, 2 when the table or a column does not exist.

    Example: ``reactor watch invoices --on insert --on "update of status" --emit invoice.changed
    --payload total,currency --when "NEW.status <> 'draft'"``

    Parameters
    ----------
    table
        Name of the table, with its schema where that is not on the search path.
    emit
        Type of the events.
    on
        insert, update, delete, or "update of a, b": only when one of these columns really changed. May be
        given several times.
    tenant_column
        The column with the tenant, a uuid. Rows where it is null emit nothing.
    subject_column
        The column that becomes the event's subject_id; "" for none.
    payload
        Columns that go into the payload, comma separated.
    when
        SQL condition over NEW and OLD.
    json
        Write JSON to stdout.
    """
    kinds = [part for given in on for part in _operations(given)]
    columns = [name.strip() for name in payload.split(",") if name.strip()] if payload else None
    async with session("watch") as connection:
        found = await _find(connection, table)
        await connection.execute(
            "select reactor.watch($1::text::regclass, $2, $3, $4, $5, $6, $7)",
            found.name,
            emit,
            kinds,
            tenant_column,
            subject_column or None,
            columns,
            when,
        )
    if json:
        print_json({"table": found.name, "event_type": emit, "operations": kinds})
    else:
        say(f"{found.name} emits {emit} on {', '.join(kinds)}.")
    if not found.protected:
        say(
            f"Handlers cannot reach {found.name} yet. "
            f"Let them, each for its own tenant: select reactor.protect('{found.name}', '{tenant_column}')",
            aside=True,
        )
    return 0


async def unwatch(table: str, /, *, emit: str | None = None, json: bool = False) -> int:
    """Removes what `reactor watch` installed, also where the table is gone. Events that were emitted stay.

    Exits 1 when nothing is installed, 3 when the role may not change the table.

    Example: ``reactor unwatch invoices --emit invoice.changed``

    Parameters
    ----------
    table
        Name of the table.
    emit
        Type of the events. May be left out where the table emits only one.
    json
        Write JSON to stdout.
    """
    async with session("unwatch") as connection:
        try:
            found = await _find(connection, table)
        except BadArgument:
            if gone := await _gone(connection, table, emit):
                return await _forget(connection, gone, json=json)
            raise
        types = [
            row["event_type"]
            for row in await operations.list_watches(connection)
            if row["table_name"] == found.name
        ]
        if emit is None and len(types) > 1:
            raise BadArgument(
                f"{found.name} emits several types: {', '.join(types)}", hint="say which: --emit TYPE"
            )
        removed = types if emit is None else [emit] if emit in types else []
        for event_type in removed:
            await connection.execute("select reactor.unwatch($1::text::regclass, $2)", found.name, event_type)
    if json:
        print_json({"table": found.name, "removed": removed})
    elif removed:
        say(f"{found.name} no longer emits {removed[0]}.")
    else:
        say(f"{found.name} does not emit {emit or 'anything'}.", aside=True)
    return 0 if removed else 1


async def watches(*, json: Annotated[bool, Parameter(help="Write JSON to stdout.")] = False) -> int:
    """Lists the tables that emit events.

    Exits 1 when the triggers of one are gone or disabled, or read a column that is gone. One that is outdated
    works as an older version of the reactor wrote it, or as its table was then: `reactor migrate` renews it,
    or says why it cannot.

    Example: ``reactor watches``
    """
    async with session("watches") as connection:
        rows = [dict(row) for row in await operations.list_watches(connection)]
        now: datetime = await connection.fetchval("select reactor.now()")
    if json:
        print_json(rows)
    else:
        shown = [
            row
            | {
                "on": ", ".join(row["operations"]),
                "payload": ", ".join(row["payload_columns"] or []) or None,
                "when": row["condition"],
                "installed": ago(row["created_at"], now),
            }
            for row in rows
        ]
        columns = ["table_name", "event_type", "on", "payload", "when", "installed", "state"]
        print_rows(shown, columns, empty="No table emits events.")
        for row in rows:
            if row["state"] == "no table":
                mend = unwatch_command(row["table_name"], row["event_type"])
                say(f"{row['table_name']} is gone: `{mend}` forgets it.", aside=True)
    return 0 if all(row["state"] in ("ok", "outdated") for row in rows) else 1


def _operations(given: str) -> list[str]:
    """``insert,delete`` is two; the comma in ``update of a, b`` is between columns."""
    return [given] if " of " in given.lower() else [part.strip() for part in given.split(",") if part.strip()]


def unwatch_command(table: str, event_type: str) -> str:
    """What a person types to have a watch removed."""
    return f"reactor unwatch {shlex.quote(table)} --emit {shlex.quote(event_type)}"


def watch_command(table: str, event_type: str) -> str:
    """What a person completes to have a watch installed again."""
    return f"reactor watch {shlex.quote(table)} --emit {shlex.quote(event_type)} …"


async def _gone(connection: Connection, table: str, emit: str | None) -> list[asyncpg.Record]:
    """The watches of a dropped table that this name and type fit."""
    try:
        return await connection.fetch(_GONE, table, emit)
    except asyncpg.InvalidParameterValueError:
        return []


async def _forget(connection: Connection, gone: list[asyncpg.Record], *, json: bool) -> int:
    first = gone[0]
    if len(gone) > 1:
        several = ", ".join(f"{row['name']} {row['event_type']}" for row in gone)
        raise BadArgument(
            f"several watches of dropped tables fit: {several}",
            hint=f"say which, as in: {unwatch_command(first['name'], first['event_type'])}",
        )
    if not first["may_install"]:
        raise _no_installer(first["role"])
    done = await operations.forget_watch(connection, first["schema"], first["relation"], first["event_type"])
    if json:
        print_json({"table": first["name"], "removed": [first["event_type"]] if done else []})
    elif done:
        say(f"{first['name']} is gone, and no longer emits {first['event_type']}.")
    return 0 if done else 1


def _no_installer(role: str) -> MissingPrivilege:
    return MissingPrivilege(
        f"role {role} may not install triggers of the reactor",
        hint=f'connect as one that may, or let an administrator run: grant reactor_owner to "{role}"',
    )


async def _find(connection: Connection, name: str) -> _Table:
    try:
        row = await connection.fetchrow(_TABLE, name)
    except (asyncpg.InvalidNameError, asyncpg.PostgresSyntaxError, asyncpg.FeatureNotSupportedError):
        row = None
    if row is None:
        raise BadArgument(
            f"there is no table {name}", hint="name it as in SQL: schema.table, quoted where it has capitals"
        )
    role = f'"{row["role"]}"'
    if not row["may_install"]:
        raise _no_installer(row["role"])
    if not row["owned"]:
        raise MissingPrivilege(
            f"role {row['role']} does not own {row['name']}",
            hint=f"connect as {row['owner']}, or let an administrator run: grant {row['owner']} to {role}",
        )
    return _Table(row["name"], row["protected"])
