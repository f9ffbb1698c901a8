"""``reactor emit``: an event put in by hand."""

import io
import sys
from uuid import uuid4

import pytest


def test_an_event_is_in_the_outbox_as_it_was_written(cli, db):
    tenant, subject = db.tenant(), uuid4()
    said = cli("emit", tenant, "invoice.paid", '{"total": 12.10}', "--subject", subject, "--priority", -5)
    assert (said.code, said.err) == (0, "")
    (row,) = db.fetch("select *, payload ->> 'total' as total from reactor.events")
    assert said.out == f"{row['id']}\n"
    assert (row["tenant_id"], row["event_type"], row["subject_id"], row["priority"]) == (
        tenant,
        "invoice.paid",
        subject,
        -5,
    )
    assert row["total"] == "12.10"  # not 12.1, as a float would have it
    assert row["available_at"] is None


def test_a_delay_is_counted_by_the_servers_clock(cli, db):
    cli("emit", db.tenant(), "x", "--delay", "1h30m")
    assert db.value(
        "select available_at - created_at between interval '89 min' and interval '91 min' from reactor.events"
    )


def test_with_a_dedup_key_the_second_is_the_first(cli, db):
    tenant = db.tenant()
    first = cli("emit", tenant, "x", "--dedup-key", "k", "--json").json
    assert cli("emit", tenant, "x", "--dedup-key", "k", "--json").json == first
    assert db.value("select count(*) from reactor.events") == 1


def test_the_payload_can_come_from_stdin(cli, db, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO('{"a": [1]}'))
    assert cli("emit", db.tenant(), "x", "-").code == 0
    assert db.value("select payload from reactor.events") == {"a": [1]}


def test_stdin_that_is_no_utf_8_is_named(cli, db, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b'{"a": "\xe4"}'), encoding="utf-8"))
    said = cli("emit", db.tenant(), "x", "-")
    assert (said.code, said.err.splitlines()[0].count("stdin cannot be read")) == (2, 1)


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["{total: 1}"], "the payload is no JSON"),
        (["[1]"], "the payload is no JSON object"),
        (["{}", "--delay", "soon"], "'soon' is no duration"),
        (["{}", "--delay", "-5s"], "duration"),
        (["{}", "--subject", "seven"], 'unable to convert "seven" into UUID'),
    ],
)
def test_wrong_input_is_one_line_and_exits_2(cli, db, words, complaint):
    said = cli("emit", db.tenant(), "x", *words)
    assert said.code == 2
    assert complaint in said.err.splitlines()[0]
    assert db.value("select count(*) from reactor.events") == 0


@pytest.mark.parametrize("value", [r'"\u0000"', r'"\ud800"', "1e999999"])
def test_json_that_the_server_cannot_store_is_wrong_input(cli, db, value):
    said = cli("emit", db.tenant(), "x", f'{{"a": {value}}}')
    assert said.code == 2
    assert said.err.startswith("reactor: ")
    assert "payload" in said.err.splitlines()[0]
    assert "hint: " in said.err


def test_a_tenant_that_does_not_exist_exits_2(cli):
    tenant = uuid4()
    said = cli("emit", tenant, "x")
    assert (said.code, said.err.splitlines()) == (
        2,
        [f"reactor: there is no tenant {tenant}", "  hint: `reactor tenants list` shows them"],
    )


def test_a_tenant_that_is_neither_id_nor_name_exits_2(cli):
    said = cli("emit", "acme", "x")
    assert said.code == 2
    assert said.err.startswith("reactor: there is no tenant 'acme'\n  hint: give its id or its name")
