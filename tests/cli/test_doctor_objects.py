"""``reactor doctor``: what a migration made and somebody took away since."""

import pytest

from tests.cli.test_doctor import findings

SQL = ("create ", "grant ", "alter ")


@pytest.mark.parametrize(
    ("breaks", "part"),
    [
        ("drop index reactor.events_ready", "index reactor.events_ready is gone"),
        (
            "revoke usage on schema reactor from reactor_handler",
            "schema reactor is closed to reactor_handler",
        ),
        (
            "revoke execute on function reactor.sweep(bigint, int) from reactor",
            "reactor may not execute reactor.sweep",
        ),
        ("revoke insert on reactor.email_intents from reactor", "may not insert on reactor.email_intents"),
    ],
)
def test_what_is_gone_or_closed_is_wrong_and_the_advice_mends_it(cli, db, breaks, part):
    db.run(breaks)
    said = cli("doctor", "--json")
    assert said.code == 1
    [wrong] = findings(said)["objects"]
    assert part in wrong["finding"]
    assert wrong["mend"].lower().startswith(SQL)
    db.run(wrong["mend"])
    assert cli("doctor", "--json").code == 0


@pytest.mark.parametrize(
    "breaks",
    [
        "drop function reactor.sweep",
        "drop function reactor.sweep, reactor.beat, reactor.retire, reactor.arm, reactor.lead",
        (
            "revoke execute on all functions in schema reactor from reactor; "
            "grant execute on function reactor.caller_tenant, reactor.current_tenant, reactor.uuid7_floor, "
            "reactor.uuid7_time to reactor"
        ),
    ],
)
def test_functions_that_are_gone_or_closed_come_back_with_a_migration(cli, db, database_url, breaks):
    db.run(breaks)
    said = cli("doctor", "--json")
    assert said.code == 1
    [wrong] = findings(said)["objects"]
    done, _, statement = wrong["mend"].partition(", after: ")
    assert done == "`reactor migrate`"
    db.run(statement)
    assert cli("migrate", url=database_url).code == 0
    assert cli("doctor", "--json").code == 0


def test_what_belongs_to_somebody_else_is_wrong_and_a_migration_mends_it(cli, db, database_url):
    db.run(
        "alter function reactor.beat owner to current_user; alter table reactor.history owner to current_user"
    )
    said = cli("doctor", "--json")
    assert said.code == 1
    assert findings(said)["objects"][0]["finding"].startswith("2 objects of schema reactor do not belong")
    assert cli("migrate", url=database_url).code == 0
    assert cli("doctor", "--json").code == 0


def test_a_table_that_is_gone_does_not_end_the_examination(cli, db):
    db.run("drop table reactor.canary, public.agent_alerts cascade")
    said = cli("doctor", "--json")
    assert said.code == 1
    found = findings(said)
    assert found["objects"][0]["finding"] == "table reactor.canary is gone"
    assert found["fleet"][0]["finding"].startswith("cannot look: relation ")
    assert "isolation" in [one["check"] for one in said.json["checks"]]


def test_a_newer_database_is_not_held_against_an_older_dump(cli, db):
    db.run(
        "drop index reactor.events_ready; "
        "insert into reactor.migrations (name, checksum, applied_by, duration_ms) "
        "values ('schema/9999_later', 'x', 'me', 1)"
    )
    assert "objects" not in findings(cli("doctor", "--json"))


@pytest.mark.parametrize("way", [0, 1])
def test_a_trigger_of_the_application_that_handlers_may_not_run_is_wrong_and_the_advice_mends_it(
    cli, db, way
):
    db.run(
        "create function note() returns trigger language plpgsql as"
        " $$ begin new.description = auth.uid()::text; return new; end $$;"
        "create trigger note before update on kanban_cards for each row execute function note()"
    )
    assert cli("doctor", "--json").code == 0
    db.run("revoke usage on schema auth from reactor_handler")
    said = cli("doctor", "--json")
    assert said.code == 1
    [wrong] = findings(said)["triggers"]
    assert "note() runs on what handlers write to kanban_cards" in wrong["finding"]
    db.run(wrong["mend"].split("; or, as the owner of schema auth: ")[way])
    assert cli("doctor", "--json").code == 0


def test_a_watch_whose_function_has_another_name_than_in_a_new_database_is_not_gone(cli, db):
    """A watch takes another one where its own is still that of a table which had its name before."""
    name = db.value("select function_name from reactor.watches where event_type = 'alert.created'")
    db.run(
        f"alter function reactor.{name}() rename to watch_0123456789ab;"
        "update reactor.watches set function_name = 'watch_0123456789ab' where event_type = 'alert.created'"
    )
    assert cli("doctor", "--json").code == 0
