"""Values that a table may hold and Python may not: they are shown, and never end a command."""

import json
from hashlib import sha256

import pytest

HUGE = "1" + "0" * 400
DEEP = "[" * 3000 + "]" * 3000


@pytest.mark.parametrize("mine", [HUGE, DEEP], ids=["number", "levels"])
def test_one_tenants_odd_settings_keep_no_other_from_being_checked(cli, db, mine):
    channel = {"emails": ["ops@example.test"]}
    ifs = "{% if title %}" * 101 + "a" + "{% endif %}" * 101
    templates = {"friendly": {"subject": "x", "text": ifs}}
    for name, settings in (
        ("Odd", f'{{"mine": {mine}, "alerts": {json.dumps(channel)}}}'),
        ("Worse", json.dumps({"templates": templates, "alerts": channel})),
        ("Worst", f'{{"alerts": {mine}}}'),
        ("Sound", json.dumps({"alerts": channel})),
    ):
        tenant = db.tenant(name)
        db.value(
            "update tenants set agent_settings = $2::text::jsonb where id = $1 returning true",
            tenant,
            settings,
        )
    found = {row["name"]: row for row in cli("tenants", "check", "--all", "--json").json}
    assert found["Odd"]["usable"]
    assert found["Odd"]["problems"] == ["mine: not a setting of ours"]
    assert "nested deeper" in found["Worse"]["problems"][0]
    assert found["Worst"]["problems"][0].startswith("alerts: ")
    assert found["Sound"]["problems"] == []
    rows = cli("alerts", "channels", "--json").json
    assert {row["tenant"] for row in rows} == {"Odd", "Worse", "Sound"}


DATES = {
    "infinity": "infinity",
    "-infinity": "-infinity",
    "294276-12-31 10:00Z": "294276-12-31T10:00:00+00:00",
    "4001-02-28 10:00:00.5Z BC": "4001-02-28T10:00:00.500000+00:00 BC",
    "10000-02-29 00:00Z": "10000-02-29T00:00:00+00:00",
    "0001-12-31 23:59Z BC": "0001-12-31T23:59:00+00:00 BC",
}


@pytest.mark.parametrize(("date", "said"), DATES.items(), ids=DATES)
def test_alerts_locks_and_deaths_of_any_date_are_listed_beside_others(cli, db, date, said):
    acme = db.tenant()
    fine = (
        "insert into agent_alerts (tenant_id, alert_type, severity, message) values ($1, 'fine', 'info', 'm')"
    )
    db.value(f"{fine} returning id", acme)
    db.run(f"""
        insert into agent_alerts (tenant_id, alert_type, severity, message, created_at)
        values ('{acme}', 'odd', 'info', 'm', '{date}');
        insert into agent_tenant_locks (tenant_id, locked_at, expires_at, lock_holder)
        values ('{acme}', '{date}', '{date}', 'me');
    """)
    dead = db.die(acme)
    waiting = db.emit(acme)
    db.run(f"update reactor.dead_events set died_at = '{date}', created_at = '{date}'")
    db.run(f"update reactor.events set available_at = '{date}', created_at = '{date}'")

    rows = {row["alert_type"]: row for row in cli("alerts", "list", "--json").json}
    assert rows["odd"]["created_at"] == said
    table = cli("alerts", "list")
    assert table.code == 0
    assert said in table.out
    for words in (
        ("locks", "list"),
        ("dead", "list"),
        ("dead", "show", dead),
        ("explain", dead),
        ("explain", waiting),
        ("events", "trace", dead),
        ("events", "trace", waiting),
        ("status",),
    ):
        assert cli(*words).code == 0
        assert cli(*words, "--json").code == 0
    assert said in cli("locks", "list").out
    assert said in cli("dead", "list").out


@pytest.mark.parametrize(
    "odd", [HUGE, DEEP, "[" * 500 + "]" * 500], ids=["number", "3000 levels", "500 levels"]
)
def test_an_event_and_an_alert_are_shown_whatever_they_hold(cli, db, odd):
    acme = db.tenant()
    payload = f'{{"a": {odd}}}'
    event = db.value("select reactor.emit($1, 'odd', $2::text::jsonb)", acme, payload)
    dead = db.die(acme)
    db.value("update reactor.dead_events set payload = $1::text::jsonb returning true", payload)
    db.value(
        "insert into agent_alerts (tenant_id, alert_type, severity, message, metadata) "
        "values ($1, 'x', 'info', 'm', $2::text::jsonb) returning id",
        acme,
        payload,
    )
    for words in (
        ("explain", event),
        ("events", "trace", event),
        ("dead", "show", dead),
        ("alerts", "list"),
    ):
        assert cli(*words).code == 0
        assert odd in "".join(cli(*words, "--json").out.split())
    assert odd in cli("events", "trace", event).out


def test_the_largest_id_is_an_id(cli, db):
    acme = db.tenant()
    largest = 2**63 - 1
    db.die(acme)
    db.run(f"update reactor.dead_events set id = {largest}")
    assert cli("dead", "show", largest).code == 0
    assert "It died" in cli("explain", largest).out
    assert cli("explain", largest + 1).err.startswith(f"reactor: '{largest + 1}' is no id of an event\n")


@pytest.mark.parametrize(
    "words",
    [
        ("dead", "list", "--limit", "9999999999"),
        ("dead", "replay", "--type", "x", "--limit", "9999999999"),
        ("alerts", "list", "--limit", "99999999999999999999"),
        ("tenants", "list", "--limit", "99999999999999999999"),
        ("locks", "list", "--limit", "9999999999"),
        ("emit", "Acme", "x", "--priority", "99999999999"),
        ("emit", "Acme", "x", "--priority", "-99999999999"),
    ],
)
def test_a_number_that_is_out_of_range_is_refused_by_its_options_name(cli, db, words):
    db.tenant("Acme")
    said = cli(*words)
    assert said.code == 2
    assert said.err.startswith(f"reactor: {words[-2]} must be at ")


def test_a_dedup_key_that_no_index_takes_is_refused_by_its_options_name(cli, db):
    db.tenant("Acme")
    key = "".join(sha256(str(n).encode()).hexdigest() for n in range(200))
    said = cli("emit", "Acme", "x", "--dedup-key", key)
    assert said.code == 2
    assert said.err.startswith("reactor: --dedup-key is too long with 12,800 bytes\n")


def test_an_argument_of_broken_letters_is_said_to_be_one(cli):
    said = cli("emit", "Acm\udcff", "x")
    assert (said.code, said.err) == (2, "reactor: an argument is not UTF-8 text\n")
