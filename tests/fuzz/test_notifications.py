"""Anybody may notify on any channel. A stranger's payload wakes a replica at most, and is never believed."""

import asyncio
import random
from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import pytest
import structlog

from reactor import Context, Event, Reactor
from reactor.db import calls, pool
from reactor.testing import running

app = Reactor()
_SECRET = "hunter2-very-secret"


@app.on("test.event")
async def handle(event: Event[Any], ctx: Context) -> None:
    await ctx.db.execute("select 1")


@pytest.fixture
async def tenant(conn: pool.Connection) -> UUID:
    made: UUID = await conn.fetchval("insert into public.tenants (name) values ('one') returning id")
    return made


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows with every claim."""
    made: list[int] = []
    claim: Callable[..., Any] = calls.claim

    async def counted(*arguments: Any, **options: Any) -> Any:
        made.append(1)
        return await claim(*arguments, **options)

    monkeypatch.setattr(calls, "claim", counted)
    return made


def strange_payloads(count: int) -> list[str]:
    chance = random.Random(5)
    texts = [
        "",
        "timer",
        "gate",
        "work",
        "null",
        "{}",
        str(uuid4()),
        "ü" * 3_999,
        "x" * 7_999,
        "\x1b[31m",
        "\n",
        _SECRET,
    ]
    while len(texts) < count:
        points = [chance.choice((chance.randrange(1, 0xD800), chance.randrange(1, 128))) for _ in range(40)]
        texts.append("".join(map(chr, points)) + _SECRET)
    return texts


async def _handled(conn: pool.Connection, tenant: UUID, *, within: float) -> None:
    event = await conn.fetchval("select reactor.emit($1, 'test.event')", tenant)
    async with asyncio.timeout(within):
        while not await conn.fetchval("select exists (select from reactor.history where id = $1)", event):
            await asyncio.sleep(0.02)


async def test_payloads_of_strangers_neither_stop_a_replica_nor_reach_its_log(
    conn: pool.Connection, database_url: str, tenant: UUID, looks: list[int]
) -> None:
    payloads = strange_payloads(400)
    async with pool.connected(database_url, name="stranger") as stranger:
        with structlog.testing.capture_logs() as said:
            async with running(app, database_url, poll_seconds=3600):
                await _handled(conn, tenant, within=20)
                before = len(looks)
                # One transaction, so they arrive at once: the replica looks, and not once for each.
                async with stranger.transaction():
                    await stranger.execute(
                        "select count(pg_notify(c, p)) from unnest($1::text[]) as p, "
                        "unnest('{reactor,Reactor,other}'::text[]) as c",
                        payloads,
                    )
                await _handled(conn, tenant, within=20)
                assert len(looks) - before < 60
        assert _SECRET not in repr(said)
        assert not [line for line in said if line["log_level"] in ("error", "critical")]


async def test_a_stranger_that_never_stops_notifying_keeps_nobody_busy(
    conn: pool.Connection, database_url: str, tenant: UUID, looks: list[int]
) -> None:
    """A replica that is woken in vain dozes, and finds work all the same."""
    async with (
        pool.connected(database_url, name="stranger") as stranger,
        running(app, database_url, poll_seconds=3600),
    ):
        await _handled(conn, tenant, within=20)
        before = len(looks)
        for kind in ("", "timer", "gate"):
            for _ in range(400):
                await stranger.execute("select pg_notify('reactor', $1)", kind)
        vain = len(looks) - before
        await _handled(conn, tenant, within=5)
    assert vain < 400, "a claim for every third notification"
