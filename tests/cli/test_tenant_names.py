"""A tenant is named by its id or, where only one has it, by its name."""

from uuid import uuid4

import pytest

TAKING = [
    ["alerts", "list", "--tenant"],
    ["alerts", "channels", "--tenant"],
    ["alerts", "enable-channel"],
    ["dead", "list", "--tenant"],
    ["dead", "replay", "--tenant"],
    ["dead", "discard", "--tenant"],
    ["tenants", "enable"],
    ["tenants", "disable"],
    ["tenants", "check"],
]


@pytest.mark.parametrize("words", TAKING, ids=" ".join)
@pytest.mark.parametrize("name", ["6b11f39c-0d27-4485-a032-d523c91209a8", "Nobody's", ""])
def test_one_that_does_not_exist_exits_2_and_the_hint_says_where_they_are(cli, words, name):
    said = cli(*words, name)
    assert said.code == 2
    line, hint = said.err.splitlines()
    assert line.startswith("reactor: there is no tenant ")
    assert "`reactor tenants list`" in hint


@pytest.mark.parametrize("words", TAKING, ids=" ".join)
@pytest.mark.parametrize("name", ["", " "])
def test_an_empty_name_is_no_tenants_although_one_has_it(cli, db, words, name):
    db.tenant(name)
    said = cli(*words, name)
    assert said.code == 2
    assert said.err.startswith(
        "reactor: there is no tenant to be found by an empty name\n  hint: give its id"
    )
    assert db.value("select agent_enabled from public.tenants") is True


@pytest.mark.parametrize("words", TAKING, ids=" ".join)
def test_the_name_does_for_the_id(cli, db, words):
    acme = db.tenant("Acme & Söhne")
    by_name, by_id = (cli(*words, named, "--json") for named in ("acme & söhne", acme))
    assert (by_name.code, by_name.err) == (by_id.code, by_id.err)
    assert by_name.code in (0, 1)


def test_an_event_of_a_tenant_by_its_name(cli, db):
    acme = db.tenant("Acme")
    event = cli("emit", "Acme", "x", "--json").json["id"]
    assert db.value("select tenant_id from reactor.events where id = $1", event) == acme
    dead = db.die(acme)
    db.die(db.tenant("Bolt"))
    assert [row["id"] for row in cli("dead", "list", "--tenant", "acme", "--json").json] == [dead]


def test_an_exact_name_goes_before_one_in_other_capitals(cli, db):
    db.tenant("acme")
    acme = db.tenant("Acme")
    assert cli("tenants", "check", "Acme", "--json").json[0]["tenant_id"] == str(acme)


def test_a_name_that_several_have_is_refused_with_their_ids(cli, db):
    one, two = db.tenant("Acme"), db.tenant("Acme")
    said = cli("tenants", "disable", "Acme")
    assert said.code == 2
    assert said.err.startswith("reactor: several tenants are called 'Acme'\n  hint: ")
    assert str(one) in said.err
    assert str(two) in said.err
    assert db.value("select count(*) from public.tenants where agent_enabled") == 2


def test_dead_events_of_a_tenant_that_is_gone_can_be_listed_and_given_up(cli, db):
    gone = uuid4()
    event = db.die(gone)
    assert [row["id"] for row in cli("dead", "list", "--tenant", gone, "--json").json] == [event]
    assert f"{gone} (gone)" in cli("dead", "show", event).out
    assert cli("dead", "discard", "--tenant", gone).code == 0
    assert cli("dead", "list", "--tenant", gone).code == 2


def test_a_tenants_name_is_told_with_its_id(cli, db):
    acme = db.tenant("Acme")
    dead, waiting = db.die(acme), db.emit(acme)
    assert f"{acme} Acme\n" in cli("dead", "show", dead).out
    assert f"{acme} Acme\n" in cli("events", "trace", waiting).out


def test_a_lock_is_released_by_its_tenants_name(cli, db):
    db.tenant("Acme")
    said = cli("locks", "release", "acme")
    assert (said.code, said.err.splitlines()[0]) == (2, "reactor: nothing is locked by acme")
