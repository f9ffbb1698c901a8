"""``reactor watch``, ``unwatch`` and ``watches``: any table as a source of events."""

import shlex

import pytest

INVOICES = """
    create table public.invoices (
        id uuid primary key default gen_random_uuid(), tenant_id uuid not null, status text, total numeric);
    create table public."Odd Name" (id uuid primary key, owner uuid not null);
"""


@pytest.fixture
def invoices(db):
    db.run(INVOICES)
    return db


def test_rows_become_events_until_it_is_unwatched(cli, invoices, database_url):
    said = cli(
        *("watch", "invoices", "--on", "insert", "--on", "update of status", "--emit", "invoice.changed"),
        *("--payload", "total, status", "--when", "new.total > 5"),
        url=database_url,
    )
    assert said.code == 0
    assert said.out == "public.invoices emits invoice.changed on insert, update of status.\n"
    assert "select reactor.protect('public.invoices', 'tenant_id')" in said.err
    tenant = invoices.tenant()
    insert = f"insert into invoices (tenant_id, status, total) values ('{tenant}', 'new', "
    invoices.run(f"{insert} 3), ('{tenant}', 'new', 7); update invoices set total = total + 1")
    invoices.run("update invoices set status = 'paid'")
    rows = invoices.fetch("select event_type, payload from reactor.events order by id")
    assert [row["payload"] for row in rows] == [
        {"total": "7", "status": "new"},
        {"total": "8", "status": "paid"},
    ]

    assert (
        cli("unwatch", "invoices", url=database_url).out
        == "public.invoices no longer emits invoice.changed.\n"
    )
    invoices.run(f"{insert} 70)")
    assert invoices.value("select count(*) from reactor.events") == 2


def test_once_handlers_may_reach_the_table_nothing_is_said_about_it(cli, invoices, database_url):
    invoices.run("select reactor.protect('public.invoices')")
    assert cli("watch", "invoices", "--emit", "x", url=database_url).err == ""


def test_names_are_read_as_sql_reads_them(cli, invoices, database_url):
    said = cli("watch", '"Odd Name"', "--emit", "odd", "--tenant-column", "owner", "--json", url=database_url)
    assert said.json == {"table": 'public."Odd Name"', "event_type": "odd", "operations": ["insert"]}
    assert cli("unwatch", 'public."Odd Name"', "--json", url=database_url).json["removed"] == ["odd"]


@pytest.mark.parametrize("table", ["nothing", "public.nothing", "a.b.c.d", "in valid", ""])
@pytest.mark.parametrize("command", ["watch", "unwatch"])
def test_a_table_that_does_not_exist_exits_2(cli, database_url, command, table):
    said = cli(command, table, "--emit", "x", url=database_url)
    assert (said.code, said.err.splitlines()[0]) == (2, f"reactor: there is no table {table}")


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--on", "sometimes"], "'sometimes' is no operation"),
        (["--payload", "nonsense"], "has no column nonsense"),
        (["--tenant-column", "status"], "must be a uuid"),
        (["--when", "new.nonsense = 1"], "the condition does not fit"),
    ],
)
def test_what_the_server_does_not_accept_is_one_line_and_exits_2(
    cli, invoices, database_url, words, complaint
):
    said = cli("watch", "invoices", "--emit", "x", *words, url=database_url)
    assert said.code == 2
    assert complaint in said.err.splitlines()[0]
    assert "x" not in {row["event_type"] for row in invoices.fetch("select event_type from reactor.watches")}


def test_a_replicas_role_may_not_and_is_told_what_it_needs(cli, invoices, operator):
    said = cli("watch", "invoices", "--emit", "x")
    assert said.code == 3
    assert said.err.splitlines()[0] == f"reactor: role {operator} may not install triggers of the reactor"
    assert f'grant reactor_owner to "{operator}"' in said.err
    assert cli("unwatch", "invoices").code == 3


def test_a_member_of_the_owner_needs_the_table_too(cli, invoices, server, operator, database_url):
    server.admin(f"grant reactor_owner to {operator}")
    try:
        said = cli("watch", "invoices", "--emit", "x")
        assert said.code == 3
        assert f"role {operator} does not own public.invoices" in said.err
        invoices.run(f"alter table invoices owner to {operator}")
        assert cli("watch", "invoices", "--emit", "x").code == 0
        assert cli("unwatch", "invoices").code == 0
        invoices.run("alter table invoices owner to current_user")
    finally:
        server.admin(f"revoke reactor_owner from {operator}")


def test_the_list_shows_what_is_installed_and_whether_it_still_is(cli, invoices, database_url):
    cli("watch", "invoices", "--on", "insert,delete", "--emit", "x", url=database_url)
    said = cli("watches")
    assert said.code == 0
    assert {row["table_name"] for row in cli("watches", "--json").json} == {
        "public.agent_alerts",
        "public.engagement_clocks",
        "public.invoices",
        "public.order_processing_queue",
    }
    assert "insert, delete" in said.out
    invoices.run("alter table invoices disable trigger user")
    assert _state(cli, "public.invoices") == (1, "disabled")
    invoices.run("alter table invoices rename to bills")
    assert _state(cli, "public.bills") == (1, "disabled")
    invoices.run("drop table bills")
    assert _state(cli, "public.invoices") == (1, "no table")


def _state(cli, table: str) -> tuple[int, str]:
    said = cli("watches", "--json")
    return said.code, next(row["state"] for row in said.json if row["table_name"] == table)


def test_unwatching_what_is_not_watched_exits_1(cli, invoices, database_url):
    said = cli("unwatch", "invoices", "--emit", "x", url=database_url)
    assert (said.code, said.err) == (1, "public.invoices does not emit x.\n")


def test_of_several_types_one_must_be_named(cli, invoices, database_url):
    for kind in ("a", "b"):
        cli("watch", "invoices", "--emit", kind, url=database_url)
    said = cli("unwatch", "invoices", url=database_url)
    assert (said.code, said.err.splitlines()[0]) == (2, "reactor: public.invoices emits several types: a, b")
    assert cli("unwatch", "invoices", "--emit", "a", url=database_url).code == 0
    assert cli("unwatch", "invoices", url=database_url).out == "public.invoices no longer emits b.\n"


def test_a_table_that_was_dropped_is_forgotten_with_the_command_that_the_list_names(
    cli, invoices, database_url
):
    invoices.run('create schema shop; create table shop."Odd One" (id uuid, tenant_id uuid)')
    cli("watch", 'shop."Odd One"', "--emit", "it's odd", url=database_url)
    cli("watch", "invoices", "--emit", "x", url=database_url)
    functions = "select count(*) from pg_proc where proname like 'watch\\_%'"
    before = invoices.value(functions)
    invoices.run("drop schema shop cascade; drop table invoices; create schema archive")
    said = cli("watches")
    assert said.code == 1
    commands = [line.split("`")[1] for line in said.err.splitlines()]
    assert len(commands) == 2
    advice = [one["mend"] for one in cli("doctor", "--json").json["checks"] if one["check"] == "triggers"]
    assert sorted(one.split("`")[1] for one in advice) == sorted(commands)
    assert cli("unwatch", "invoices").code == 3  # a replica's role
    assert cli("unwatch", "public.invoices", "--emit", "y", url=database_url).code == 2
    for command in commands:
        assert cli(*shlex.split(command)[1:], url=database_url).code == 0
    assert cli("watches").code == 0
    assert invoices.value(functions) == before - 2
    assert cli("unwatch", "public.invoices", url=database_url).code == 2


def test_a_table_that_is_there_is_never_taken_for_a_dropped_one_of_its_name(cli, invoices, database_url):
    invoices.run("create schema old; create table old.invoices (id uuid, tenant_id uuid)")
    for table in ("old.invoices", "public.invoices"):
        cli("watch", table, "--emit", "x", url=database_url)
    assert invoices.value("select reactor.forget_watch('old', 'invoices', 'x')") is False
    invoices.run("drop schema old cascade")
    said = cli("unwatch", "invoices", "--json", url=database_url)
    assert said.json == {"table": "public.invoices", "removed": ["x"]}
    said = cli("unwatch", "invoices", "--json", url=database_url)
    assert (said.code, said.json) == (1, {"table": "public.invoices", "removed": []})
    said = cli("unwatch", "old.invoices", "--json", url=database_url)
    assert said.json == {"table": "old.invoices", "removed": ["x"]}


def test_a_column_that_is_not_there_comes_with_the_option_that_names_another(cli, invoices, database_url):
    invoices.run("create table public.visits (visitor uuid)")
    said = cli("watch", "visits", "--emit", "x", url=database_url)
    assert said.code == 2
    assert said.err.splitlines()[0] == "reactor: reactor.watch: table public.visits has no column tenant_id"
    assert said.err.count("--tenant-column") == 1
    said = cli("watch", "visits", "--emit", "x", "--tenant-column", "visitor", url=database_url)
    assert (said.code, said.err.count("--subject-column")) == (2, 1)
    words = ("--tenant-column", "visitor", "--subject-column", "")
    assert cli("watch", "visits", "--emit", "x", *words, url=database_url).code == 0
