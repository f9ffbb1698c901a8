"""``reactor tenants check`` and ``reactor alerts channels``: what tenants decide for themselves."""

import io
import json
import sys
from uuid import uuid4

import pytest

SECRET = "whsec_" + "bmV3IHNlY3JldCBuZXcgc2VjcmV0IG5ldw=="
HOOK = {"webhook_url": "https://hooks.acme.test/T0KEN", "webhook_secret": SECRET, "emails": ["ops@acme.test"]}


def configure(db, tenant, **settings):
    db.fetch("update public.tenants set agent_settings = $2 where id = $1", tenant, settings)


def switch_off(db, cli, tenant) -> str:
    names = [row["channel"] for row in cli("alerts", "channels", "--tenant", tenant, "--json").json]
    [webhook] = [name for name in names if name.startswith("webhook:")]
    db.fetch(
        "insert into reactor.alert_channels_off (tenant_id, channel, reason) "
        "values ($1, $2, 'it answered 410')",
        tenant,
        webhook,
    )
    return webhook


def test_broken_settings_are_named_tenant_by_tenant(cli, db):
    good, bad = db.tenant("Acme"), db.tenant("Bolt")
    configure(db, good, email_mode="send", alerts=HOOK)
    configure(
        db, bad, templates={"urgent": {"subject": "{{ what }}", "text": "x"}}, alerts={"emails": ["no"]}
    )

    said = cli("tenants", "check", "--all")
    assert said.code == 1
    assert "Acme" not in said.out
    assert "templates.urgent.subject" in said.out
    assert "alerts.emails" in said.out

    rows = cli("tenants", "check", good, bad, "--json").json
    assert [(row["name"], row["usable"], len(row["problems"])) for row in rows] == [
        ("Acme", True, 0),
        ("Bolt", False, 2),
    ]
    said = cli("tenants", "check", good)
    assert (said.code, said.out) == (0, "1 tenant checked, nothing is wrong.\n")


def test_a_key_that_is_not_ours_is_told_but_stops_nothing(cli, db):
    acme = db.tenant()
    configure(db, acme, max_email_per_hour=3)
    said = cli("tenants", "check", acme, "--json")
    assert said.code == 1
    [row] = said.json
    assert row["usable"]
    assert row["problems"] == ["max_email_per_hour: not a setting of ours"]


def test_settings_are_checked_before_they_are_saved_without_a_database(cli, tmp_path):
    draft = tmp_path / "draft.json"
    draft.write_text(json.dumps({"email_mode": "sned"}))
    nowhere = "postgresql://nobody@127.0.0.1:1/nothing"
    said = cli("tenants", "check", "--settings", draft, url=nowhere)
    assert said.code == 1
    assert "email_mode" in said.out
    draft.write_text(json.dumps({"email_mode": "send"}))
    assert cli("tenants", "check", "--settings", draft, url=nowhere).code == 0


@pytest.mark.parametrize("words", [["--settings", "-"], ["--settings=-"], ["--json", "--settings", "-"]])
def test_settings_can_come_from_stdin(cli, monkeypatch, words):
    monkeypatch.setattr(sys, "stdin", io.StringIO('{"email_mode": "sned"}'))
    said = cli("tenants", "check", *words, url="postgresql://nobody@127.0.0.1:1/nothing")
    assert said.code == 1
    assert "email_mode" in said.out


@pytest.mark.parametrize(
    ("text", "complaint"),
    [(None, "read: No such file"), (b"\xff", "cannot be read"), (b"{", "JSON")],
)
def test_settings_that_cannot_be_read_come_with_what_is_expected(cli, tmp_path, text, complaint):
    draft = tmp_path / "draft.json"
    if text is not None:
        draft.write_bytes(text)
    said = cli("tenants", "check", "--settings", draft)
    assert said.code == 2
    first, hint = said.err.splitlines()
    assert complaint in first
    assert hint.startswith("  hint: ")


def test_secrets_of_settings_are_not_printed(cli, db):
    acme = db.tenant()
    configure(db, acme, alerts=HOOK | {"webhook_secret": "hunter2hunter2", "emails": "nobody"})
    said = cli("tenants", "check", acme, "--json")
    assert said.code == 1
    assert "hunter2" not in said.out + said.err


@pytest.mark.parametrize(
    "words", [[], ["--all", str(uuid4())], [str(uuid4())], ["--settings", "/nowhere/at/all"]]
)
def test_wrong_input_to_check_exits_2(cli, db, words):
    said = cli("tenants", "check", *words)
    assert said.code == 2
    assert said.err.startswith("reactor: ")


def test_channels_are_listed_without_the_secret_part_of_their_urls(cli, db):
    acme = db.tenant("Acme")
    db.tenant("Bolt")
    configure(db, acme, alerts=HOOK)
    rows = cli("alerts", "channels", "--json").json
    assert [(row["tenant"], row["goes_to"], row["off_since"]) for row in rows] == [
        ("Acme", "hooks.acme.test", None),
        ("Acme", "ops@acme.test", None),
    ]
    said = cli("alerts", "channels")
    assert "hooks.acme.test" in said.out
    assert "T0KEN" not in said.out + json.dumps(rows)
    assert cli("alerts", "channels", "--off").out == "No channel is off.\n"


@pytest.mark.parametrize(("kind", "known"), [("json", True), ("text", False)])
def test_channels_are_listed_whatever_type_the_application_gave_the_column(cli, db, kind, known):
    configure(db, db.tenant("Acme"), alerts=HOOK)
    db.tenant("Bolt")
    db.run(
        "alter table public.tenants alter agent_settings drop default;"
        f"alter table public.tenants alter agent_settings type {kind} using agent_settings::{kind}"
    )
    if kind == "text":
        db.run("update public.tenants set agent_settings = 'no alerts: {' where name = 'Bolt'")
    said = cli("alerts", "channels", "--json")
    assert said.code == 0
    # In a text the automations find no settings, so there is no channel either.
    assert [row["goes_to"] for row in said.json] == (["hooks.acme.test", "ops@acme.test"] if known else [])


@pytest.mark.parametrize("named", [True, False])
def test_a_channel_that_was_switched_off_is_switched_on_again(cli, db, named):
    acme = db.tenant("Acme")
    configure(db, acme, alerts=HOOK)
    webhook = switch_off(db, cli, acme)
    [off] = cli("alerts", "channels", "--off", "--json").json
    assert (off["channel"], off["off_because"]) == (webhook, "it answered 410")

    said = cli("alerts", "enable-channel", acme, *([webhook] if named else []))
    assert (said.code, said.out) == (0, f"1 channel on again: {webhook}.\n")
    assert db.value("select count(*) from reactor.alert_channels_off") == 0
    said = cli("alerts", "enable-channel", acme, webhook, "--json")
    assert (said.code, said.json) == (1, {"tenant_id": str(acme), "enabled": []})


def test_a_tenant_that_does_not_exist_has_no_channels(cli, db):
    for words in (["channels", "--tenant"], ["enable-channel"]):
        said = cli("alerts", *words, uuid4())
        assert said.code == 2
        assert "there is no tenant" in said.err


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://hooks.acme.test/x", "must start with https://"),
        ("https://10.1.2.3/x", "10.1.2.3 is not a public address"),
        ("https://[::1]/x", "::1 is not a public address"),
    ],
)
def test_a_webhook_that_replicas_will_refuse_is_told_where_they_will(cli, db, monkeypatch, url, why):
    acme = db.tenant()
    configure(db, acme, alerts=HOOK | {"webhook_url": url})
    said = cli("tenants", "check", acme, "--json")
    assert said.code == 1
    [row] = said.json
    assert row["usable"]
    [problem] = row["problems"]
    assert problem.startswith("alerts.webhook_url: ")
    assert why in problem
    assert "REACTOR_WEBHOOK_ALLOW_PRIVATE=true" in problem
    monkeypatch.setenv("REACTOR_WEBHOOK_ALLOW_PRIVATE", "true")
    assert cli("tenants", "check", acme).code == 0
