"""Who may see the dashboard: whoever has the token, and this machine where there is none or it is trusted."""

import asyncio
import time
from urllib.parse import urlsplit

import structlog
from pydantic import SecretStr
from structlog.testing import capture_logs

from reactor import Settings
from reactor.telemetry import logs, names
from reactor.web import listings
from reactor.web.access import COOKIE, SESSION, Access
from reactor.web.headers import HEADERS
from tests.web.conftest import TOKEN, elsewhere, form_token, served

PATHS = ("/", "/events", "/dead/1", "/api/status", "/api/stream", "/api/nothing", "/nothing")


async def test_this_machine_sees_it_and_nobody_else_does_without_a_token(operator_url):
    async with served(operator_url, host="0.0.0.0") as here, elsewhere(here.address) as client:
        assert (await here.get("/")).status_code == 200
        assert (await here.get("/api/status")).status_code == 200
        for path in PATHS:
            answer = await client.get(path)
            assert answer.status_code == 403, path
            assert "REACTOR_DASHBOARD_TOKEN is not set" in answer.text
        answer = await client.post("/api/kill-switch/on", json={}, headers={"X-Reactor-Action": "yes"})
        assert answer.status_code == 403
        assert (await client.get("/login")).status_code == 403


HERE = ("localhost", "LOCALHOST:8080", "reactor.localhost:8080", "127.0.0.1", "127.0.0.1:8080", "[::1]:8080")
NOT_HERE = (
    "rebound.example:8080",
    "127.0.0.1.rebound.example",
    "localhost.rebound.example",
    "10.0.0.1",
    "user@127.0.0.1:x",
    "[::1",
)


async def test_whoever_asks_for_a_name_that_is_not_this_machines_is_not_believed_to_be_here(operator_url):
    async with served(operator_url) as here:
        for host in HERE:
            assert (await here.get("/", headers={"Host": host})).status_code == 200, host
        for host in NOT_HERE:
            assert (await here.get("/", headers={"Host": host})).status_code == 403, host
            assert (await here.get("/api/status", headers={"Host": host})).status_code == 403, host


FORWARDED = ("Forwarded", "Via", "X-Real-IP", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto")


async def test_whoever_comes_through_a_proxy_is_not_here_whatever_it_says(operator_url):
    async with served(operator_url) as here:
        for header in FORWARDED:
            for value in ("127.0.0.1", "10.1.2.3", "for=127.0.0.1", "localhost", ""):
                answer = await here.get("/", headers={header: value})
                assert answer.status_code == 403, (header, value)


async def test_a_proxy_that_says_nothing_is_known_by_its_old_protocol(operator_url):
    async with served(operator_url) as here:
        parts = urlsplit(here.address)
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        writer.write(b"GET / HTTP/1.0\r\nHost: 127.0.0.1:8080\r\nConnection: close\r\n\r\n")
        assert b" 403 " in (await asyncio.wait_for(reader.read(), 10)).split(b"\r\n")[0]
        writer.close()


async def test_with_a_token_a_program_sends_it_and_a_person_logs_in(operator_url):
    async with served(operator_url, token=TOKEN, host="0.0.0.0") as here, elsewhere(here.address) as client:
        assert (await client.get("/api/status")).status_code == 401
        bearer = {"Authorization": f"Bearer {TOKEN}"}
        assert (await client.get("/api/status", headers=bearer)).status_code == 200
        assert (await client.get("/", headers=bearer)).status_code == 200

        answer = await client.get("/events?state=ready")
        assert (answer.status_code, answer.headers["location"]) == (
            303,
            "/login?back=%2Fevents%3Fstate%3Dready",
        )
        assert (await client.get("/login")).status_code == 200
        with capture_logs() as said:
            answer = await client.post("/login", data={"token": "not-the-token", "back": "/events"})
        assert answer.status_code == 401
        assert "That is not the token" in answer.text
        assert [line["event"] for line in said] == [names.DASHBOARD_REFUSED]
        assert "not-the-token" not in str(said)

        answer = await client.post("/login", data={"token": TOKEN, "back": "/events?state=ready"})
        assert (answer.status_code, answer.headers["location"]) == (303, "/events?state=ready")
        cookie = answer.headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=strict" in cookie
        assert "Secure" not in cookie  # by plain http a browser would not send it back
        assert TOKEN not in cookie
        page = await client.get("/events")
        assert page.status_code == 200
        assert "somebody who logged in with the token" in page.text
        assert (await client.get("/api/status")).status_code == 200
        assert (await client.post("/logout")).status_code == 303
        assert (await client.get("/events")).status_code == 303


async def test_a_token_that_is_set_is_asked_of_this_machine_too(operator_url):
    async with served(operator_url, token=TOKEN) as here:
        for path in PATHS:
            answer = await here.get(path)
            assert answer.status_code == (401 if path.startswith("/api/") else 303), path
        answer = await here.client.post("/api/kill-switch/on", json={}, headers={"X-Reactor-Action": "yes"})
        assert answer.status_code == 401
        bearer = {"Authorization": f"Bearer {TOKEN}"}
        assert (await here.get("/api/status", headers=bearer)).status_code == 200
        assert (await here.client.post("/login", data={"token": TOKEN})).status_code == 303
        assert (await here.get("/")).status_code == 200


async def test_where_loopback_is_trusted_this_machine_needs_none_and_others_do(operator_url):
    async with (
        served(operator_url, token=TOKEN, trusted=True, host="0.0.0.0") as here,
        elsewhere(here.address) as client,
    ):
        assert (await here.get("/")).status_code == 200
        assert (await here.get("/api/status")).status_code == 200
        for headers in ({"X-Forwarded-For": "10.1.2.3"}, {"Host": "rebound.example:8080"}):
            assert (await here.get("/api/status", headers=headers)).status_code == 401, headers
        assert (await client.get("/api/status")).status_code == 401


async def test_over_https_the_cookie_stays_there(operator_url):
    async with served(operator_url, token=TOKEN) as here:
        answer = await here.client.post(
            "/login",
            data={"token": TOKEN},
            headers={"X-Forwarded-Proto": "https", "Host": "r.example", "Origin": "https://r.example"},
        )
        assert "; Secure" in answer.headers["set-cookie"]


async def test_a_wrong_token_is_refused_whoever_sends_it(operator_url):
    async with served(operator_url, token=TOKEN) as here:
        for scheme in ("Bearer", "bearer", "Basic"):
            for given in ("", "another", TOKEN[:-1], TOKEN + "x", "\xfc"):
                headers = {"Authorization": f"{scheme} {given}".strip().encode("latin-1")}
                assert (await here.get("/api/status", headers=headers)).status_code == 401, headers


async def test_a_token_that_is_not_ascii_is_compared_as_well(operator_url):
    async with served(operator_url, token="ein-schlüssel") as here:
        right = {"Authorization": "Bearer ein-schlüssel".encode()}
        assert (await here.get("/api/status", headers=right)).status_code == 200
        answer = await here.client.post("/login", data={"token": "ein-schlüssel"})
        assert answer.status_code == 303


async def test_a_cookie_that_ended_or_was_changed_lets_nobody_in(operator_url, monkeypatch):
    now = time.time()
    with monkeypatch.context() as past:
        past.setattr(time, "time", lambda: now - SESSION.total_seconds() - 1)
        ended = Access(SecretStr(TOKEN)).new_session()
    good = Access(SecretStr(TOKEN)).new_session()
    until, _, proof = good.partition(".")
    others = Access(SecretStr("another-token-of-others")).new_session()
    bad = [ended, others, f"{int(until) + 1}.{proof}", f"{until}.", "", ".", "x.y", f"{until}.é"]
    async with served(operator_url, token=TOKEN, host="0.0.0.0") as here, elsewhere(here.address) as client:
        for value in bad:
            cookie = f"{COOKIE}={value}".encode()
            assert (await client.get("/api/status", headers={"Cookie": cookie})).status_code == 401, value
        answer = await client.get("/api/status", headers={"Cookie": f"{COOKIE}={good}"})
        assert answer.status_code == 200


async def test_a_login_leads_to_no_other_site(operator_url):
    async with served(operator_url, token=TOKEN) as here:
        for back in ("//evil.example", "https://evil.example/", "/\\evil.example", "events", "/\n/x"):
            answer = await here.client.post("/login", data={"token": TOKEN, "back": back})
            assert answer.headers["location"] == "/", back


async def test_a_link_from_elsewhere_is_followed_once_more_so_that_the_cookie_goes_with_it(operator_url):
    async with served(operator_url, token=TOKEN, host="0.0.0.0") as here, elsewhere(here.address) as client:
        answer = await client.get("/events/1", headers={"Sec-Fetch-Site": "cross-site"})
        assert answer.status_code == 200
        assert 'http-equiv="refresh"' in answer.text
        again = await client.get("/events/1", headers={"Sec-Fetch-Site": "same-origin"})
        assert again.headers["location"] == "/login?back=%2Fevents%2F1"


OTHER_SITES = [
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "none"},
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Origin": "http://["},
    {"Origin": "http://127.0.0.1:1"},
]


async def test_no_other_site_can_have_a_browser_act(operator_url, db):
    db.value("select is_on from reactor.set_kill_switch(false)")
    async with served(operator_url) as here:
        fields = {"form_token": form_token(await here.page("/kill-switch")), "reason": "evil"}
        for headers in OTHER_SITES:
            answer = await here.client.post("/kill-switch/on", data=fields, headers=headers)
            assert answer.status_code == 403, headers
            answer = await here.client.post(
                "/api/kill-switch/on", json={"reason": "evil"}, headers=headers | {"X-Reactor-Action": "yes"}
            )
            assert answer.status_code == 403, headers
            assert "another site" in answer.json()["error"]
    assert db.value("select value ->> 'global_enabled' from public.system_config") == "true"


async def test_our_own_pages_can(operator_url, db):
    async with served(operator_url) as here:
        for headers in ({"Origin": here.address}, {"Sec-Fetch-Site": "same-origin", "Origin": "null"}):
            fields = {"form_token": form_token(await here.page("/kill-switch")), "reason": "tried"}
            answer = await here.client.post("/kill-switch/on", data=fields, headers=headers)
            assert answer.status_code == 303
            await here.do("/kill-switch/off", {})


async def test_a_form_without_its_token_does_nothing(operator_url, db):
    db.value("select is_on from reactor.set_kill_switch(false)")
    async with served(operator_url) as here:
        for token in ({}, {"form_token": ""}, {"form_token": "0" * 64}, {"form_token": "é"}):
            answer = await here.client.post("/kill-switch/on", data={"reason": "evil"} | token)
            assert answer.status_code == 403, token
    assert db.value("select value ->> 'global_enabled' from public.system_config") == "true"


async def test_a_form_is_good_for_the_session_that_it_was_made_for(operator_url):
    async with served(operator_url, token=TOKEN, trusted=True) as here:
        fields = {"form_token": form_token(await here.page("/kill-switch")), "reason": "tried"}
        await here.client.post("/login", data={"token": TOKEN})
        assert (await here.client.post("/kill-switch/on", data=fields)).status_code == 403


async def test_a_program_says_that_it_means_it(operator_url, db):
    db.value("select is_on from reactor.set_kill_switch(false)")
    async with served(operator_url) as here:
        answer = await here.client.post("/api/kill-switch/on", json={"reason": "tried"})
        assert answer.status_code == 403
        assert "X-Reactor-Action" in answer.json()["error"]
        assert (await here.get("/api/kill-switch/on")).status_code == 405
        assert (await here.get("/kill-switch/on")).status_code == 405
    assert db.value("select value ->> 'global_enabled' from public.system_config") == "true"


async def test_every_answer_says_what_a_browser_may_do_with_it(operator_url):
    async with (
        served(operator_url, token=TOKEN, trusted=True, host="0.0.0.0") as here,
        elsewhere(here.address) as client,
    ):
        style = (await here.page("/")).partition('rel="stylesheet" href="')[2].partition('"')[0]
        answers = [await here.get(path) for path in ("/", "/api/status", "/nothing", "/login", style)]
        answers += [await client.get("/"), await client.get("/api/status")]
        for answer in answers:
            for name, value in HEADERS.items():
                if name == "Cache-Control" and answer.url.path.startswith("/static/"):
                    value = "public, max-age=31536000, immutable"  # its address changes with its content
                assert answer.headers[name] == value, (answer.url, name)
        policy = HEADERS["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "://" not in policy
        assert (await client.get(style)).status_code == 200  # the page to log in wants it
        assert (await client.get("/static/../site.py")).status_code in (303, 401, 404)
        assert (await client.get("/static/%2e%2e/site.py")).status_code == 404


async def test_a_body_that_is_too_long_is_not_read(operator_url):
    async def pieces():
        for _ in range(80):
            yield b"a" * 1024

    async with served(operator_url, token=TOKEN, trusted=True) as here:
        headers = {"Content-Type": "application/x-www-form-urlencoded", "X-Reactor-Action": "yes"}
        for path in ("/login", "/kill-switch/on", "/api/kill-switch/on"):
            for body in (pieces(), b"a" * 80 * 1024):
                answer = await here.client.post(path, content=body, headers=headers)
                assert answer.status_code == 413, path


async def test_a_mistake_of_ours_is_one_page_and_one_line_that_hold_no_secret(
    operator_url, monkeypatch, capsys
):
    async def broken(*_):
        raise RuntimeError("a defect")

    monkeypatch.setattr(listings, "events", broken)
    try:
        logs.configure(Settings(database_url=operator_url, dashboard_token=TOKEN, log_format="console"))
        async with served(operator_url, token=TOKEN) as here:
            for path, headers in (("/events", {"Cookie": f"{COOKIE}=x"}), ("/api/events", {})):
                answer = await here.get(path, headers=headers | {"Authorization": f"Bearer {TOKEN}"})
                assert answer.status_code == 500
                assert "a defect" not in answer.text
    finally:
        structlog.reset_defaults()
    said = capsys.readouterr().err
    assert said.count("RuntimeError: a defect") == 2
    assert TOKEN not in said
