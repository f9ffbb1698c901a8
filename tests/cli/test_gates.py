"""``reactor tenants`` and ``reactor kill-switch``: who may act."""

from uuid import uuid4

import pytest


def config(db) -> dict:
    return db.value("select value from public.system_config where key = 'agent_config'")


def test_tenants_are_listed_with_what_waits_for_them(cli, db):
    bolt, acme = db.tenant("Bolt", enabled=False), db.tenant("Acme")
    db.emit(acme)
    db.die(bolt)
    said = cli("tenants", "list", "--json")
    assert [(row["name"], row["agent_enabled"], row["waiting"], row["dead"]) for row in said.json] == [
        ("Acme", True, 1, 0),
        ("Bolt", False, 0, 1),
    ]
    assert [row["name"] for row in cli("tenants", "list", "--enabled", "--json").json] == ["Acme"]
    assert [row["name"] for row in cli("tenants", "list", "--disabled", "--json").json] == ["Bolt"]
    assert [row["name"] for row in cli("tenants", "list", "--name", "OL", "--json").json] == ["Bolt"]
    assert str(acme) in cli("tenants", "list").out
    assert cli("tenants", "list", "--name", "%%nobody").out == "There is no such tenant.\n"


@pytest.mark.parametrize(
    ("name", "found"),
    [("%", ["50% off"]), ("_", ["a_b"]), ("\\", ["back\\slash"]), ("OF", ["50% off"]), ("xyz", [])],
)
def test_tenants_are_listed_by_a_part_of_their_name_and_no_letter_stands_for_others(cli, db, name, found):
    for each in ("50% off", "a_b", "back\\slash", "Acme"):
        db.tenant(each)
    assert [row["name"] for row in cli("tenants", "list", "--name", name, "--json").json] == found


def test_a_tenant_is_enabled_and_disabled(cli, db):
    db.run("update public.system_config set value = value || '{\"global_enabled\": true}'")
    acme = db.tenant(enabled=False)
    assert cli("tenants", "enable", acme).out == f"Acme ({acme}) is enabled.\n"
    assert db.value("select agent_enabled from public.tenants")
    said = cli("tenants", "enable", acme)
    assert (said.code, said.out, said.err) == (0, f"Acme ({acme}) is already enabled.\n", "")
    assert cli("tenants", "disable", acme, "--json").json == [
        {
            "tenant_id": str(acme),
            "name": "Acme",
            "is_active": True,
            "was_enabled": True,
            "is_enabled": False,
        }
    ]
    assert not db.value("select agent_enabled from public.tenants")


def test_what_still_stops_an_enabled_tenant_is_said(cli, db):
    acme = db.tenant(enabled=False)
    db.run("update public.tenants set is_active = false")
    said = cli("tenants", "enable", acme)
    assert said.code == 0
    assert "Acme is not active" in said.err
    assert "kill switch is on" in said.err


@pytest.mark.parametrize("verb", ["enable", "disable"])
def test_a_tenant_that_does_not_exist_exits_2_and_none_is_changed(cli, db, verb):
    acme, nobody = db.tenant(enabled=verb == "disable"), uuid4()
    said = cli("tenants", verb, acme, nobody)
    assert (said.code, said.err.splitlines()[0]) == (2, f"reactor: there is no tenant {nobody}")
    assert "`reactor tenants list`" in said.err
    assert db.value("select agent_enabled from public.tenants") is (verb == "disable")


@pytest.mark.parametrize(
    "words",
    [
        ["enable"],
        ["enable", "acme"],
        ["disable"],
        ["list", "--enabled", "--disabled"],
        ["list", "--limit", "0"],
        ["list", "--name", ""],
    ],
)
def test_wrong_input_exits_2(cli, words):
    said = cli("tenants", *words)
    assert said.code == 2
    assert said.err.startswith("reactor: ")


def test_the_kill_switch_goes_on_with_a_reason_and_off_again(cli, db):
    db.tenant()
    said = cli("kill-switch", "off")
    assert (said.code, said.out) == (0, "The kill switch is off: 1 of 1 tenants are served.\n")
    assert config(db) == {"global_enabled": True, "kill_switch_reason": None}

    said = cli("kill-switch", "on", "--reason", "wrong prices")
    assert said.code == 0
    assert said.out.splitlines()[0] == "The kill switch is on: wrong prices."
    assert config(db) == {"global_enabled": False, "kill_switch_reason": "wrong prices"}
    assert cli("kill-switch", "status", "--json").json == {"on": True, "reason": "wrong prices", "parked": 0}
    assert cli("kill-switch").out == cli("kill-switch", "status").out

    assert cli("kill-switch", "off", "--json").json == {"on": False, "reason": None, "parked": 0}


def test_the_kill_switch_keeps_what_else_is_configured_and_makes_a_lost_row_anew(cli, db):
    db.run("update public.system_config set value = value || '{\"other\": 1}'")
    cli("kill-switch", "off")
    assert config(db)["other"] == 1
    db.run("delete from public.system_config")
    assert cli("kill-switch", "--json").json["on"]
    cli("kill-switch", "off")
    assert config(db) == {"global_enabled": True, "kill_switch_reason": None}


@pytest.mark.parametrize("words", [["on"], ["on", "--reason", " "], ["sideways"]])
def test_a_wrong_word_or_no_reason_exits_2_and_changes_nothing(cli, db, words):
    before = config(db)
    said = cli("kill-switch", *words)
    assert said.code == 2
    assert said.err.startswith("reactor: ")
    assert config(db) == before
