"""The protocol's calls for tests: connections that stand for replicas, and what they hold."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from time import monotonic
from typing import TypeVar

import asyncpg

from reactor.db import calls, pool
from reactor.testing import DatabaseClock

T = TypeVar("T")

LEASE = timedelta(seconds=30)
EFFECTS = """
create table public.effects (
    event bigint primary key, tenant_id uuid not null, run_id uuid not null, replica text not null);
select reactor.protect('public.effects');
"""


class Replica:
    """One connection that claims and settles by hand, in transactions that a test holds open."""

    def __init__(self, connection: pool.Connection, name: str) -> None:
        self.connection = connection
        self.name = name

    async def begin(self) -> None:
        await self.connection.execute("begin")

    async def commit(self) -> None:
        await self.connection.execute("commit")

    async def rollback(self) -> None:
        await self.connection.execute("rollback")

    async def claim(self, *, tenants: int = 10, batch: int = 10) -> list[asyncpg.Record]:
        held = await self.connection.fetch(
            "select tenant_id from public.agent_tenant_locks "
            "where lock_holder = $1 and expires_at > reactor.now()",
            self.name,
        )
        claimed = await calls.claim(
            self.connection,
            held=[row["tenant_id"] for row in held],
            replica=self.name,
            tenants=tenants,
            batch=batch,
            lease=LEASE,
            after=None,
            gated=[],
            peers=None,
        )
        return claimed.rows

    async def handle(self, row: asyncpg.Record) -> None:
        """What a handler does: write, inside the tenant's scope."""
        await self.connection.execute(
            "select set_config('role', 'reactor_handler', true), set_config('reactor.tenant_id', $1, true)",
            str(row["tenant_id"]),
        )
        await self.connection.execute(
            "insert into public.effects values ($1, $2, $3, $4)",
            row["id"],
            row["tenant_id"],
            row["run_id"],
            self.name,
        )
        await self.connection.execute("set local role none")

    async def settle(
        self,
        rows: Sequence[asyncpg.Record],
        *,
        more: bool = False,
        scoped: bool = True,
        verdicts: list[dict[str, object]] | None = None,
        batch: int = 10,
    ) -> list[asyncpg.Record]:
        first = rows[0]
        failed = {v["id"] for v in verdicts or []}
        return await calls.settle(
            self.connection,
            calls.Settlement(
                tenants=[first["tenant_id"]],
                runs=[first["run_id"]],
                more=[more],
                done=[row["id"] for row in rows if row["id"] not in failed],
                verdicts=verdicts or [],
                counts=[],
            ),
            batch=batch,
            lease=LEASE,
            gated=[],
            scope=first["tenant_id"] if scoped else None,
        )

    async def checkpoint(self, row: asyncpg.Record) -> None:
        await calls.checkpoint(
            self.connection,
            calls.Settlement([row["tenant_id"]], [row["run_id"]], [True], [], [], []),
        )

    async def abandon(self, row: asyncpg.Record, *, interrupted: bool = True) -> int:
        return await calls.abandon(
            self.connection,
            [row["tenant_id"]],
            [row["run_id"]],
            interrupted=interrupted,
            reason="a test",
        )

    async def beat(self, row: asyncpg.Record) -> set[uuid.UUID]:
        lost, _ = await calls.beat(
            self.connection, self.name, [row["tenant_id"]], [row["run_id"]], lease=LEASE, patience=LEASE
        )
        return lost


class Stage:
    """A database with tenants, a clock that can be moved, and any number of replicas."""

    def __init__(self, url: str, admin: pool.Connection) -> None:
        self._url = url
        self.admin = admin
        self.clock = DatabaseClock(admin)
        self._replicas: list[Replica] = []

    async def replica(self) -> Replica:
        name = f"replica {len(self._replicas) + 1}"
        replica = Replica(await pool.connect(self._url, name=name), name)
        self._replicas.append(replica)
        return replica

    async def tenant(self, *, events: int = 0) -> uuid.UUID:
        tenant = uuid.uuid4()
        await self.admin.execute("insert into public.tenants (id, name) values ($1, 'one')", tenant)
        for _ in range(events):
            await self.emit(tenant)
        return tenant

    async def emit(self, tenant: uuid.UUID, *, priority: int = 0) -> int:
        id_: int = await self.admin.fetchval(
            "select reactor.emit($1, 'test.event', priority => $2)", tenant, priority
        )
        return id_

    async def expire(self) -> None:
        """Let every lease run out."""
        await self.clock.advance(LEASE + timedelta(seconds=1))

    async def blocked(self, replica: Replica, call: Awaitable[T]) -> "asyncio.Future[T]":
        """Start a call and return when the server says that it waits for a lock."""
        pid = replica.connection.get_server_pid()
        task = asyncio.ensure_future(call)
        until = monotonic() + 20
        while monotonic() < until:
            if task.done():
                raise AssertionError(f"{replica.name} did not have to wait: {task.result()!r}")
            if await self.admin.fetchval(
                "select wait_event_type = 'Lock' from pg_stat_activity where pid = $1", pid
            ):
                return task
            await asyncio.sleep(0.005)
        raise AssertionError(f"{replica.name} neither waited nor ended")

    async def holders(self) -> dict[uuid.UUID, uuid.UUID]:
        rows = await self.admin.fetch("select tenant_id, run_id from public.agent_tenant_locks")
        return {row["tenant_id"]: row["run_id"] for row in rows}

    async def status(self, run: uuid.UUID) -> str:
        status: str = await self.admin.fetchval(
            "select status from public.agent_autonomous_runs where id = $1", run
        )
        return status

    async def effects(self) -> int:
        count: int = await self.admin.fetchval("select count(*) from public.effects")
        return count

    async def close(self) -> None:
        for replica in self._replicas:
            replica.connection.terminate()


@asynccontextmanager
async def staged(url: str) -> AsyncIterator[Stage]:
    """A stage on a migrated database of the test's own."""
    async with pool.connected(url, name="stage") as admin:
        await admin.execute(EFFECTS)
        stage = Stage(url, admin)
        try:
            yield stage
        finally:
            await stage.close()
