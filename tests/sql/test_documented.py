"""docs/sql.md: its functions are the database's, its examples run, and what it calls refused is refused."""

import re
from pathlib import Path

import asyncpg
import pytest

from reactor.db.pool import Connection

PAGE = (Path(__file__).parents[2] / "docs" / "sql.md").read_text()
BEGINNING, *PARTS = re.split(r"^## ", PAGE, flags=re.MULTILINE)
SECTIONS = {part.partition("\n")[0]: part for part in PARTS}
#: Those that the documents call the interface, beside what is the application's own by its grants.
CONTRACT = {"reactor.emit", "reactor.watch", "reactor.unwatch", "reactor.protect", "reactor.raise_alert"}
#: As the page calls a function of pg_proc.
_NAME = "case p.pronamespace when 'public'::regnamespace then '' else 'reactor.' end || p.proname"


def statements(section: str) -> list[str]:
    return re.findall(r"```sql\n(.*?)```", section, re.DOTALL)


def rows(section: str, heading: str) -> list[list[list[str]]]:
    """The cells of each table with this heading."""
    tables = re.findall(rf"^\| {re.escape(heading)}.*\n\| -.*\n((?:\|.*\n)+)", section, re.MULTILINE)
    return [
        [[cell.strip(" `") for cell in line.split("|")[1:-1]] for line in found.splitlines()]
        for found in tables
    ]


async def named(conn: Connection, name: str) -> list[int]:
    """The functions of this name, which differ in their arguments."""
    found = await conn.fetch(
        f"select p.oid from pg_proc p where {_NAME} = $1"
        " and p.pronamespace in ('public'::regnamespace, 'reactor'::regnamespace)",
        name,
    )
    return [row["oid"] for row in found]


REFUSED = [
    (code, call) for part in PARTS for table in rows(part, "refused") for _, code, call in table if call
]


async def test_each_function_that_an_application_may_call_has_a_section(conn: Connection) -> None:
    found = await conn.fetch(
        f"select distinct {_NAME} as name from pg_proc p, aclexplode(p.proacl) a"
        " where p.pronamespace = 'public'::regnamespace and a.grantee = 'service_role'::regrole"
        " and p.prorettype <> 'trigger'::regtype"
    )
    assert set(SECTIONS) == {row["name"] for row in found} | CONTRACT


@pytest.mark.parametrize("name", SECTIONS)
async def test_the_arguments_of_a_function_are_as_documented(conn: Connection, name: str) -> None:
    documented = rows(SECTIONS[name], "argument")
    oids = await named(conn, name)
    assert len(documented) == len(oids) > 0
    for oid in oids:
        arguments = await conn.fetch(
            "select a.name, t.type::regtype::text as type,"
            " pg_get_function_arg_default($1, a.n::int) as default"
            " from pg_proc p, unnest(p.proargnames[1:p.pronargs]) with ordinality a (name, n)"
            " join lateral unnest(p.proargtypes::oid[]) with ordinality t (type, n) using (n)"
            " where p.oid = $1 order by n",
            oid,
        )
        (table,) = [
            table for table in documented if [row[0] for row in table] == [a["name"] for a in arguments]
        ]
        for argument, (name_, type_, default, _) in zip(arguments, table, strict=True):
            assert await conn.fetchval("select $1::text::regtype::text", type_) == argument["type"], name_
            assert bool(default) == (argument["default"] is not None), name_
            if default:
                same = f"select ({default})::{type_} is not distinct from ({argument['default']})::{type_}"
                assert await conn.fetchval(same), name_


@pytest.mark.parametrize("name", SECTIONS)
async def test_what_a_function_returns_and_who_may_call_it_are_as_documented(
    conn: Connection, name: str
) -> None:
    returned = re.search(r"^Returns `(.*?)`", SECTIONS[name], re.MULTILINE)
    callers = re.search(r"May\s+be\s+called\s+by(.*?)[.;]\s", SECTIONS[name], re.DOTALL)
    assert returned
    assert callers
    for oid in await named(conn, name):
        assert returned[1] == await conn.fetchval("select pg_get_function_result($1)", oid)
        granted = await conn.fetch(
            "select a.grantee::regrole::text as role from pg_proc p, aclexplode(p.proacl) a"
            " where p.oid = $1 and a.grantee <> p.proowner",
            oid,
        )
        allowed = {role["role"] for role in granted} or {"reactor_owner"}
        assert set(re.findall(r"`(\w+)`", callers[1])) == allowed


async def test_the_examples_run_one_after_the_other(conn: Connection) -> None:
    results = {}
    for section in (BEGINNING, *PARTS):
        for code in statements(section):
            for statement in code.split(";\n"):
                if statement.strip():
                    results[section.partition("\n")[0]] = await conn.fetch(statement)
    assert results["extend_tenant_lock"] == results["release_tenant_lock"] == [(True,)]
    assert results["check_and_increment_rate_limit"] == [(True,)]
    assert results["acquire_tenant_lock"][0][0]
    assert results["reactor.raise_alert"][0][0]
    events = await conn.fetch("select event_type, payload from reactor.events order by id")
    emitted = [(row["event_type"], row["payload"]) for row in events]
    assert emitted[:2] == [("invoice.due", {"total": "99.90"}), ("invoice.paid", {})]


@pytest.mark.parametrize(("sqlstate", "call"), REFUSED, ids=[call for _, call in REFUSED])
async def test_what_is_said_to_be_refused_is(conn: Connection, sqlstate: str, call: str) -> None:
    for statement in statements(BEGINNING):
        await conn.execute(statement)
    with pytest.raises(asyncpg.PostgresError) as error:
        await conn.execute(f"begin; {call}")
    assert error.value.sqlstate == sqlstate, str(error.value)


async def test_a_row_that_a_trigger_leaves_out_is_told_of_with_the_documented_code(conn: Connection) -> None:
    assert ["a trigger of the application's left the row out in silence", "RX006", ""] in rows(
        SECTIONS["update_engagement_clock"], "refused"
    )[0]
    await conn.execute(
        "create function public.leave_out() returns trigger language plpgsql as 'begin return null; end';"
        "create trigger leave_out before insert on engagement_clocks"
        " for each row execute function public.leave_out();"
        "insert into tenants (name) values ('Acme');"
        "insert into clients (tenant_id, company_name) select id, 'Fernhollow Finance' from tenants"
    )
    with pytest.raises(asyncpg.PostgresError) as error:
        await conn.execute("select update_engagement_clock(tenant_id, id, null, 'call', null) from clients")
    assert error.value.sqlstate == "RX006"
