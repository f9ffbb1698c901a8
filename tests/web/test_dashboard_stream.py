"""The stream: one look for all who watch, and nobody who watches is in anybody's way."""

import asyncio
import itertools
import json
from contextlib import asynccontextmanager
from datetime import timedelta
from urllib.parse import urlsplit

import anyio
import httpx2
import pytest

from reactor import Reactor, Settings
from reactor.db import pool
from reactor.testing import DatabaseClock
from reactor.web import stream
from reactor.web.live import Live
from reactor.web.parts import PARTS
from reactor.web.stream import Streams
from tests.patience import patience
from tests.web.conftest import TOKEN, elsewhere, served


@asynccontextmanager
async def watching(client, path="/api/stream"):
    """An endless iterator of (event, data)."""
    async with client.stream("GET", path) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")

        async def events():
            name = ""
            async for line in answer.aiter_lines():
                if line.startswith("event: "):
                    name = line[7:]
                elif line.startswith("data: "):
                    yield name, json.loads(line[6:])

        yield events()


async def test_all_who_watch_see_the_same_looks(operator_url, db):
    db.emit(db.tenant(), "a")
    async with served(operator_url) as here:
        seen: list[list[str]] = []

        async def watch():
            # A look comes when the database has answered.
            client = httpx2.AsyncClient(base_url=here.address, timeout=60)
            async with client, watching(client) as events:
                times = [found["at"] async for _, found in until(events, 3)]
                seen.append(times)

        async with asyncio.timeout(60), anyio.create_task_group() as group:
            for _ in range(8):
                group.start_soon(watch)
        (live,) = here.site._lives.values()
        looks = {at for times in seen for at in times}
        assert len(seen) == 8
        # Whoever came a moment later than the others sees one look more than they do.
        assert len(looks) <= live._last.number <= 5


async def until(events, count):
    async for event in events:
        yield event
        count -= 1
        if not count:
            return


async def test_a_browser_gets_the_parts_that_its_page_has(operator_url, db):
    db.emit(db.tenant(), "<b>bold</b>")
    async with (
        served(operator_url) as here,
        watching(here.client, f"/api/stream?parts={','.join(PARTS)},x") as events,
    ):
        async with asyncio.timeout(30):
            name, parts = await anext(events)
        assert name == "parts"
        assert set(parts) == {"at", *PARTS}
        assert "&lt;b&gt;bold&lt;/b&gt;" in parts["types"]
        assert "form_token" not in str(parts)


async def test_a_watcher_sees_that_the_database_is_away_and_back(server, operator_url, db):
    name = db.value("select current_database()")
    async with served(operator_url) as here, watching(here.client) as events, asyncio.timeout(120):
        assert (await anext(events))[0] == "status"
        try:
            await asyncio.to_thread(
                server.admin,
                f"alter database {name} allow_connections false",
                f"select pg_terminate_backend(pid) from pg_stat_activity where datname = '{name}'",
            )
            while (found := await anext(events))[0] != "away":
                pass
            assert found[1]["error"]
        finally:
            await asyncio.to_thread(server.admin, f"alter database {name} allow_connections true")
        while (await anext(events))[0] != "status":
            pass


async def test_more_than_so_many_are_told_so_and_a_place_is_free_again_when_one_leaves(operator_url):
    async with served(operator_url) as here, asyncio.timeout(30):
        here.site.streams = Streams(most=2)
        async with watching(here.client), watching(here.client):
            answer = await here.get("/api/stream")
            assert answer.status_code == 503
            assert answer.headers["retry-after"] == "60"
            assert answer.text.startswith("2 browsers watch this replica already")
        while here.site.streams.count:
            await asyncio.sleep(0.01)
        async with watching(here.client) as events:
            await anext(events)


async def test_nobody_looks_when_nobody_watches(operator_url, db):
    async with served(operator_url) as here:
        async with asyncio.timeout(30), watching(here.client) as events:
            await anext(events)
        while here.site.streams.count:
            await asyncio.sleep(0.01)
        (live,) = here.site._lives.values()
        seen = live._last.number
        async with asyncio.timeout(60):
            while live.pause:
                await asyncio.sleep(0.02)
        # A look is due now. Whoever asks for what needs none finds that nobody took it.
        for _ in range(20):
            assert (await here.get("/static/icon.svg")).status_code == 200
        assert live._last.number == seen
        await here.page("/")
        assert live._last.number == seen + 1


@pytest.mark.parametrize(("takes", "pause"), [(0.001, 2.0), (0.3, 6.0), (9.0, 20.0)])
async def test_a_look_that_takes_long_is_followed_by_a_long_pause(operator_url, takes, pause):
    """So what looks cost a server stays a twentieth of its time, whatever is in its outbox."""
    clock = itertools.count(0.0, takes)
    async with served(operator_url) as here:
        live = Live(here.site.databases[0], clock=lambda: next(clock))
        assert (await live.latest()).error is None
        assert live.pause == pytest.approx(pause - takes)


async def test_the_curve_begins_anew_when_nobody_watched_for_a_while(operator_url, db):
    async with served(operator_url) as here, pool.connected(db.url) as connection:
        live, clock = Live(here.site.databases[0]), DatabaseClock(connection)
        for seen, later in ((0, 2), (1, 2), (2, 600), (0, 2), (1, 0)):
            look = await live.latest()
            assert len(look.curve) == seen
            assert (look.before is None) == (seen == 0)
            live.forget()
            await clock.advance(timedelta(seconds=later))


async def test_while_there_is_nothing_new_the_stream_says_so_without_an_event(operator_url, monkeypatch):
    monkeypatch.setattr(stream, "_SILENCE", 0.05)
    async with served(operator_url) as here, here.client.stream("GET", "/api/stream") as answer:
        said = [line async for line in until(answer.aiter_lines(), 12)]
    assert [line for line in said if line.startswith("event: ")] == ["event: status"]
    assert said.count(": nothing new") > 2


async def test_one_who_reads_nothing_is_in_nobodys_way(operator_url, db):
    for n in range(40):
        db.emit(db.tenant(f"Tenant {n}"), f"a.rather.long.name.of.an.event.type.{n}" + "x" * 100)
    async with served(operator_url) as here, asyncio.timeout(60):
        parts = urlsplit(here.address)
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port, limit=1)
        writer.write(b"GET /api/stream HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        reader._transport.pause_reading()
        async with watching(here.client) as events:
            async for _ in until(events, 3):
                pass
        assert (await here.get("/")).status_code == 200
        writer.transport.abort()
        while here.site.streams.count:
            await asyncio.sleep(0.01)


async def test_a_stream_needs_what_the_pages_need(operator_url):
    async with served(operator_url, token=TOKEN, host="0.0.0.0") as here, elsewhere(here.address) as client:
        assert (await client.get("/api/stream")).status_code == 401
        bearer = {"Authorization": f"Bearer {TOKEN}"}
        async with client.stream("GET", "/api/stream", headers=bearer) as answer:
            assert answer.status_code == 200


async def test_those_who_watch_hold_no_drain_up(database_url):
    app = Reactor()

    @app.on("a")
    async def handle(event, ctx):
        return None

    async with asyncio.timeout(60), anyio.create_task_group() as group:

        async def run(*, task_status):
            settings = Settings(database_url=database_url, http_port=0)
            await app.run(settings, handle_signals=False, serve_http=True, task_status=task_status)
            ended.set()

        ended = asyncio.Event()
        await group.start(run)
        async with httpx2.AsyncClient(base_url=app.http_address) as client, watching(client) as events:
            await anext(events)
            app.drain()
            async with patience(8):
                await ended.wait()
                # The browser hears that it is over.
                async for _ in events:
                    pass
