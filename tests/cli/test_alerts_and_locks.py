"""``reactor alerts`` and ``reactor locks``."""

import asyncio
import re
from uuid import UUID, uuid4

import asyncpg
import pytest


def alert(db, tenant: UUID, severity: str = "critical", kind: str = "failure_rate") -> UUID:
    return db.value(
        "insert into public.agent_alerts (tenant_id, alert_type, severity, message) "
        "values ($1, $2, $3, 'Half of the runs failed') returning id",
        tenant,
        kind,
        severity,
    )


def test_alerts_are_listed_until_they_are_acknowledged(cli, db):
    acme, bolt = db.tenant("Acme"), db.tenant("Bolt")
    one, two = alert(db, acme), alert(db, bolt, "info")
    assert {row["id"] for row in cli("alerts", "list", "--json").json} == {str(one), str(two)}
    assert [row["id"] for row in cli("alerts", "list", "--severity", "info", "--json").json] == [str(two)]
    assert [row["id"] for row in cli("alerts", "list", "--tenant", acme, "--json").json] == [str(one)]
    assert "Half of the runs failed" in cli("alerts", "list").out

    said = cli("alerts", "ack", one)
    assert (said.code, said.out) == (0, "1 alert acknowledged.\n")
    assert db.value("select acknowledged_at > now() - interval '1 min' from agent_alerts where id = $1", one)
    assert [row["id"] for row in cli("alerts", "list", "--json").json] == [str(two)]
    assert len(cli("alerts", "list", "--all", "--json").json) == 2
    said = cli("alerts", "ack", one)
    assert (said.code, said.out) == (1, "0 alerts acknowledged. 1 had been before.\n")
    assert cli("alerts", "ack", one, two, "--json").json == {"acknowledged": [str(two)], "before": [str(one)]}
    assert cli("alerts", "list").out == "No alert waits for anybody.\n"


def test_who_acknowledged_is_kept(cli, db):
    acme = db.tenant()
    one = alert(db, acme)
    person = db.value("insert into public.profiles (tenant_id, role) values ($1, 'admin') returning id", acme)
    assert cli("alerts", "ack", one, "--by", person).code == 0
    assert db.value("select acknowledged_by from public.agent_alerts") == person


def test_an_alert_or_person_that_does_not_exist_exits_2_and_nothing_is_changed(cli, db):
    one, nobody = alert(db, db.tenant()), uuid4()
    said = cli("alerts", "ack", one, nobody)
    assert (said.code, said.err) == (2, f"reactor: there is no alert {nobody}\n")
    said = cli("alerts", "ack", one, "--by", nobody)
    assert (said.code, said.err) == (2, f"reactor: there is no profile {nobody}\n")
    assert not db.value("select acknowledged from public.agent_alerts")


@pytest.mark.parametrize(
    "words", [["ack"], ["ack", "seven"], ["list", "--severity", "bad"], ["list", "--limit", "0"]]
)
def test_wrong_input_exits_2(cli, words):
    said = cli("alerts", *words)
    assert said.code == 2
    assert said.err.startswith("reactor: ")


def test_locks_are_listed_with_whether_their_holders_live(cli, db):
    for name, seen in (("alive", "0"), ("silent", "1 h")):
        db.enlist(name, seen=seen)
        db.emit(db.tenant(name))
        assert len(db.claim(name)) == 1
    script = db.tenant("Script")
    run = db.value("select public.acquire_tenant_lock($1, 'nightly.sh')", script)
    rows = {row["lock_holder"]: row for row in cli("locks", "list", "--json").json}
    assert {name: (row["by_replica"], row["holder_alive"]) for name, row in rows.items()} == {
        "alive": (True, True),
        "silent": (True, False),
        "nightly.sh": (False, False),
    }
    assert rows["alive"]["in_flight"] == 1
    assert rows["nightly.sh"]["run_id"] == str(run)
    table = cli("locks", "list").out
    assert "no replica" in table
    assert "in 59 min" in table or "in 1 h" in table


@pytest.mark.parametrize("named_by", ["tenant_id", "run_id", "id"])
def test_a_released_lock_fails_its_run_and_the_holder_can_commit_nothing(cli, db, named_by):
    tenant = db.tenant()
    event = db.emit(tenant)
    db.enlist("silent", seen="1 h")
    (claimed,) = db.claim("silent")
    said = cli("locks", "release", db.value(f"select {named_by} from public.agent_tenant_locks"))
    assert said.code == 0
    assert said.out == f"Tenant {tenant} is free; silent held it; 1 event will be tried again.\n"
    assert cli("locks", "list").out == "No tenant is locked.\n"
    assert db.value("select status from public.agent_autonomous_runs") == "failed"
    (row,) = db.fetch("select * from reactor.events")
    assert (row["id"], row["attempts"], row["interruptions"]) == (event, 0, 1)
    with pytest.raises(asyncpg.PostgresError) as refused:
        db.fetch(
            "select * from reactor.settle($1, $2, '{false}', $3, null, null, 200, '30 s', '{}')",
            [tenant],
            [claimed["run_id"]],
            [event],
        )
    assert refused.value.sqlstate == "RX001"


def test_a_live_replicas_lock_needs_force(cli, db):
    tenant = db.tenant()
    db.emit(tenant)
    db.enlist("alive")
    db.claim("alive")
    said = cli("locks", "release", tenant)
    assert (said.code, said.err.splitlines()[0]) == (1, "reactor: replica alive holds it and lives")
    assert "--force" in said.err
    assert len(cli("locks", "list", "--json").json) == 1
    assert cli("locks", "release", tenant, "--force", "--json").json["broken"] is True
    assert cli("locks", "list", "--json").json == []


def test_a_lock_whose_run_is_gone_can_be_released_too(cli, db):
    tenant = db.tenant()
    db.value("select public.acquire_tenant_lock($1, 'nightly.sh')", tenant)
    db.run("delete from public.agent_autonomous_runs")
    assert db.fetch("select run_id from public.agent_tenant_locks")[0]["run_id"] is None
    assert cli("locks", "release", tenant).code == 0
    assert db.value("select count(*) from public.agent_tenant_locks") == 0


def test_what_is_not_locked_exits_2(cli, db):
    tenant = db.tenant()
    said = cli("locks", "release", tenant)
    assert (said.code, said.err.splitlines()[0]) == (2, f"reactor: nothing is locked by {tenant}")
    assert cli("locks", "release", "seven").code == 2


async def test_releasing_a_lease_whose_row_somebody_keeps_says_where_to_look(cli, db, database_url):
    tenant = db.tenant("Acme")
    db.value("select public.acquire_tenant_lock($1, 'somebody', 60)", tenant)
    connection = await asyncpg.connect(database_url)
    try:
        async with connection.transaction():
            await connection.execute(
                "select from public.agent_tenant_locks where tenant_id = $1 for update", tenant
            )
            said = await asyncio.to_thread(cli, "locks", "release", tenant)
        assert said.code == 1
        assert said.err.startswith("reactor: another session holds what this needs: ")
        assert "hint: `reactor doctor` names the session" in said.err
    finally:
        await connection.close()


def test_an_event_of_a_tenant_that_somebody_holds_says_for_how_long_and_how_to_end_it(cli, db):
    tenant = db.tenant("Acme")
    db.enlist("here", "invoice.paid")
    db.value("select public.acquire_tenant_lock($1, 'psql of joe', 60)", tenant)
    said = cli("explain", db.emit(tenant)).out.splitlines()[0]
    assert said.startswith("Its tenant is held by psql of joe (no replica) for ")
    assert re.search("its lease runs out in (1 h|59 min)", said)
    assert f"or `reactor locks release {tenant}` ends it. It comes next." in said
