"""``reactor dead``: list, show, replay, discard."""

import asyncio
import io
import os
import pty
import signal
import subprocess
import sys
from uuid import uuid4

import pytest

from reactor.db import pool
from tests.conftest import run_async
from tests.patience import patience


def ids(db, table: str) -> list[int]:
    return [row["id"] for row in db.fetch(f"select id from reactor.{table} order by id")]


def test_the_list_can_be_narrowed_by_type_tenant_and_time(cli, db):
    acme, bolt = db.tenant("Acme"), db.tenant("Bolt")
    old = db.die(acme, "order.queued", ago="3 h")
    new = db.die(acme, "order.queued", ago="10 min")
    other = db.die(bolt, "invoice.paid", ago="20 min")

    def listed(*words: object) -> list[int]:
        said = cli("dead", "list", "--json", *words)
        assert said.code == 0
        return [row["id"] for row in said.json]

    assert listed() == [new, other, old]
    assert listed("--since", "1h") == [new, other]
    assert listed("--type", "order.queued") == [new, old]
    assert listed("--tenant", bolt) == [other]
    assert listed("--type", "order.queued", "--since", "1h", "--tenant", acme) == [new]
    assert listed("--limit", 1) == [new]
    table = cli("dead", "list").out
    assert "3 h ago" in table
    assert "failed 10 times, last: no money" in table


def test_an_empty_list_says_so_and_exits_0(cli):
    said = cli("dead", "list")
    assert (said.code, said.out) == (0, "No event is dead.\n")


def test_one_is_shown_whole_with_every_error(cli, db):
    event = db.die(db.tenant())
    said = cli("dead", "show", event)
    assert said.code == 0
    for part in ('{"n":1}', "failed 10 times, last: no money", "ValueError", "10, and 1 interrupted"):
        assert part in said.out
    found = cli("dead", "show", event, "--json").json
    assert (found["id"], found["state"]) == (event, "dead")
    by_uuid = cli("dead", "show", found["event_id"], "--json").json
    assert by_uuid == found


def test_a_replayed_event_is_in_line_again_whole_and_with_its_attempts_anew(cli, db):
    tenant = db.tenant()
    event = db.die(tenant)
    (before,) = db.fetch("select * from reactor.dead_events")
    said = cli("dead", "replay", event)
    assert (said.code, said.out) == (0, f"1 event replayed: {event}.\n")
    (after,) = db.fetch("select * from reactor.events")
    for column in ("id", "event_id", "tenant_id", "event_type", "payload", "created_at", "priority", "depth"):
        assert after[column] == before[column]
    assert (after["attempts"], after["interruptions"], after["available_at"]) == (0, 0, None)
    assert [error["kind"] for error in after["errors"]] == ["ValueError", "replayed"]
    assert ids(db, "dead_events") == []


def test_replay_rings_a_replica_that_sleeps(cli, db):
    event = db.die(db.tenant())
    db.enlist("sleeper")
    db.value("select reactor.arm(r.slot, true) from reactor.replicas r")

    async def listen() -> None:
        async with pool.connected(db.url) as connection:
            bell = asyncio.Event()
            await connection.add_listener("reactor", lambda *_: bell.set())
            assert (await asyncio.to_thread(cli, "dead", "replay", event)).code == 0
            async with patience(10):
                await bell.wait()

    run_async(listen())


def test_nobody_is_asked_about_the_few_that_a_limit_leaves(cli, db):
    tenant = db.tenant()
    for _ in range(21):
        db.die(tenant, "a")
    assert cli("dead", "replay", "--type", "a").code == 2
    assert cli("dead", "replay", "--type", "a", "--limit", 3).code == 0
    db.die(tenant, "a")
    db.die(tenant, "a")
    db.die(tenant, "a")
    assert cli("dead", "discard", "--type", "a", "--limit", 3).code == 0
    assert len(ids(db, "dead_events")) == 18


def test_a_dedup_key_that_a_younger_event_has_is_given_up(cli, db):
    tenant = db.tenant()
    one, two, three = (db.die(tenant) for _ in range(3))
    db.run("update reactor.dead_events set dedup_key = 'k'")
    db.run(f"update reactor.dead_events set dedup_key = 'taken' where id = {three}")
    waiting = db.value("select reactor.emit($1, 'x', dedup_key => 'taken')", tenant)
    assert cli("dead", "replay", one, two, three).code == 0
    rows = db.fetch("select id, dedup_key from reactor.events order by id")
    assert {row["id"]: row["dedup_key"] for row in rows} == {
        one: "k",
        two: None,
        three: None,
        waiting: "taken",
    }


def test_replay_by_filters_takes_the_oldest_up_to_the_limit_and_says_what_is_left(cli, db):
    tenant = db.tenant()
    events = [db.die(tenant, "a") for _ in range(4)]
    keep = db.die(tenant, "b")
    said = cli("dead", "replay", "--type", "a", "--limit", 3)
    assert said.code == 0
    assert said.out.splitlines()[1] == "1 more fit; run it again, or raise --limit."
    assert ids(db, "events") == events[:3]
    assert ids(db, "dead_events") == [events[3], keep]
    assert cli("dead", "replay", "--type", "a", "--json").json == {"replayed": [events[3]], "left": 0}
    said = cli("dead", "replay", "--type", "a")
    assert (said.code, said.out) == (1, "No dead event fits.\n")


def test_many_are_asked_about_and_a_script_must_say_yes(cli, db, monkeypatch):
    tenant = db.tenant()
    for _ in range(21):
        db.die(tenant)
    said = cli("dead", "replay", "--tenant", tenant)
    assert (said.code, said.err.splitlines()[0]) == (2, "reactor: replay 21 dead events?")
    assert "--yes" in said.err

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stdin", Terminal("n\n"))
    assert cli("dead", "discard", "--tenant", tenant).code == 1
    assert len(ids(db, "dead_events")) == 21
    monkeypatch.setattr(sys, "stdin", Terminal("y\n"))
    assert cli("dead", "replay", "--tenant", tenant, "--limit", 20).code == 0
    assert len(ids(db, "dead_events")) == 1
    assert cli("dead", "replay", "--tenant", tenant, "--yes").code == 0
    assert len(ids(db, "events")) == 21


def test_a_discarded_event_is_in_the_history_with_the_reason(cli, db):
    event = db.die(db.tenant())
    said = cli("dead", "discard", event, "--reason", "a test order")
    assert (said.code, said.out) == (0, f"1 event discarded: {event}.\n")
    (row,) = db.fetch("select * from reactor.history")
    assert (row["id"], row["outcome"], row["payload"]) == (event, "discarded", {"n": 1})
    assert "gave it up (a test order)" in row["reason"]
    assert "no money" in row["reason"]
    assert ids(db, "dead_events") == []


@pytest.mark.parametrize("verb", ["replay", "discard"])
def test_nothing_chosen_is_refused(cli, db, verb):
    event = db.die(db.tenant())
    said = cli("dead", verb)
    assert (said.code, said.err.splitlines()[0]) == (2, "reactor: which dead events?")
    assert ids(db, "dead_events") == [event]


@pytest.mark.parametrize("verb", ["show", "replay", "discard"])
def test_an_event_that_is_not_dead_exits_2_and_nothing_is_done(cli, db, verb):
    tenant = db.tenant()
    dead, waiting = db.die(tenant), db.emit(tenant)
    words = [waiting] if verb == "show" else [dead, waiting]
    said = cli("dead", verb, *words)
    assert (said.code, said.err.splitlines()[0]) == (2, f"reactor: event {waiting} is not dead")
    assert ids(db, "dead_events") == [dead]


@pytest.mark.parametrize("verb", ["show", "replay", "discard"])
@pytest.mark.parametrize("event", ["abc", "1.5", "99999999999999999999", "-"])
def test_what_is_no_id_exits_2(cli, verb, event):
    said = cli("dead", verb, event)
    assert said.code == 2
    assert len(said.err.splitlines()) == 2


def test_an_event_id_that_nobody_knows_exits_2(cli):
    name = uuid4()
    said = cli("dead", "show", name)
    assert (said.code, said.err.splitlines()[0]) == (2, f"reactor: there is no event {name}")


@pytest.mark.parametrize("words", [["list", "--limit", "0"], ["replay", "--type", "x", "--limit", "-1"]])
def test_a_limit_must_be_positive(cli, words):
    said = cli("dead", *words)
    assert said.code == 2
    assert "--limit must be at least 1" in said.err


def test_numbers_of_a_payload_are_shown_as_they_are_stored(cli, db):
    event = db.die(db.tenant())
    stored = '{"a": 99999999999999.99, "b": 1.123456789012345678, "c": 12345678901234567890123, "d": 0.5}'
    db.run(f"update reactor.dead_events set payload = '{stored}' where id = {event}")
    for argv in (("dead", "show", event), ("events", "trace", event)):
        for more in ((), ("--json",)):
            out = cli(*argv, *more).out
            for number in ("99999999999999.99", "1.123456789012345678", "12345678901234567890123", "0.5"):
                assert number in out


def test_ctrl_c_at_the_question_ends_it_with_nothing_done(db, operator_url, clean):
    tenant = db.tenant()
    for _ in range(21):
        db.die(tenant)
    command = [sys.executable, "-m", "reactor", "dead", "replay", "--tenant", str(tenant)]
    settings = os.environ | {"REACTOR_DATABASE_URL": operator_url}
    settings["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    ours, theirs = pty.openpty()
    try:
        with subprocess.Popen(
            command, stdin=theirs, stdout=theirs, stderr=theirs, env=settings, start_new_session=True
        ) as process:
            try:
                said = b""
                while b"[y/N]" not in said:
                    said += os.read(ours, 1000)
                process.send_signal(signal.SIGINT)
                assert process.wait(timeout=20) == 130
            finally:
                process.kill()
    finally:
        os.close(ours)
        os.close(theirs)
    assert db.value("select count(*) from reactor.dead_events") == 21


def test_the_list_shows_whose_an_event_is_by_name_and_a_deleted_tenants_by_id(cli, db):
    acme, gone = db.tenant("Acme"), db.tenant("Gone")
    db.die(acme)
    db.die(gone)
    db.run(f"delete from public.tenants where id = '{gone}'")
    lines = cli("dead", "list").out.splitlines()
    assert lines[0].split()[:3] == ["id", "type", "tenant"]
    assert {line.split()[2] for line in lines[1:]} == {"Acme", str(gone)}
