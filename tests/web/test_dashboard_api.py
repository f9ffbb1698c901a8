"""The API: what the commands write with --json, byte for byte but for the clock."""

import asyncio

from tests.web.conftest import served


def still(value):
    """Without what is another at each look."""
    moving = ("at", "oldest_seconds", "waits_seconds", "held_seconds", "sentence", "silent_seconds", "totals")
    if isinstance(value, dict):
        return {key: still(each) for key, each in value.items() if key not in moving}
    return [still(each) for each in value] if isinstance(value, list) else value


def a_company(db):
    tenant, other = db.tenant("Acme"), db.tenant("Borealis", enabled=False)
    db.enlist("worker-1", "a")
    waiting = db.emit(tenant, "a")
    db.claim("worker-1")
    db.emit(other, "b")
    dead = [db.die(each, "a") for each in (tenant, other)]
    alert = db.value(
        "insert into public.agent_alerts (tenant_id, alert_type, severity, message) "
        "values ($1, 'late', 'critical', 'It is late.') returning id",
        tenant,
    )
    return tenant, waiting, dead, alert


async def test_each_answer_is_what_the_command_writes(operator_url, db, cli):
    _, waiting, dead, _ = a_company(db)
    pairs = {
        "/api/status": ("status",),
        "/api/kill-switch": ("kill-switch", "status"),
        "/api/events": ("events", "list"),
        "/api/events?state=in_flight&type=a&tenant=Acme&limit=3": (
            *("events", "list", "--state", "in-flight", "--type", "a", "--tenant", "Acme", "--limit", "3"),
        ),
        f"/api/events/{waiting}": ("events", "trace", str(waiting)),
        f"/api/events/{waiting}/explain": ("explain", str(waiting)),
        "/api/dead": ("dead", "list"),
        "/api/dead?tenant=Borealis&since=1h": ("dead", "list", "--tenant", "Borealis", "--since", "1h"),
        f"/api/dead/{dead[0]}": ("dead", "show", str(dead[0])),
        "/api/tenants": ("tenants", "list"),
        "/api/tenants?enabled=no": ("tenants", "list", "--disabled"),
        "/api/locks": ("locks", "list"),
        "/api/alerts?severity=critical": ("alerts", "list", "--severity", "critical"),
    }
    async with served(operator_url) as here:
        for path, command in pairs.items():
            answer = await here.get(path)
            assert answer.headers["content-type"] == "application/json"
            said = await asyncio.to_thread(cli, *command, "--json")
            assert still(answer.json()) == still(said.json), path
        assert (await here.get("/api/replicas")).json() == (await here.get("/api/status")).json()["replicas"]


async def test_each_action_answers_what_the_command_writes(operator_url, db):
    tenant, waiting, dead, alert = a_company(db)
    async with served(operator_url) as here:
        done = await here.act("/api/dead/replay", ids=[dead[0]])
        assert done.json() == {"replayed": [dead[0]], "left": 0}
        done = await here.act("/api/dead/discard", tenant="Borealis", limit=1, reason="a test")
        assert done.json() == {"discarded": [dead[1]], "left": 0}
        done = await here.act("/api/alerts/ack", alerts=[str(alert)])
        assert done.json() == {"acknowledged": [str(alert)], "before": []}
        done = await here.act("/api/alerts/ack", alerts=[str(alert)])
        assert done.json() == {"acknowledged": [], "before": [str(alert)]}
        done = await here.act("/api/kill-switch/on", reason="wrong prices")
        assert done.json() == {"on": True, "reason": "wrong prices", "parked": 0}
        done = await here.act("/api/kill-switch/off")
        assert done.json() == {"on": False, "reason": None, "parked": 0}
        done = await here.act("/api/tenants/disable", tenants=["Acme"])
        assert [(row["tenant_id"], row["is_enabled"]) for row in done.json()] == [(str(tenant), False)]
        done = await here.act("/api/tenants/enable", tenants=[str(tenant)])
        assert [(row["was_enabled"], row["is_enabled"]) for row in done.json()] == [(False, True)]
        done = await here.act("/api/locks/release", lock="Acme")
        assert done.status_code == 409
        done = await here.act("/api/locks/release", lock="Acme", force=True)
        assert (done.json()["broken"], done.json()["in_flight"]) == (True, 1)
    assert db.value("select interruptions from reactor.events where id = $1", waiting) == 1


async def test_an_action_that_makes_no_sense_is_refused_and_nothing_is_done(operator_url, db):
    _, _, dead, alert = a_company(db)
    bad = [
        ("/api/dead/replay", {}),
        ("/api/dead/replay", {"ids": [dead[0], 999999]}),
        ("/api/dead/replay", {"ids": {"a": 1}}),
        ("/api/dead/replay", {"type": 5}),
        ("/api/dead/discard", {"since": "soon"}),
        ("/api/dead/discard", {"type": "a", "limit": 0}),
        ("/api/tenants/enable", {}),
        ("/api/tenants/enable", {"tenants": ["Acme", "Nobody"]}),
        ("/api/alerts/ack", {"alerts": ["x"]}),
        ("/api/alerts/ack", {"alerts": [str(alert), "00000000-0000-0000-0000-000000000000"]}),
        ("/api/kill-switch/on", {}),
        ("/api/locks/release", {}),
        ("/api/locks/release", {"lock": "Borealis"}),
    ]
    async with served(operator_url) as here:
        for path, document in bad:
            answer = await here.act(path, **document)
            assert answer.status_code in (400, 404), (path, document, answer.text)
            assert answer.json()["error"]
        headers = {"X-Reactor-Action": "yes"}
        for body in (b"[1]", b"nonsense", b'"text"', b"\xff"):
            answer = await here.client.post("/api/dead/replay", content=body, headers=headers)
            assert answer.status_code == 400
    assert db.value("select count(*) from reactor.dead_events") == 2
    assert db.value("select count(*) from public.agent_alerts where acknowledged") == 0


async def test_lists_name_their_next_page(operator_url, db):
    tenant = db.tenant("Acme")
    ids = [db.die(tenant, "a", ago=f"{n} min") for n in range(7)]
    async with served(operator_url) as here:
        seen, path = [], "/api/dead?limit=3&tenant=Acme"
        while path:
            answer = await here.get(path)
            seen += [row["id"] for row in answer.json()]
            path = answer.links.get("next", {}).get("url")
        assert seen == ids
        assert (await here.get("/api/dead?limit=7")).links == {}
        assert (await here.get("/api/dead?limit=6")).links != {}
