"""``reactor explain`` and ``reactor events trace``: why an event waits, and its whole life."""

import asyncio
from datetime import timedelta

import pytest

from reactor import Discard, Reactor, Retry
from reactor.cli.output import print_rows
from reactor.db import pool
from reactor.testing import running
from tests.conftest import run_async


def gate(db, *, open_: bool) -> None:
    db.value("select is_on from reactor.set_kill_switch($1, 'a wrong catalogue')", not open_)


def why(cli, event: int) -> tuple[str, str]:
    said = cli("explain", event, "--json")
    assert said.code == 0
    told = cli("explain", event)
    # Its words go on counting time: "It was handled now", "It was handled 1 s ago".
    assert (told.code, told.out[:14]) == (0, said.json["sentence"][:14])
    return said.json["why"], said.json["sentence"]


def test_nobody_lives_who_could_take_it(cli, db):
    event = db.emit(db.tenant())
    assert why(cli, event) == (
        "no_replica",
        "No replica lives that could take it. Start one: `reactor run --app MODULE:ATTRIBUTE`.",
    )


def test_no_live_replica_has_a_handler(cli, db):
    event = db.emit(db.tenant())
    db.enlist("one", "other.type")
    db.enlist("gone", "invoice.paid", seen="1 h")
    said, sentence = why(cli, event)
    assert said == "no_handler"
    assert "None of 1 live replica has a handler for invoice.paid" in sentence


def test_it_is_ready_and_others_come_before_it(cli, db):
    tenant = db.tenant()
    db.enlist("one", "invoice.paid")
    first, second = db.emit(tenant), db.emit(tenant)
    urgent = db.value("select reactor.emit($1, 'invoice.paid', priority => -1)", tenant)
    assert why(cli, urgent) == ("ready", "It is ready, and the next replica with a free slot takes it.")
    assert why(cli, first)[1].endswith("takes it, after 1 event of its tenant.")
    assert why(cli, second)[1].endswith("takes it, after 2 events of its tenant.")


def test_it_is_in_flight_at_a_replica(cli, db):
    tenant = db.tenant()
    db.enlist("worker", "invoice.paid")
    event = db.emit(tenant)
    db.claim("worker")
    said, sentence = why(cli, event)
    assert said == "in_flight"
    assert sentence.startswith("It is being handled by replica worker for ")
    later = db.emit(tenant)
    said, sentence = why(cli, later)
    assert said == "held"
    assert sentence.startswith("Its tenant is held by replica worker for ")
    assert sentence.endswith("in hand. It comes after 1 event of its tenant.")
    found = cli("explain", later, "--json").json
    assert found["lock"]["run_id"] == str(db.value("select run_id from public.agent_tenant_locks"))


def test_a_holder_that_fell_silent_is_told_apart_and_so_is_one_that_is_no_replica(cli, db):
    tenant = db.tenant()
    db.enlist("silent", "invoice.paid")
    event = db.emit(tenant)
    db.claim("silent")
    db.enlist("silent", "invoice.paid", seen="1 h")
    assert "replica silent for" in why(cli, event)[1]
    assert "has fallen silent" in why(cli, event)[1]

    other = db.tenant("Bolt")
    event = db.emit(other)
    db.value("select public.acquire_tenant_lock($1, 'nightly.sh')", other)
    said, sentence = why(cli, event)
    assert said == "held"
    assert "by nightly.sh (no replica)" in sentence


def test_it_waits_for_its_time(cli, db):
    tenant = db.tenant()
    event = db.value("select reactor.emit($1, 'x', delay => '2 h')", tenant)
    said, sentence = why(cli, event)
    assert said == "delayed"
    assert sentence in (
        "It was emitted with a delay: its time comes in 2 h.",
        "It was emitted with a delay: its time comes in 1 h 59 min.",
    )
    db.enlist("one", "x")
    db.run("update reactor.events set available_at = reactor.now() - interval '1 min'")
    assert why(cli, event)[0] == "due"
    assert "no replica leads just now" in why(cli, event)[1]
    db.value("select reactor.lead('one', '10 s')")
    assert "the leader (one) is about to make it ready" in why(cli, event)[1]


@pytest.mark.parametrize(
    ("closed", "part"),
    [
        ("kill switch", "the kill switch is on (a wrong catalogue)"),
        ("inactive", "tenant Acme is not active"),
        ("disabled", "tenant Acme is not enabled"),
    ],
)
def test_it_is_parked_and_which_gate_is_closed_is_said(cli, db, closed, part):
    tenant = db.tenant(enabled=closed != "disabled")
    gate(db, open_=closed != "kill switch")
    db.run(f"update public.tenants set is_active = {closed != 'inactive'}")
    event = db.emit(tenant)
    db.value("select reactor.park($1, '{invoice.paid}')", [tenant])
    said, sentence = why(cli, event)
    assert said == "parked"
    assert part in sentence
    gate(db, open_=True)
    db.run("update public.tenants set is_active = true, agent_enabled = true")
    assert why(cli, event)[0] == "reopened"


def test_a_gate_that_is_closed_comes_before_who_holds_the_tenant(cli, db):
    tenant = db.tenant()
    db.value(
        "select reactor.enlist('one', '45 s', '0.1.0', $1)",
        {"types": ["invoice.paid", "other.type"], "gated": ["invoice.paid"]},
    )
    gate(db, open_=False)
    event, other = db.emit(tenant), db.emit(tenant, "other.type")
    assert why(cli, event)[0] == "parked"
    db.value("select public.acquire_tenant_lock($1, 'nightly.sh')", tenant)
    said, sentence = why(cli, event)
    assert said == "parked"
    assert "the kill switch is on (a wrong catalogue)" in sentence
    assert why(cli, other)[0] == "held"
    gate(db, open_=True)
    said, sentence = why(cli, event)
    assert said == "held"
    assert sentence.endswith(". It comes next.")


def test_a_replica_says_which_of_its_types_are_gated(db):
    app = Reactor()

    @app.on("acting", gated=True)
    async def acting(event, ctx): ...

    @app.on("looking")
    async def looking(event, ctx): ...

    async def live():
        async with running(app, db.url), pool.connected(db.url) as connection:
            return await connection.fetchval("select info -> 'gated' from reactor.replicas")

    assert run_async(live()) == ["acting"]


def test_it_is_dead_with_the_reason_and_the_way_back(cli, db):
    event = db.die(db.tenant(), ago="5 h")
    said, sentence = why(cli, event)
    assert said == "dead"
    assert sentence.startswith("It died 5 h ago: failed 10 times, last: no money.")
    assert f"`reactor dead replay {event}`" in sentence


@pytest.fixture
def lived(db):
    """Events that a real replica handled, failed, put off and discarded: by type, their ids."""
    app = Reactor()

    @app.on("parent")
    async def parent(event, ctx):
        await ctx.emit("child")

    @app.on("child")
    async def child(event, ctx):
        await ctx.emit("grandchild", {}, delay=timedelta(hours=1))

    @app.on("grandchild")
    async def grandchild(event, ctx): ...

    @app.on("failing")
    async def failing(event, ctx):
        raise Retry(timedelta(hours=1), "the bank sleeps")

    @app.on("put.off")
    async def put_off(event, ctx):
        raise Retry(timedelta(hours=1), "the hour is full", counts=False)

    @app.on("old")
    async def old(event, ctx):
        raise Discard("nobody wants it")

    tenant = db.tenant()
    types = ("parent", "failing", "put.off", "old")
    events = {kind: db.emit(tenant, kind) for kind in types}

    async def live() -> None:
        async with running(app, db.url), asyncio.timeout(30), pool.connected(db.url) as connection:
            while await connection.fetchval("select count(*) from reactor.events where available_at is null"):
                await asyncio.sleep(0.02)

    run_async(live())
    return events


def test_a_handlers_decision_is_told_in_its_own_words(cli, lived):
    said, sentence = why(cli, lived["failing"])
    assert said == "delayed"
    assert "the bank sleeps" in sentence
    said, sentence = why(cli, lived["put.off"])
    assert said == "delayed"
    assert sentence.startswith("Its handler put it off: the hour is full.")
    said, sentence = why(cli, lived["old"])
    assert said == "discarded"
    assert sentence.endswith(": nobody wants it.")
    said, sentence = why(cli, lived["parent"])
    assert said == "handled"
    assert "after it was emitted" in sentence


def test_a_trace_goes_from_the_first_cause_to_the_last_effect(cli, db, lived):
    parent = lived["parent"]
    found = cli("events", "trace", parent, "--json").json
    assert [event["event_type"] for event in found["effects"]] == ["child", "grandchild"]
    assert found["causes"] == []
    assert [run["id"] for run in found["runs"]] == [found["event"]["run_id"]]
    child, grandchild = (event["id"] for event in found["effects"])

    found = cli("events", "trace", grandchild, "--json").json
    assert [event["id"] for event in found["causes"]] == [parent, child]
    assert found["event"]["state"] == "waiting"
    text = cli("events", "trace", child).out
    assert "Caused by, the first cause first:" in text
    assert "Caused in turn:" in text
    assert "handled now, " in text or " ago, " in text


def test_a_trace_names_the_run_of_each_try(cli, db, lived):
    found = cli("events", "trace", lived["failing"], "--json").json
    (error,) = found["event"]["errors"]
    assert [run["id"] for run in found["runs"]] == [error["run_id"]]
    text = cli("events", "trace", lived["failing"]).out
    assert "the bank sleeps" in text
    assert error["run_id"] in text


def test_errors_say_where_they_were_and_a_replay_is_no_try(cli, db):
    event = db.die(db.tenant("Acme"))
    place = ["/srv/shop/pay.py:3 pay", "/srv/shop/bank.py:41 Bank.charge"]
    failed = {"kind": "KeyError", "error": "'email'", "handler": "shop.pay", "where": place, "hint": "look"}
    db.value("update reactor.dead_events set errors = $1 returning true", [failed, failed])
    text = cli("dead", "show", event).out
    assert "bank.py:41 " in text
    assert "\nWhere the last one failed, in shop.pay:\n  /srv/shop/pay.py:3 pay\n" in text
    assert "\n  /srv/shop/bank.py:41 Bank.charge\n\nhint: look\n" in text
    assert cli("dead", "replay", event).code == 0
    db.value(
        "update reactor.events set errors = errors || $1, available_at = reactor.now() + interval '1 h' "
        "returning true",
        [failed],
    )
    assert "It failed (KeyError: 'email') and is tried again" in cli("explain", event).out
    for text in cli("explain", event).out, cli("events", "trace", event).out:
        table = text[text.index("\ntry ") :].splitlines()[2:6]
        assert [line.split()[0] for line in table] == ["1", "2", "-", "1"]
        assert " replayed " in table[2]


def test_an_error_of_several_lines_is_readable(cli, db):
    event = db.die(db.tenant())
    reason = "failed 1 times, last: duplicate key\nDETAIL:  Key (id)=(1) already exists."
    db.value("update reactor.dead_events set reason = $1 returning true", reason)
    facts = cli("dead", "show", event).out
    assert f"last: duplicate key\n{' ' * len('attempts  ')}DETAIL:  Key (id)=(1) already exists.\n" in facts
    sentence = cli("explain", event).out.splitlines()[0]
    assert "last: duplicate key; DETAIL:  Key (id)=(1) already exists. `reactor dead" in sentence


def test_a_trace_stops_at_a_bound_and_says_so(db):
    tenant = db.tenant()
    first = db.emit(tenant)
    db.value(
        "with put as (insert into reactor.events (tenant_id, event_type, cause_id) "
        "select $1, 'x', $2 from generate_series(1, 20) returning id) select count(*) from put",
        tenant,
        first,
    )
    found = db.value("select reactor.trace_event($1, 5)", first)
    assert len(found["effects"]) == 5
    assert found["more_effects"] is True
    assert len(db.value("select reactor.trace_event($1, 20)", first)["effects"]) == 20
    assert db.value("select reactor.trace_event($1, 20)", first)["more_effects"] is False


def test_a_cause_that_was_forgotten_is_named_all_the_same(cli, db):
    tenant = db.tenant()
    event = db.emit(tenant)
    db.run("update reactor.events set cause_id = 12345")
    assert "12345" in cli("events", "trace", event).out
    assert cli("events", "trace", event, "--json").json["causes"][0]["state"] == "forgotten"


@pytest.mark.parametrize("command", [["explain"], ["events", "trace"]])
@pytest.mark.parametrize(
    "event", ["7", "seven", "0199f1d4-6a55-7c1e-8f43-3f5a2b1c0d9e", "0199f1d4-6a55", "-1"]
)
def test_an_event_that_nobody_knows_is_one_line_and_exits_2(cli, command, event):
    said = cli(*command, event)
    assert (said.code, said.out) == (2, "")
    assert len(said.err.splitlines()) == 2


def test_an_event_is_found_by_its_event_id(cli, db):
    event = db.emit(db.tenant())
    name = db.value("select event_id from reactor.events")
    assert cli("explain", name, "--json").json["id"] == event
    assert cli("events", "trace", name, "--json").json["event"]["id"] == event


def test_an_error_of_several_lines_is_one_in_a_table(capsys):
    print_rows([{"error": "no answer\n  for a minute"}], ["error"])
    assert capsys.readouterr().out.splitlines()[1].strip() == "no answer; for a minute"
