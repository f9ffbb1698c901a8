"""``reactor doctor``: what it finds, and that what it says mends it."""

import asyncio

import pytest

from reactor.cli import checks
from reactor.db import pool
from tests.operators import Database, as_role, login

_DELETE = "delete from public.agent_tenant_locks where tenant_id = $1 returning 1"


def findings(said) -> dict[str, list[dict]]:
    """The findings that are not ok, by check."""
    found: dict[str, list[dict]] = {}
    for one in said.json["checks"]:
        if one["level"] != "ok":
            found.setdefault(one["check"], []).append(one)
    return found


def test_a_migrated_database_is_well_for_a_replicas_role(cli):
    said = cli("doctor", "--json")
    assert said.code == 0
    assert said.json["well"] is True
    assert set(findings(said)) == {"replicas", "kill switch"}  # nothing runs yet, and nothing may
    checked = [one["check"] for one in said.json["checks"]]
    for name in ("connection", "version", "role", "migrations", "triggers", "isolation", "pooler", "clock"):
        assert name in checked
    assert cli("doctor").out.splitlines()[-1] == "All is well, with 2 remarks."


def test_the_servers_version_is_told_as_it_tells_it_itself(cli, db):
    (version,) = [one for one in cli("doctor", "--json").json["checks"] if one["check"] == "version"]
    assert version["finding"] == f"PostgreSQL {db.value('show server_version').split()[0]}"


def test_a_superuser_is_remarked_upon(cli, database_url):
    said = cli("doctor", "--json", url=database_url)
    assert said.code == 0
    (remark,) = findings(said)["role"]
    assert remark["level"] == "remark"
    assert "is a superuser" in remark["finding"]


def test_a_role_that_is_no_member_is_wrong_and_the_advice_mends_it(cli, server, database_url):
    login(server, "stranger_doctor")
    try:
        url = as_role(database_url, "stranger_doctor")
        said = cli("doctor", "--json", url=url)
        assert said.code == 1
        (wrong,) = findings(said)["role"]
        assert wrong["mend"] == 'grant reactor to "stranger_doctor"'
        server.admin(wrong["mend"])
        assert cli("doctor", url=url).code == 0
    finally:
        server.admin("drop role stranger_doctor")


@pytest.mark.parametrize(
    ("env", "check", "part"),
    [
        ({"REACTOR_CONCURRENCY": "many"}, "settings", "REACTOR_CONCURRENCY is wrong"),
        ({"REACTOR_CONCURRENCY": "900"}, "connections", "a replica needs up to 912"),
        ({"REACTOR_LISTEN_URL": "postgresql://u:hunter2@127.0.0.1:1/d"}, "notifications", "cannot listen"),
    ],
)
def test_a_setting_that_cannot_work_is_wrong(cli, env, check, part):
    said = cli("doctor", "--json", env=env)
    assert said.code == 1
    (wrong,) = findings(said)[check]
    assert part in wrong["finding"]
    assert wrong["mend"]
    assert "hunter2" not in said.out


@pytest.mark.parametrize("whose", ["role", "database"])
def test_too_few_connections_for_a_role_or_a_database_are_wrong_and_the_advice_mends_it(
    cli, server, database_url, db, whose
):
    login(server, "few_doctor")
    server.admin("grant reactor to few_doctor")
    url = as_role(database_url, "few_doctor")
    name = {"role": "few_doctor", "database": db.value("select current_database()")}[whose]
    try:
        assert "connections" not in findings(cli("doctor", "--json", url=url))
        server.admin(f"alter {whose} {name} connection limit 12")
        (wrong,) = findings(cli("doctor", "--json", url=url))["connections"]
        assert wrong["level"] == "wrong"
        assert f"a replica needs up to 20, {whose} {name}" in wrong["finding"]
        server.admin(wrong["mend"].partition(", or")[0])
        assert "connections" not in findings(cli("doctor", "--json", url=url))
    finally:
        server.admin("drop role few_doctor")


def test_an_unreachable_server_is_one_finding(cli):
    said = cli("doctor", "--json", url="postgresql://u:hunter2@127.0.0.1:1/d")
    assert said.code == 1
    assert list(findings(said)) == ["connection"]
    assert "hunter2" not in said.out


def test_polling_only_is_remarked_upon(cli):
    said = cli("doctor", "--json", env={"REACTOR_NOTIFY": "off"})
    assert said.code == 0
    assert findings(said)["notifications"][0]["level"] == "remark"


def test_a_database_that_is_not_migrated_is_wrong(cli, empty_database_url, template):
    said = cli("doctor", "--json", url=empty_database_url)
    assert said.code == 1
    assert findings(said)["migrations"][0]["mend"] == "run `reactor migrate`"


def test_a_replica_need_not_own_the_tables_that_a_migration_meets(cli, db):
    db.run("delete from reactor.migrations where name = 'functions/protected_tables'")
    found = findings(cli("doctor", "--json"))
    assert "tables" not in found
    assert found["migrations"][0]["level"] == "wrong"


def test_tables_that_the_migration_cannot_build_on_are_wrong(cli, empty_database_url, template):
    Database(empty_database_url).run("create table orders (id int primary key)")
    said = cli("doctor", "--json", url=empty_database_url)
    assert said.code == 1
    found = findings(said)["tables"]
    assert [one["finding"].split()[0] for one in found] == ["public.orders.id", "public.orders.tenant_id"]
    assert all(one["level"] == "wrong" and one["mend"] for one in found)


def test_a_pending_file_is_wrong(cli, db):
    db.run("delete from reactor.migrations where name = 'functions/settle'")
    said = cli("doctor", "--json")
    assert said.code == 1
    assert findings(said)["migrations"][0]["finding"] == "pending: 1 file, functions/settle"


@pytest.mark.parametrize(
    ("breaks", "part"),
    [
        ("alter table public.agent_alerts disable trigger user", "its trigger is disabled"),
        ("drop trigger reactor_gate on public.tenants", "reactor_gate on public.tenants is gone"),
        (
            "alter table public.engagement_clocks disable trigger reactor_announce_update",
            "reactor_announce_update on public.engagement_clocks is disabled",
        ),
    ],
)
def test_a_missing_or_disabled_trigger_is_wrong(cli, db, breaks, part):
    db.run(breaks)
    said = cli("doctor", "--json")
    assert said.code == 1
    wrong = findings(said)["triggers"]
    assert any(part in one["finding"] for one in wrong)


def test_a_disabled_trigger_works_again_after_what_it_advises(cli, db):
    db.run("alter table public.agent_alerts disable trigger user")
    for one in findings(cli("doctor", "--json"))["triggers"]:
        db.run(one["mend"])
    assert "triggers" not in findings(cli("doctor", "--json"))


@pytest.mark.parametrize(
    ("breaks", "part"),
    [
        ("alter table public.agent_alerts disable row level security", "has no row level security"),
        ("drop policy tenant_isolation on public.agent_alerts", "lacks policies: tenant_isolation"),
        (
            "drop policy reactor_tenant_only on public.engagement_clocks",
            "public.engagement_clocks lacks policies: reactor_tenant_only",
        ),
        (
            "create table public.notes (tenant_id uuid); grant select on public.notes to reactor_handler",
            "public.notes is open to handlers of every tenant",
        ),
        (
            "alter table public.orders disable row level security",
            "public.orders is open to handlers of every tenant",
        ),
    ],
)
def test_a_hole_between_tenants_is_wrong_and_the_advice_closes_it(cli, db, breaks, part):
    db.run(breaks)
    said = cli("doctor", "--json")
    assert said.code == 1
    (wrong,) = findings(said)["isolation"]
    assert part in wrong["finding"]
    db.run(wrong["mend"].split(" as a member")[0])
    assert "isolation" not in findings(cli("doctor", "--json"))


def test_a_partition_that_is_open_is_found(cli, db):
    name = db.value(
        "select inhrelid::regclass::text from pg_inherits "
        "where inhparent = 'public.agent_autonomous_runs'::regclass order by 1 limit 1"
    )
    db.run(f"alter table {name} disable row level security")
    (wrong,) = findings(cli("doctor", "--json"))["isolation"]
    assert name.removeprefix("public.") in wrong["finding"]


def test_a_handlers_role_that_is_too_strong_is_wrong(cli, server):
    server.admin("alter role reactor_handler bypassrls")
    try:
        said = cli("doctor", "--json")
        assert said.code == 1
        (wrong,) = findings(said)["handlers' role"]
        assert "tenants are not kept apart" in wrong["finding"]
    finally:
        server.admin("alter role reactor_handler nobypassrls")


@pytest.mark.parametrize(
    ("default", "check"),
    [
        ("default_transaction_isolation = 'repeatable read'", "transactions"),
        ("row_security = off", "row security"),
    ],
)
def test_a_default_that_breaks_something_is_wrong_and_the_advice_mends_it(cli, db, default, check):
    name = db.value("select current_database()")
    db.run(f"alter database {name} set {default}")
    said = cli("doctor", "--json")
    assert said.code == 1
    (wrong,) = findings(said)[check]
    db.run(wrong["mend"])
    assert cli("doctor").code == 0


def test_a_server_that_ends_idle_sessions_is_a_remark_and_the_advice_mends_it(cli, server, db):
    name = db.value("select current_database()")
    db.run(f"alter database {name} set idle_session_timeout = '5s'")
    said = cli("doctor", "--json")
    assert said.code == 0
    (remark,) = findings(said)["idle sessions"]
    assert "after 5 s" in remark["finding"]
    server.admin(remark["mend"])
    try:
        assert "idle sessions" not in findings(cli("doctor", "--json"))
    finally:
        server.admin(remark["mend"].replace("set idle_session_timeout = 0", "reset idle_session_timeout"))


def test_dead_events_and_a_fleet_without_a_leader_are_remarks(cli, db):
    db.die(db.tenant())
    db.enlist("worker")
    db.value("select is_on from reactor.set_kill_switch(false)")
    found = findings(cli("doctor", "--json"))
    assert set(found) == {"dead events", "leader"}
    assert found["dead events"][0]["finding"] == "dead: 1 event"


def test_a_job_that_fails_is_a_remark(cli, db):
    db.enlist("worker")
    db.run(
        "insert into reactor.schedules (name, every, due_at, failures, last_error) "
        "values ('tidy', '1 hour', now(), 2, 'permission denied for table drafts')"
    )
    (found,) = findings(cli("doctor", "--json"))["jobs"]
    assert found["level"] == "remark"
    assert found["finding"] == "Job tidy failed 2 times in a row: permission denied for table drafts"
    assert "Job tidy failed 2 times" in cli("doctor").out


def test_a_canary_that_nobody_handles_is_wrong_and_status_says_since_when(cli, db):
    db.tenant()
    db.enlist("worker")
    db.run("select * from reactor.tend_canary('1 minute')")
    assert "canary" not in findings(cli("doctor", "--json"))
    db.run("update reactor.canary set unheard_since = unheard_since - interval '10 minutes'")
    (found,) = findings(cli("doctor", "--json"))["canary"]
    assert found["level"] == "wrong"
    assert "events are not handled" in found["finding"]
    assert "none came through; none for 10 min" in cli("status").out


async def test_an_old_transaction_is_named(conn, database_url, monkeypatch):
    monkeypatch.setattr(checks, "_OLD_TRANSACTION", 0)
    async with pool.connected(database_url, name="idler") as idler:
        transaction = idler.transaction()
        await transaction.start()
        await idler.fetchval("select 1")
        await asyncio.sleep(0)
        found = await checks.bloat(conn)
        pid = idler.get_server_pid()
        assert any(f"process {pid}" in one.finding and str(pid) in (one.mend or "") for one in found)
        await transaction.rollback()


async def test_a_session_that_keeps_a_tenants_lease_is_named_and_whoever_waits_for_it_is_counted(
    cli, db, database_url
):
    tenant = db.tenant("Acme")
    db.value("select public.acquire_tenant_lock($1, 'somebody', 60)", tenant)
    async with pool.connected(database_url, name="psql of joe") as keeper:
        transaction = keeper.transaction()
        await transaction.start()
        await keeper.execute("select from public.agent_tenant_locks where tenant_id = $1 for update", tenant)
        pid = keeper.get_server_pid()
        [said] = findings(await asyncio.to_thread(cli, "doctor", "--json"))["sessions"]
        assert said["level"] == "remark"
        assert f"session {pid} (psql of joe" in said["finding"]
        assert "agent_tenant_locks" in said["finding"]
        assert f"pg_terminate_backend({pid})" in said["mend"]

        waiter = asyncio.create_task(asyncio.to_thread(db.value, _DELETE, tenant))
        async with asyncio.timeout(60), pool.connected(database_url) as other:
            while not await other.fetchval("select count(*) from pg_locks where not granted"):
                await asyncio.sleep(0.02)
        [said] = findings(await asyncio.to_thread(cli, "doctor", "--json"))["sessions"]
        assert said["level"] == "wrong"
        assert "1 session waits for it" in said["finding"]
        await transaction.rollback()
        await waiter
    assert "sessions" not in findings(await asyncio.to_thread(cli, "doctor", "--json"))


async def test_bloat_is_named_with_the_table(conn):
    await conn.execute("create table public.t (i int)")
    await conn.execute(
        "insert into reactor.events (tenant_id, event_type) select gen_random_uuid(), 'x' "
        "from generate_series(1, 21000)"
    )
    await conn.execute("delete from reactor.events")
    await conn.execute("select pg_stat_force_next_flush()")
    await conn.fetchval("select 1")
    found = await checks.bloat(conn)
    assert found[0].level == "remark"
    assert found[0].finding.startswith("reactor.events has ")


@pytest.mark.parametrize(("used", "level"), [(0.0, "ok"), (0.2, "remark"), (0.7, "wrong")])
def test_a_filling_notification_queue_is_noticed_before_it_is_full(used, level):
    assert checks._queue(used).level == level


def test_a_listen_url_to_another_database_is_named(cli, monkeypatch, empty_database_url):
    monkeypatch.setenv("REACTOR_LISTEN_URL", empty_database_url)
    [said] = findings(cli("doctor", "--json"))["notifications"]
    assert said["level"] == "wrong"
    assert "REACTOR_LISTEN_URL leads to another database" in said["finding"]
