"""The pages: they say what the commands say, whatever is in the database."""

import asyncio
import re
from datetime import datetime
from html import unescape

from structlog.testing import capture_logs

from reactor.db import operations, pool
from reactor.telemetry import names, overview
from reactor.telemetry.story import sentence
from tests.operators import as_role, login
from tests.web.conftest import served

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>\u202e"
PAGES = ("/", "/events", "/dead", "/tenants", "/locks", "/alerts?all=yes", "/replicas", "/kill-switch")


def text_of(page: str) -> str:
    """What a person reads."""
    body = page.partition("<body")[2]
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]*>", " ", body)))


async def looked(url: str, ask, *arguments):
    async with pool.connected(url) as connection:
        return await ask(connection, *arguments)


async def test_the_overview_says_what_the_status_says(operator_url, db):
    tenant = db.tenant()
    db.enlist("worker-1", "a", "b")
    for _ in range(3):
        db.emit(tenant, "a")
    db.claim("worker-1")
    db.emit(tenant, "b")
    db.die(tenant, "c")
    async with served(operator_url) as here:
        page = text_of(await here.page("/"))
        found = (await here.get("/api/status")).json()
    for name, said in overview.facts(found, None):
        if name != "events":
            assert f"{name} {said}" in page
    assert [need.says for need in overview.needs(found)] == [
        "The kill switch is on: it was never switched off.",
        "No replica leads just now: nothing happens on time.",
        "1 event is dead.",
    ]
    for need in overview.needs(found):
        assert need.says in page
    for count in ("1 ready", "3 in flight", "0 delayed", "0 parked", "0 retrying", "1 dead"):
        assert count in page


async def test_what_waits_for_too_long_needs_a_person_and_is_said_once(operator_url, db):
    db.emit(db.tenant(), "a")
    db.run("update reactor.events set created_at = reactor.now() - interval '20 min'")
    found = await looked(operator_url, operations.status)
    found["canary"]["silent_seconds"] = 600
    says = [need.says for need in overview.needs(found)]
    assert "The oldest ready event waits for 20 min." in says
    # Without a replica nothing comes through, which is said already.
    assert any(text.startswith("No replica lives") for text in says)
    assert not any("canary" in text for text in says)
    db.enlist("worker-1")
    found = await looked(operator_url, operations.status)
    found["canary"]["silent_seconds"] = 600
    assert "No canary came through for 10 min." in [need.says for need in overview.needs(found)]


async def test_a_job_that_fails_needs_a_person(operator_url, db):
    db.enlist("worker-1")
    db.run(
        "insert into reactor.schedules (name, every, due_at, failures, last_error) "
        "values ('tidy', '1 hour', now(), 1, 'no such column')"
    )
    async with served(operator_url) as here:
        assert "Job tidy failed: no such column." in text_of(await here.page("/"))


def test_counters_that_a_failover_set_back_are_no_rate():
    at = "2026-11-30T10:00:{}+00:00"
    before = {"at": at.format("00"), "totals": {"emitted": 90, "finished": 50}}
    found = {"at": at.format("10"), "totals": {"emitted": 20, "finished": 70}}
    assert overview.rates(found, before) == (0.0, 2.0)
    assert overview.rates(before, before) == (0.0, 0.0)


async def test_a_database_with_nothing_in_it_is_shown_as_that(operator_url, db):
    async with served(operator_url) as here:
        said = [text_of(await here.page(path)) for path in PAGES]
    for page, empty in zip(
        said,
        (
            "No event waits, and none is dead.",
            "No event waits that fits.",
            "No event is dead.",
            "There is no such tenant.",
            "No tenant is locked.",
            "No alert waits for anybody.",
            "No replica runs. Start one:",
            "It is on: it was never switched off.",
        ),
        strict=True,
    ):
        assert empty in page


async def test_text_of_any_origin_is_only_text(operator_url, db):
    tenant = db.tenant(HOSTILE)
    db.enlist(HOSTILE, HOSTILE)
    waiting = db.emit(tenant, HOSTILE)
    db.claim(HOSTILE)
    dead = db.die(tenant, HOSTILE)
    db.value(
        "update reactor.dead_events set reason = $1, payload = jsonb_build_object('a', $1::text) returning 1",
        HOSTILE,
    )
    db.value(
        "insert into public.agent_alerts (tenant_id, alert_type, severity, message) "
        "values ($1, $2, 'critical', $2) returning 1",
        tenant,
        HOSTILE,
    )
    db.value("select is_on from reactor.set_kill_switch(true, $1)", HOSTILE)
    query = {"type": HOSTILE, "tenant": str(tenant), "name": HOSTILE}
    async with served(operator_url) as here:
        for path in (*PAGES, f"/events/{waiting}", f"/events/{dead}"):
            answers = [await here.get(path), await here.get(path.partition("?")[0], params=query)]
            for answer in answers:
                assert answer.status_code == 200, answer.text
                assert "<script>alert" not in answer.text
                assert "<img" not in answer.text
                assert "\u202e" not in answer.text
                assert "&lt;script&gt;alert(1)" in answer.text
        for path in (
            f"/events/{HOSTILE}",
            f"/{HOSTILE}",
            f"/dead?since={HOSTILE}",
            f"/events?after={HOSTILE}",
        ):
            answer = await here.get(path + HOSTILE)
            assert answer.status_code in (400, 404)
            assert "<script>alert" not in answer.text


async def test_events_are_paged_through_without_a_gap(operator_url, db):
    tenant, other = db.tenant("Acme"), db.tenant("Borealis")
    ids = [db.emit(each, kind) for each in (tenant, other) for kind in ("a", "b") for _ in range(30)]
    async with served(operator_url) as here:
        seen, path = [], "/events"
        while path:
            page = await here.page(path)
            seen += [int(id_) for id_ in re.findall(r'<th scope="row"><a href="/events/(\d+)"', page)]
            following = re.search(r'<a href="([^"]*)" rel="next"', page)
            path = unescape(following[1]) if following else None
        assert seen == ids
        page = await here.page("/events?state=ready&type=b&tenant=Borealis")
        assert re.findall(r'<th scope="row"><a href="/events/(\d+)"', page) == [str(id_) for id_ in ids[90:]]
        answer = await here.get(f"/events?event={ids[3]}")
        assert answer.headers["location"] == f"/events/{ids[3]}"


async def test_one_events_page_says_why_it_waits_and_what_became_of_it(operator_url, db):
    tenant = db.tenant("Acme")
    db.enlist("worker-1", "a")
    waiting = db.emit(tenant, "a")
    delayed = db.value("select reactor.emit($1, 'a', delay => '2 h 30 min')", tenant)
    dead = db.die(tenant, "a")
    event_id = db.value("select event_id from reactor.events where id = $1", waiting)
    async with served(operator_url) as here:
        for event in (waiting, delayed, dead):
            page = text_of(await here.page(f"/events/{event}"))
            found = await looked(operator_url, operations.explain_event, event)
            # Seconds pass between the two, or a minute.
            said, shown = (re.sub(r"\d+ (ms|s|min)\b", "…", text) for text in (sentence(found), page))
            assert said.replace("`", "") in shown  # a command is set apart without them
            assert "Acme" in page
        assert "no money" in page
        assert '"n": 1' in page
        assert str(waiting) in text_of(await here.page(f"/events/{event_id}"))
        assert (await here.get("/events/999999")).status_code == 404


async def test_dead_events_are_replayed_and_discarded_by_forms(operator_url, db):
    tenant = db.tenant()
    ids = [db.die(tenant, "a") for _ in range(4)]
    with capture_logs() as said:
        async with served(operator_url) as here:
            answer = await here.do("/dead/replay", {"ids": ids[:2]}, on="/dead")
            assert answer.url.path == "/dead"
            assert f"2 events replayed: {ids[0]}, {ids[1]}." in text_of(answer.text)
            assert "events replayed" not in await here.page("/dead")  # it is said once
            answer = await here.do(
                "/dead/discard", {"ids": ids[2], "reason": "a test"}, on=f"/events/{ids[2]}"
            )
            assert f"1 event discarded: {ids[2]}." in text_of(answer.text)
            assert "a test" in text_of(answer.text)
            answer = await here.do("/dead/replay", {"type": "a"}, on="/dead?type=a")
            assert f"1 event replayed: {ids[3]}." in text_of(answer.text)
            answer = await here.do("/dead/replay", {})
            assert answer.status_code == 400
            answer = await here.do("/dead/replay", {"ids": ids[2]})
            assert f"Event {ids[2]} is not dead." in text_of(answer.text)
    acted = [line for line in said if line["event"] == names.OPERATOR_ACTED]
    assert [line["action"] for line in acted] == ["dead replay", "dead discard", "dead replay"]
    assert {line["who"] for line in acted} == {"somebody on this machine"}
    assert {line["client"] for line in acted} == {"127.0.0.1"}
    assert db.value("select count(*) from reactor.dead_events") == 0
    assert db.value("select count(*) from reactor.events where event_type = 'a'") == 3
    assert "a test" in db.value("select reason from reactor.history where id = $1", ids[2])


async def test_tenants_alerts_locks_and_the_kill_switch_are_switched_by_forms(operator_url, db):
    tenant = db.tenant("Acme", enabled=False)
    db.enlist("worker-1", "a")
    db.emit(tenant, "a")
    db.claim("worker-1")
    alert = db.value(
        "insert into public.agent_alerts (tenant_id, alert_type, severity, message) "
        "values ($1, 'late', 'critical', 'It is late.') returning id",
        tenant,
    )
    async with served(operator_url) as here:
        answer = await here.do("/tenants/enable", {"tenants": tenant}, on="/tenants")
        assert f"Acme ({tenant}) is enabled. The kill switch is on, so nothing is done yet" in text_of(
            answer.text
        )
        answer = await here.do("/kill-switch/off", {})
        assert "The kill switch is off: 1 of 1 tenants are served." in text_of(answer.text)
        answer = await here.do("/kill-switch/on", {"reason": "wrong prices"})
        assert "The kill switch is ON: wrong prices" in text_of(answer.text)
        assert "The kill switch is ON: wrong prices" in text_of(await here.page("/locks"))
        answer = await here.do("/alerts/ack", {"alerts": alert}, on="/alerts")
        assert "1 alert acknowledged. " in text_of(answer.text)
        assert "It is late." not in answer.text
        assert "It is late." in await here.page("/alerts?all=yes")
        answer = await here.do("/locks/release", {"lock": tenant}, on="/locks")
        assert answer.status_code == 409
        assert "Replica worker-1 holds it and lives." in text_of(answer.text)
        answer = await here.do("/locks/release", {"lock": tenant, "force": "yes"}, on="/locks")
        assert f"Tenant {tenant} is free; worker-1 held it; 1 event will be tried again." in text_of(
            answer.text
        )
        answer = await here.do("/tenants/disable", {"tenants": tenant}, on="/tenants")
        assert f"Acme ({tenant}) is disabled." in text_of(answer.text)


async def test_every_form_of_a_list_comes_back_to_the_page_that_it_was_on(operator_url, db):
    tenant = db.tenant("Acme")
    dead = db.die(tenant, "a")
    async with served(operator_url) as here:
        page = await here.page("/dead?type=a&since=1d")
        assert 'name="back" value="/dead?type=a&amp;since=1d"' in page
        answer = await here.do("/dead/replay", {"ids": dead}, on="/dead?type=a&since=1d")
        assert str(answer.url) == f"{here.address}/dead?type=a&since=1d"


async def test_tenants_are_paged_through_also_those_without_a_name(operator_url, db):
    db.run("alter table public.tenants alter column name drop not null")
    db.run("insert into public.tenants (name) select 'Tenant ' || n % 7 from generate_series(1, 110) n")
    db.run("insert into public.tenants (name) select null from generate_series(1, 20)")
    seen, path = [], "/api/tenants?limit=13"
    async with served(operator_url) as here:
        while path:
            answer = await here.get(path)
            seen += [row["id"] for row in answer.json()]
            path = answer.links.get("next", {}).get("url")
    assert len(seen) == len(set(seen)) == 130


async def test_a_database_that_is_away_is_said_and_the_next_page_finds_it_again(server, operator_url, db):
    name = db.value("select current_database()")
    async with served(operator_url) as here:
        await here.page("/")
        try:
            await asyncio.to_thread(
                server.admin,
                f"alter database {name} allow_connections false",
                f"select pg_terminate_backend(pid) from pg_stat_activity where datname = '{name}'",
            )
            for path in PAGES:
                # A look is good until the next one is due.
                async with asyncio.timeout(60):
                    while (answer := await here.get(path)).status_code != 503:
                        await asyncio.sleep(0.1)
                assert "database" in answer.text
                assert 'http-equiv="refresh"' in answer.text
            answer = await here.get("/api/events")
            assert answer.status_code == 503
            assert set(answer.json()) == {"error", "hint", "detail"}
        finally:
            await asyncio.to_thread(server.admin, f"alter database {name} allow_connections true")
        async with asyncio.timeout(30):
            while (await here.get("/")).status_code != 200:
                await asyncio.sleep(0.1)


async def test_a_server_that_is_gone_is_said_with_neither_user_nor_password(operator_url):
    gone = "postgresql://somebody:hunter2secret@127.0.0.1:1/crm"
    async with served(gone) as here:
        for path in ("/", "/events", "/api/status", "/api/events"):
            answer = await here.get(path)
            assert answer.status_code == 503
            assert "database does not answer" in answer.text
            assert "hunter2secret" not in answer.text
            assert "somebody" not in answer.text


async def test_of_several_databases_each_page_shows_the_chosen_one(
    server, template, operator_url, operator, db
):
    db.tenant("Of the first")
    name = server.create(template)
    second = as_role(server.url(name), operator)
    try:
        async with pool.connected(server.url(name)) as connection:
            await connection.execute("insert into public.tenants (name) values ('Of the second')")
        async with served(operator_url, second) as here:
            assert "Of the first" in await here.page("/tenants")
            page = await here.page("/tenants?database=2")
            assert "Of the second" in page
            assert "Of the first" not in page
            # Links, forms and the stream stay with it.
            links = re.findall(r'(?:href|action|data-stream)="(/[^"]*)"', page)
            assert links
            own = [link for link in links if not link.startswith(("/static/", "/tenants"))]
            assert [link for link in own if "database=2" not in link] == []
            answer = await here.do(
                "/kill-switch/on?database=2", {"reason": "x"}, on="/kill-switch?database=2"
            )
            assert "The kill switch is ON: x" in text_of(answer.text)
            assert "it was never switched off" in text_of(await here.page("/kill-switch"))
            assert (await here.get("/?database=3")).status_code == 404
            assert "password" not in page
    finally:
        await asyncio.to_thread(server.drop, name)


async def test_what_the_role_may_not_do_is_one_line(server, database_url):
    login(server, "nobody_of_ours")
    try:
        async with served(as_role(database_url, "nobody_of_ours")) as here:
            for path in ("/", "/events", "/api/dead"):
                answer = await here.get(path)
                assert answer.status_code == 403
                assert "the database role may not do this" in answer.text.lower()
    finally:
        await asyncio.to_thread(server.admin, "drop role nobody_of_ours")


async def test_what_makes_no_sense_is_said_and_is_no_mistake_of_ours(operator_url):
    async with served(operator_url) as here:
        for path in ("/api/events?limit=0", "/api/dead?limit=x", "/events?state=flying", "/?database=x"):
            assert (await here.get(path)).status_code in (400, 404), path
        for path in ("/api/events?limit=1001", "/api/tenants?limit=1001"):
            assert (await here.get(path)).status_code in (400, 404), path
        for path in ("/api/dead?type=a%00", "/tenants?name=%00", "/dead?since=%00"):
            assert (await here.get(path)).status_code == 400, path
        for path in ("/api/dead?after=1", "/api/alerts?after=x~y", "/api/tenants?after=z", "/dead?after=~"):
            assert (await here.get(path)).status_code == 400, path


async def test_times_of_pages_are_those_of_the_server(operator_url, db):
    event = db.emit(db.tenant(), "a")
    db.run("update reactor.events set created_at = '2020-02-03 04:05:06+00'")
    async with served(operator_url) as here:
        page = await here.page(f"/events/{event}")
    found = re.search(r'<time datetime="(2020[^"]*)"', page)
    assert found is not None
    assert datetime.fromisoformat(found[1]).timestamp() == 1580702706


async def test_what_was_done_is_said_however_long_it_is(operator_url, db):
    tenants = [db.tenant("Überaus langer Name " * 20 + str(n)) for n in range(30)]
    async with served(operator_url) as here:
        answer = await here.do("/tenants/enable", {"tenants": tenants}, on="/tenants")
        assert f"({tenants[0]}) is already enabled." in text_of(answer.text)
        assert "…" in text_of(answer.text)
