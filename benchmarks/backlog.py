"""A deep backlog: what a claim costs beside it, how fast it is drained, and in how much memory."""

import argparse
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from uuid import UUID

from benchmarks import held
from benchmarks.fleet import tenants
from benchmarks.harness import Arena
from benchmarks.results import Results, percentile
from reactor.db import calls, migrate, pool
from reactor.db.pool import Connection


async def backlog(ring: Arena, contenders: list[str], options: argparse.Namespace, results: Results) -> None:
    """What one claim of eight tenants costs, by what waits; and the first 100,000 of a backlog of 10⁶."""
    costs: dict[str, list[float]] = {}
    async with AsyncExitStack() as databases:
        connections = {
            label: await databases.enter_async_context(_waits(ring, each, blocked, options.scale))
            for label, each, blocked in (
                ("160 events", 20, None),
                ("10⁶ events", int(125_000 * options.scale), None),
                ("160 events, 10⁵ of stopped tenants", 20, "stopped"),
                ("160 events, 10⁵ of locked tenants", 20, "locked"),
            )
        }
        # In turn: what else the machine does is in all of them.
        for _ in range(5):
            for label, connection in connections.items():
                costs.setdefault(label, []).extend(await claim_costs(connection, 8))
    for label, found in costs.items():
        results.note(f"claim of 8 tenants, {label}, ms", "reactor", percentile(found, 0.5))
    await _deep(ring, int(1_000_000 * options.scale), results)


@asynccontextmanager
async def _waits(ring: Arena, each: int, blocked: str | None, scale: float) -> AsyncIterator[Connection]:
    """A database with eight tenants that have so many events each, and perhaps 10⁵ that cannot run."""
    async with ring.database() as url:
        await migrate.migrate(lambda: pool.connect(url))
        async with pool.connected(url, name="bench") as connection:
            if blocked:
                await _blocked(connection, blocked, scale)
            await waiting(connection, each)
            if blocked == "stopped":
                # The first claims park what cannot run, each from where the last one ended; after that
                # it costs nothing.
                after: UUID | None = None
                while await connection.fetchval(
                    "select exists ("
                    "select from reactor.events where event_type = 'gated' and available_at is null)"
                ):
                    _, after = await _claim(connection, after)
                # Autovacuum does it within a minute: they left their places in the index as dead entries.
                await connection.execute("vacuum reactor.events")
            yield connection


async def _deep(ring: Arena, events: int, results: Results) -> None:
    async with ring.database() as url:
        await migrate.migrate(lambda: pool.connect(url))
        async with pool.connected(url, name="bench") as connection:
            await connection.execute(
                "insert into reactor.events (tenant_id, event_type) "
                "select t, 'noop' from unnest($1::uuid[]) t, generate_series(1, $2::int)",
                await tenants(connection, 100),
                events // 100,
            )
            await connection.execute("vacuum analyze reactor.events")
        async with held.held(*held.replica(url, events // 10)) as worker:
            began = worker.begin()
            reached = await worker.said("reached", 300)
            seconds = (int(reached["at"]) - began) / 1e9
            results.note("backlog of 10⁶, its first 10⁵, events/s", "reactor", events / 10 / seconds)
            results.note("backlog of 10⁶, replica's peak memory, MB", "reactor", worker.peak_mb())


async def waiting(connection: Connection, each: int) -> None:
    """Eight more tenants, with so many events each."""
    await connection.execute(
        "update system_config set value = '{\"global_enabled\": true}' where key = 'agent_config'"
    )
    await connection.execute(
        "insert into reactor.events (tenant_id, event_type) "
        "select t, 'noop' from unnest($1::uuid[]) t, generate_series(1, $2::int)",
        await tenants(connection, 8),
        each,
    )
    await connection.execute("vacuum analyze reactor.events")


async def _blocked(connection: Connection, how: str, scale: float) -> None:
    await connection.execute(
        "insert into tenants (id, name, agent_enabled) "
        f"select gen_random_uuid(), 'other', {how == 'locked'} from generate_series(1, 500); "
        "insert into reactor.events (tenant_id, event_type) "
        "select t.id, 'gated' from tenants t, "
        f"generate_series(1, {max(1, int(200 * scale))}) where name = 'other'"
    )
    if how == "locked":
        await connection.execute(
            "select acquire_tenant_lock(id, 'somebody') from tenants where name = 'other'"
        )


async def claim_costs(connection: Connection, count: int) -> list[float]:
    """Milliseconds of each of so many claims; each is given back."""
    costs = []
    after: UUID | None = None
    for _ in range(count):
        cost, after = await _claim(connection, after)
        costs.append(cost)
    return costs


async def _claim(connection: Connection, after: UUID | None) -> tuple[float, UUID | None]:
    began = time.perf_counter()
    claim = await calls.claim(
        connection,
        replica="bench",
        tenants=8,
        batch=20,
        lease=timedelta(seconds=30),
        after=after,
        gated=["gated"],
        peers=None,
    )
    cost = (time.perf_counter() - began) * 1000
    held_ = {row["run_id"]: row["tenant_id"] for row in claim.rows}
    await calls.abandon(connection, list(held_.values()), list(held_), interrupted=False, reason=None)
    return cost, claim.rows[-1]["tenant_id"] if claim.rows else None
