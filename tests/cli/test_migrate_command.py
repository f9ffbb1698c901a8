"""``reactor migrate``, as scripts use it."""

import json

import pytest

from reactor.cli import entry as cli
from reactor.db import pool, sqlfiles
from tests.conftest import run_async


@pytest.fixture(autouse=True)
def setting(monkeypatch, empty_database_url):
    monkeypatch.setenv("REACTOR_DATABASE_URL", empty_database_url)


def run(capsys, *argv: str) -> tuple[int, str, str]:
    code = cli.run(["migrate", *argv])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_check_exits_1_until_all_is_applied(capsys):
    code, out, _ = run(capsys, "--check")
    assert code == 1
    assert "schema/0001_foundation" in out
    code, out, err = run(capsys)
    assert code == 0
    assert out == f"{len(sqlfiles.load())} files applied. The database is up to date.\n"
    assert err.splitlines()[0].startswith(f"[1/{len(sqlfiles.load())}] schema/0001_foundation (")
    code, out, _ = run(capsys, "--check")
    assert (code, out) == (0, "The database is up to date.\n")
    assert run(capsys) == (0, "The database is up to date.\n", "")


def test_the_plan_names_what_would_run_and_runs_nothing(capsys):
    code, out, _ = run(capsys, "--plan", "--json")
    assert code == 0
    plan = json.loads(out)
    assert plan["up_to_date"] is False
    (only,) = plan["databases"]
    assert [item["file"] for item in only["pending"]] == [file.name for file in sqlfiles.load()]
    assert {item["reason"] for item in only["pending"]} == {"new"}
    assert run(capsys, "--check")[0] == 1


def test_json_tells_what_was_applied(capsys):
    code, out, err = run(capsys, "--json")
    assert (code, err) == (0, "")
    (only,) = json.loads(out)["databases"]
    assert [item["name"] for item in only["applied"]] == [file.name for file in sqlfiles.load()]
    again = json.loads(run(capsys, "--check", "--json")[1])
    assert again["up_to_date"] is True
    assert again["databases"][0]["pending"] == []


def test_a_fleet_of_several_databases_is_migrated_as_one(capsys, monkeypatch, server, empty_database_url):
    second = server.create()
    try:
        monkeypatch.setenv("REACTOR_DATABASES", f"{empty_database_url},{server.url(second)}")
        out = run(capsys)[1]
        assert out.count("files applied.") == 2
        assert f", database {second}:\n" in out
        code, out, _ = run(capsys, "--check", "--json")
        assert code == 0
        assert len({each["database"] for each in json.loads(out)["databases"]}) == 2
    finally:
        server.drop(second)


@pytest.fixture
def hindered(empty_database_url):
    """An application whose tenants are numbered, and whose orders know no tenant."""

    async def prepare() -> None:
        async with pool.connected(empty_database_url, name="test") as connection:
            await connection.execute(
                "create table tenants (id bigserial primary key); create table orders (id uuid primary key);"
            )

    run_async(prepare())


@pytest.mark.parametrize("option", ["--plan", "--check"])
@pytest.mark.usefixtures("hindered")
def test_what_stands_in_the_way_is_told_before_anything_runs(capsys, option):
    code, out, _ = run(capsys, option)
    assert code == 1
    assert "schema/0001_foundation" in out
    assert "This would fail" in out
    assert "  public.tenants.id is of type bigint, and a uuid is needed" in out
    assert "    → give each row a uuid as well: alter table public.tenants" in out
    assert "  public.orders.tenant_id does not exist" in out
    code, out, _ = run(capsys, option, "--json")
    (only,) = json.loads(out)["databases"]
    assert (code, len(only["obstacles"])) == (1, 2)
    assert only["obstacles"][0]["what"].startswith("public.tenants.id")
    assert only["obstacles"][0]["mend"]


@pytest.mark.usefixtures("hindered")
def test_a_migration_that_cannot_succeed_does_not_begin(capsys):
    code, out, err = run(capsys)
    assert (code, out) == (1, "")
    first, *rest = err.splitlines()
    assert first == (
        "reactor: the migration cannot build on the application's tables as they are; nothing was changed"
    )
    assert rest[0] == "  hint: mend this, then run `reactor migrate` again"
    assert any(line.startswith("  public.orders.tenant_id does not exist") for line in rest)
    code, out, _ = run(capsys, "--check", "--json")
    assert len(json.loads(out)["databases"][0]["pending"]) == len(sqlfiles.load())


def test_one_file_is_one_file(cli, db, database_url):
    db.run("delete from reactor.migrations where name = 'functions/settle'")
    assert cli("run").err.splitlines()[-2].endswith("older than this program: functions/settle is pending")
    assert cli("migrate", url=database_url).out == "1 file applied. The database is up to date.\n"


@pytest.fixture
def older(empty_database_url) -> None:
    """An application whose clocks have an older shape, with a view of a column that goes, and an orphan."""

    async def make() -> None:
        async with pool.connected(empty_database_url, name="test") as connection:
            await connection.execute("""
                create table tenants (id uuid primary key, name text, is_active boolean default true);
                insert into tenants values (gen_random_uuid(), 'Acme');
                create table engagement_clocks (id uuid primary key default gen_random_uuid(),
                    tenant_id uuid references tenants, entity_type text, entity_id uuid,
                    next_touch_due timestamptz, is_compliant boolean);
                create view late as select entity_id from engagement_clocks where not is_compliant;
                insert into engagement_clocks (tenant_id, entity_type, entity_id)
                    select id, 'client', gen_random_uuid() from tenants, generate_series(1, 2);
            """)

    run_async(make())


def test_what_could_not_stay_as_it_was_is_told_once(capsys, older):
    code, out, _ = run(capsys)
    assert code == 0
    told = out.partition("reactor.adoption_archive:")[2]
    assert "public.late" in told
    assert "the view could not be made again" in told
    assert next(line for line in told.splitlines() if line.startswith("engagement_clocks")).split()[1] == "2"
    assert run(capsys)[1] == "The database is up to date.\n"


def test_json_tells_what_could_not_stay_as_it_was(capsys, older):
    (only,) = json.loads(run(capsys, "--json")[1])["databases"]
    assert [(one["table"], one["rows"]) for one in only["archived"]] == [
        ("engagement_clocks", 2),
        ("public.late", 1),
    ]


INVOICES = """
    create table public.invoices (
        id uuid primary key default gen_random_uuid(), tenant_id uuid not null, total numeric);
    select reactor.watch('public.invoices', 'invoice.made', payload_columns => '{total}');
"""


def aged(db) -> str:
    """An older version's trigger in the place of what was installed; its function."""
    db.run(INVOICES)
    name = db.value("select function_name from reactor.watches where event_type = 'invoice.made'")
    db.run(
        f"create or replace function reactor.{name}() returns trigger language plpgsql security definer "
        "set search_path = '' as $$begin return null; end$$"
    )
    return name


def test_triggers_that_an_older_version_wrote_are_renewed_and_told(cli, db, database_url):
    aged(db)
    listed = cli("watches", "--json")
    assert listed.code == 0
    assert {row["event_type"]: row["state"] for row in listed.json}["invoice.made"] == "outdated"
    doctor = cli("doctor", "--json").json
    assert (
        "public.invoices emits invoice.made as an older version wrote it",
        "`reactor migrate` renews it, or says why it cannot",
    ) in [(one["finding"], one["mend"]) for one in doctor["checks"]]
    said = cli("migrate", url=database_url)
    assert (said.code, said.out) == (0, "1 trigger of watched tables renewed. The database is up to date.\n")
    assert {row["state"] for row in cli("watches", "--json").json} == {"ok"}
    assert cli("migrate", "--json", url=database_url).json["databases"][0]["watches"] == []


def test_a_trigger_that_cannot_be_renewed_is_named_and_is_no_failure(cli, db, database_url):
    aged(db)
    db.run("update reactor.watches set condition = 'new.paid' where event_type = 'invoice.made'")
    said = cli("migrate", url=database_url)
    assert (said.code, said.out) == (0, "The database is up to date.\n")
    assert said.err == (
        "public.invoices emits invoice.made as an older version wrote it, and cannot be renewed: "
        'the condition does not fit public.invoices: record "new" has no field "paid"\n'
        "  `reactor watch public.invoices --emit invoice.made …` replaces it; "
        "`reactor watches --json` says with what it was installed\n"
    )
    (only,) = cli("migrate", "--json", url=database_url).json["databases"]
    (told,) = only["watches"]
    assert (told["table"], told["event_type"]) == ("public.invoices", "invoice.made")
    assert told["refused"].endswith('record "new" has no field "paid"')


def test_a_later_release_is_left_alone_until_its_functions_are_to_go(cli, db, database_url):
    db.run(
        "insert into reactor.migrations (name, checksum, duration_ms) values ('release/999.0', '', 0);"
        "update reactor.migrations set checksum = 'later' where name = 'functions/settle'"
    )
    assert cli("migrate", "--check", url=database_url).code == 0
    said = cli("migrate", url=database_url)
    assert said.code == 0
    assert said.out == (
        "The database is newer than this program (it has release/999.0); nothing was changed. "
        "`reactor migrate --back` puts this program's functions in the place of the newer ones.\n"
    )
    assert cli("migrate", "--back", "--check", url=database_url).code == 2
    said = cli("migrate", "--back", url=database_url)
    assert (said.code, said.out) == (0, "1 file applied. The database is up to date.\n")
    assert cli("migrate", url=database_url).out == "The database is up to date.\n"

    db.run("insert into reactor.migrations (name, checksum, duration_ms) values ('schema/9999_later', '', 0)")
    said = cli("migrate", "--back", url=database_url)
    assert said.code == 1
    assert "there is no way back: the database has schema/9999_later" in said.err


def test_protected_tables_that_are_renewed_and_that_cannot_be(cli, db, database_url):
    db.run(
        "create table public.invoices (id uuid primary key, tenant_id uuid not null, n int);"
        "select reactor.protect('public.invoices');"
        "drop policy reactor_tenant_only on public.invoices"
    )
    said = cli("migrate", url=database_url)
    assert (said.code, said.err) == (0, "")
    assert said.out == "The policies of 1 protected table renewed. The database is up to date.\n"
    db.run(
        "alter policy reactor_tenant on public.invoices using (n = 1);"
        "alter policy reactor_tenant_only on public.invoices using (tenant_id is null)"
    )
    said = cli("migrate", url=database_url)
    assert (said.code, said.out) == (0, "The database is up to date.\n")
    assert said.err == (
        "public.invoices is protected as an older version did it, and cannot be renewed: "
        "its policies do not tell which column holds the tenant\n"
        "  `select reactor.protect('public.invoices', '…')`, as its owner, does it\n"
    )
    (only,) = cli("migrate", "--json", url=database_url).json["databases"]
    assert only["protected"] == [
        {"table": "public.invoices", "refused": "its policies do not tell which column holds the tenant"}
    ]
