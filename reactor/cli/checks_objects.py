"""What `reactor doctor` looks at of all that a migration made: whether it is there, and open to role reactor.

What that is, the dump of the schema says, which comes with the SQL files. Applied files alone say nothing of
what somebody dropped or revoked since, or of a restore that brought a part.
"""

import re
from collections.abc import Iterable
from typing import LiteralString

from reactor.cli.checks import Finding
from reactor.db import migrate, ownership
from reactor.db.pool import Connection
from reactor.db.sqlfiles import sql_dir
from reactor.telemetry.words import many

_RELATION = re.compile(r"^CREATE (?:UNLOGGED )?(TABLE|SEQUENCE) reactor\.(\w+)", re.MULTILINE)
_INDEX = re.compile(r"^(CREATE (?:UNIQUE )?INDEX (\w+) ON (?:ONLY )?reactor\..*);$", re.MULTILINE)
# Not those that reactor.watch() wrote, whose names depend on what was there: `triggers` looks at these.
_FUNCTION = re.compile(r"^CREATE FUNCTION (reactor|public)\.((?!watch_[0-9a-f]{12}\()\w+)\(", re.MULTILINE)
_OPEN_FUNCTION = re.compile(r"^GRANT ALL ON FUNCTION (reactor|public)\.(\w+)\(.* TO reactor;$", re.MULTILINE)
_OPEN_TABLE = re.compile(r"^GRANT ([A-Z,]+) ON TABLE reactor\.(\w+) TO reactor;$", re.MULTILINE)

_BACKUP = "put it back from a backup: `reactor migrate` makes it in a new database only"
_FORGET = "delete from reactor.migrations where name"

#: More names than these make no line that anybody reads.
_NAMED = 4

_GONE: LiteralString = """
select w.name from pg_catalog.unnest($1::text[]) as w (name)
where not exists (
    select from pg_catalog.pg_class c
    where c.relname = w.name and c.relnamespace = pg_catalog.to_regnamespace('reactor'))
order by 1
"""

_GONE_FUNCTIONS: LiteralString = """
select w.name from pg_catalog.unnest($1::text[]) as w (name)
where not exists (
    select from pg_catalog.pg_proc p join pg_catalog.pg_namespace n on n.oid = p.pronamespace
    where n.nspname || '.' || p.proname = w.name)
order by 1
"""

_CLOSED_FUNCTIONS: LiteralString = """
select n.nspname || '.' || p.proname as name, p.oid::pg_catalog.regprocedure::text as signature
from pg_catalog.pg_proc p join pg_catalog.pg_namespace n on n.oid = p.pronamespace
where n.nspname || '.' || p.proname = any ($1::text[])
  and not pg_catalog.has_function_privilege('reactor', p.oid, 'execute')
order by 1
"""

_CLOSED_TABLES: LiteralString = """
select w.privilege, w.name
from rows from (pg_catalog.unnest($1::text[]), pg_catalog.unnest($2::text[])) as w (name, privilege)
join pg_catalog.pg_class c
  on c.relname = w.name and c.relnamespace = pg_catalog.to_regnamespace('reactor')
where not pg_catalog.has_table_privilege('reactor', c.oid, w.privilege)
order by w.name, w.privilege
"""

_CLOSED_SCHEMA: LiteralString = """
select r.name from pg_catalog.unnest(array['reactor', 'reactor_handler']) as r (name)
where not pg_catalog.has_schema_privilege(r.name, 'reactor', 'usage')
"""


async def objects(connection: Connection) -> list[Finding]:
    """Tables, sequences, indexes and functions of ours, and what role reactor may do with them."""
    if await migrate.newer(connection):  # it may have dropped what this one knows
        return []
    made = (sql_dir() / "schema.dump.sql").read_text(encoding="utf-8")
    found = await _gone(connection, made) + await _owned(connection) + await _closed(connection, made)
    return found or [Finding("objects", "ok", "tables, indexes and functions are there, and open to reactor")]


async def _gone(connection: Connection, made: str) -> list[Finding]:
    kinds = {name: kind.lower() for kind, name in _RELATION.findall(made)}
    indexes = {name: statement for statement, name in _INDEX.findall(made)}
    found = []
    for row in await connection.fetch(_GONE, [*kinds, *indexes]):
        name = row["name"]
        kind = kinds.get(name, "index")
        mend = indexes.get(
            name, "put it back from a backup: `reactor migrate` makes it in a new database only"
        )
        found.append(Finding("objects", "wrong", f"{kind} reactor.{name} is gone", mend))
    functions = [f"{schema}.{name}" for schema, name in _FUNCTION.findall(made)]
    gone = [row["name"] for row in await connection.fetch(_GONE_FUNCTIONS, functions)]
    if gone:
        found.append(Finding("objects", "wrong", f"functions are gone: {_list(gone)}", await _again(gone)))
    return found


async def _owned(connection: Connection) -> list[Finding]:
    """A restore without owners leaves functions that run with the rights of whoever restored."""
    foreign = await ownership.foreign(connection)
    if not foreign:
        return []
    said = f"{many(len(foreign), 'object')} of schema reactor do not belong to reactor_owner"
    if len(foreign) == 1:
        said = "1 object of schema reactor does not belong to reactor_owner"
    return [
        Finding("objects", "wrong", said, "`reactor migrate`, as a superuser, gives it what it should own")
    ]


async def _closed(connection: Connection, made: str) -> list[Finding]:
    found = []
    roles = [row["name"] for row in await connection.fetch(_CLOSED_SCHEMA)]
    if roles:
        who = ", ".join(roles)
        mend = f"grant usage on schema reactor to {who}"
        found.append(Finding("objects", "wrong", f"schema reactor is closed to {who}", mend))
    tables = [
        (name, privilege) for given, name in _OPEN_TABLE.findall(made) for privilege in given.split(",")
    ]
    for row in await connection.fetch(
        _CLOSED_TABLES, [name for name, _ in tables], [privilege for _, privilege in tables]
    ):
        right = row["privilege"].lower()
        mend = f"grant {right} on reactor.{row['name']} to reactor"
        found.append(Finding("objects", "wrong", f"reactor may not {right} on reactor.{row['name']}", mend))
    functions = [f"{schema}.{name}" for schema, name in _OPEN_FUNCTION.findall(made)]
    closed = await connection.fetch(_CLOSED_FUNCTIONS, functions)
    if closed:
        names = [row["name"] for row in closed]
        mend = f"grant execute on function {', '.join(row['signature'] for row in closed)} to reactor"
        if len(closed) > _NAMED:
            mend = await _again(names)
        found.append(Finding("objects", "wrong", f"reactor may not execute {_list(names)}", mend))
    return found


async def _again(functions: Iterable[str]) -> str:
    """How to have functions made anew. A few belong to numbered files, which run once."""
    repeatable = {file.name for file in await migrate.expected() if not file.versioned}
    files = [f"functions/{name.partition('.')[2]}" for name in functions]
    again = [name for name in files if name in repeatable]
    if not again:
        return _BACKUP
    names = "', '".join(again)
    some = f"in ('{names}')" if len(again) <= _NAMED else "like 'functions/%'"
    return f"`reactor migrate`, after: {_FORGET} {some}"


def _list(names: list[str]) -> str:
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")
