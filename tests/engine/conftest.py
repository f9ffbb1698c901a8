"""What the engine's tests share: a small world of tenants and a ledger in which handlers write."""

import asyncio
import math
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from reactor import Context, Event, Reactor
from reactor.db import calls
from reactor.db.pool import Connection
from reactor.testing import Left, drain, running
from tests.patience import patience

LEDGER = """
    create table public.ledger (
        id bigint generated always as identity primary key,
        tenant_id uuid not null,
        event_id bigint,
        note text,
        entered_at timestamptz not null default clock_timestamp()
    );
    select reactor.protect('public.ledger');
    grant insert on public.ledger to reactor;  -- for jobs
"""


@dataclass
class World:
    """One test's database, with short ways to say what tests keep saying."""

    url: str
    conn: Connection

    async def tenant(self, name: str = "tenant", *, enabled: bool = False) -> UUID:
        return await self.conn.fetchval(
            "insert into public.tenants (name, agent_enabled) values ($1, $2) returning id", name, enabled
        )

    async def emit(self, tenant: UUID, event_type: str, payload: Any = None, **options: Any) -> int:
        named = "".join(f", {name} => ${n}" for n, name in enumerate(options, start=4))
        return await self.conn.fetchval(
            f"select reactor.emit($1, $2, $3{named})", tenant, event_type, payload or {}, *options.values()
        )

    async def flood(self, tenant: UUID, event_type: str, count: int, *, priority: int = 0) -> None:
        """``count`` events at once, payload {"n": 1…count}."""
        await self.conn.execute(
            "insert into reactor.events (tenant_id, event_type, payload, priority) "
            "select $1, $2, jsonb_build_object('n', n), $4 from generate_series(1, $3) n",
            tenant,
            event_type,
            count,
            priority,
        )
        await self.conn.execute("select reactor.ring()")

    async def notes(self, tenant: UUID | None = None) -> list[str]:
        """The ledger's notes, in the order of writing."""
        rows = await self.conn.fetch(
            "select note from public.ledger where $1::uuid is null or tenant_id = $1 order by id", tenant
        )
        return [row["note"] for row in rows]

    async def dead(self) -> list[asyncpg.Record]:
        return await self.conn.fetch("select * from reactor.dead_events order by id")

    async def history(self, event_id: int) -> asyncpg.Record | None:
        return await self.conn.fetchrow("select * from reactor.history where id = $1", event_id)

    async def event(self, event_id: int) -> asyncpg.Record | None:
        return await self.conn.fetchrow("select * from reactor.events where id = $1", event_id)

    async def count(self, what: str, *arguments: Any) -> int:
        return await self.conn.fetchval(f"select count(*) from {what}", *arguments)

    async def until(self, query: str, *arguments: Any, within: float = 15.0) -> Any:
        """Wait until the query gives something true, and return that."""
        return await until(lambda: self.conn.fetchval(query, *arguments), within=within, what=query)

    async def open_gates(self) -> None:
        await self.conn.execute(
            "update public.system_config set value = value || '{\"global_enabled\": true}' "
            "where key = 'agent_config'"
        )

    async def close_gates(self) -> None:
        await self.conn.execute(
            "update public.system_config set value = value || '{\"global_enabled\": false}' "
            "where key = 'agent_config'"
        )

    def running(self, app: Reactor, **settings: Any) -> AbstractAsyncContextManager[None]:
        return running(app, self.url, **settings)

    async def drain(self, app: Reactor, *, within: float = 60.0, **settings: Any) -> Left:
        try:
            async with patience(within):
                return await drain(app, self.url, within=timedelta(minutes=3), **settings)
        except TimeoutError:
            raise AssertionError(f"not drained within {within} s") from None


async def until(ask: Callable[[], Awaitable[Any]], *, within: float = 15.0, what: str = "") -> Any:
    """Wait until ``ask`` gives something true, and return that. ``within``: as :func:`patience` counts."""
    try:
        async with patience(within):
            while not (answer := await ask()):
                await asyncio.sleep(0.01)
            return answer
    except TimeoutError:
        raise AssertionError(f"not within {within} s: {what or ask}") from None


async def enter(event: Event[Any], ctx: Context, note: str | None = None) -> None:
    """Write a line into the ledger."""
    await ctx.db.execute(
        "insert into public.ledger (tenant_id, event_id, note) values ($1, $2, $3)",
        ctx.tenant_id,
        event.id,
        note if note is not None else event.type,
    )


async def enter_all(events: Sequence[Event[Any]], ctx: Context) -> None:
    for event in events:
        await enter(event, ctx, str(event.payload.get("n", event.type)))


class Looks:
    """The claims of all replicas in this process, told apart by the replicas' names."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._in_vain: Counter[str] = Counter()
        self._last: dict[str, float] = {}
        self._peers: dict[str, list[str]] = {}
        claim, beat = calls.claim, calls.beat

        async def noted(connection: calls.Connection, *, replica: str, **rest: Any) -> calls.Claimed:
            self._last[replica] = math.inf
            claimed = await claim(connection, replica=replica, **rest)
            self._last[replica] = asyncio.get_running_loop().time()
            # One for its own tenants is followed by one for all.
            self._in_vain[replica] += not claimed.rows and rest["peers"] is None
            return claimed

        async def beaten(connection: calls.Connection, replica: str, *rest: Any, **more: Any) -> Any:
            lost, self._peers[replica] = await beat(connection, replica, *rest, **more)
            return lost, self._peers[replica]

        monkeypatch.setattr(calls, "claim", noted)
        monkeypatch.setattr(calls, "beat", beaten)

    @asynccontextmanager
    async def in_vain(self, replica: str) -> AsyncIterator[None]:
        """What is done within wakes this replica, which was asleep, and has it look in vain by the end."""
        clock = asyncio.get_running_loop().time

        async def sleeps() -> bool:
            return clock() - self._last.get(replica, math.inf) > 0.3

        await until(sleeps, what=f"{replica} falls asleep")
        before = self._in_vain[replica]
        yield

        async def looked() -> bool:
            return self._in_vain[replica] > before

        await until(looked, what=f"{replica} looks in vain")

    async def know(self, *replicas: str) -> None:
        """Wait until these know each other."""

        async def all_know() -> bool:
            return all(set(self._peers.get(one, ())) >= set(replicas) for one in replicas)

        await until(all_know, what=f"{replicas} know each other")


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> Looks:
    return Looks(monkeypatch)


@pytest.fixture
async def world(database_url: str, conn: Connection) -> World:
    await conn.execute(LEDGER)
    return World(database_url, conn)
