"""``reactor status`` and ``reactor top``: counts and lags."""

import pytest

from reactor.telemetry import metrics


def test_status_counts_what_waits_by_what_it_waits_for(cli, db):
    tenant = db.tenant()
    db.enlist("worker", "a", "b")
    for _ in range(2):
        db.emit(tenant, "a")
    db.claim("worker")
    db.emit(tenant, "b")
    db.value("select reactor.emit($1, 'b', delay => '1 h')", tenant)
    db.value("select reactor.emit($1, 'c')", tenant)
    db.run("update reactor.events set available_at = 'infinity' where event_type = 'c'")
    db.die(tenant, "d")
    found = cli("status", "--json").json
    events = found["events"]
    assert {name: events[name] for name in ("ready", "in_flight", "delayed", "parked", "dead")} == {
        "ready": 1,
        "in_flight": 2,
        "delayed": 1,
        "parked": 1,
        "dead": 1,
    }
    assert 0 < events["oldest_seconds"] < 60
    assert [kind["event_type"] for kind in found["types"]] == ["a", "b", "c", "d"]
    assert found["locks"] == {"held": 1, "expired": 0}
    assert found["runs_last_hour"]["running"] == 1
    (replica,) = found["replicas"]
    assert (replica["replica"], replica["alive"], replica["tenants_held"]) == ("worker", True, 1)


def test_status_and_the_metrics_have_the_same_names(cli, db):
    found = cli("status", "--json").json
    shown = {f"reactor_events_{name}" for name in found["events"]} | {
        f"reactor_tenants_{name}" for name in found["tenants"]
    }
    measured = {family.name for family in metrics.BACKLOG.collect()}
    assert measured
    assert measured <= shown


def test_status_says_how_many_tenants_wait_for_a_replica(cli, db):
    for name in ("one", "two", "three"):
        db.emit(db.tenant(name), "a")
    db.enlist("worker")
    db.fetch("select * from reactor.claim('worker', 1, 200, '30 s', null, '{}')")
    assert cli("status", "--json").json["tenants"]["waiting"] == 2
    assert "3 of 3 enabled, 2 wait for a replica" in cli("status").out


def test_status_for_people_shows_gate_fleet_and_leader(cli, db):
    said = cli("status")
    assert said.code == 0
    for part in ("ON: it was never switched off", "none: nothing happens on time", "No replica runs"):
        assert part in said.out
    db.enlist("worker")
    db.value("select reactor.lead('worker', '10 s')")
    db.value("select is_on from reactor.set_kill_switch(true, 'wrong prices')")
    db.run("insert into public.tenants (name, agent_enabled) values ('Acme', true)")
    text = cli("status").out
    for part in ("ON: wrong prices", "worker (term 1)", "1 of 1 enabled", "0 of 8"):
        assert part in text


def test_top_shows_rates_between_two_looks(cli, db):
    db.emit(db.tenant(), "a")
    said = cli("top", "--once", "--every", "200ms")
    assert said.code == 0
    assert "emitted/s" in said.out


@pytest.mark.parametrize("every", ["50ms", "soon"])
def test_top_does_not_look_too_often(cli, every):
    assert cli("top", "--once", "--every", every).code == 2


def test_a_leader_that_resigned_has_no_time_that_no_calendar_knows(cli, db):
    db.enlist("worker")
    term = db.value("select reactor.lead('worker', '10 s')")
    db.run(f"select reactor.resign({term})")
    leader = cli("status", "--json").json["leader"]
    assert (leader["leads"], leader["expires_at"]) == (False, None)
