"""Several replicas, a noisy neighbour, and what an idle worker costs."""

import argparse
import asyncio
import time
import uuid
from contextlib import AsyncExitStack

import asyncpg

from benchmarks import held
from benchmarks.harness import Arena
from benchmarks.results import Results, percentile
from reactor.db import migrate, pool
from reactor.db.pool import Connection

_NOOPS = """
insert into reactor.events (tenant_id, event_type)
select t, 'noop' from generate_series(1, $2::int), unnest($1::uuid[]) t
"""


async def tenants(connection: Connection, count: int) -> list[uuid.UUID]:
    """New tenants that are switched on."""
    ids = [uuid.uuid4() for _ in range(count)]
    await connection.execute(
        "insert into tenants (id, name, agent_enabled) select t, 't', true from unnest($1::uuid[]) t", ids
    )
    return ids


async def replicas(ring: Arena, contenders: list[str], options: argparse.Namespace, results: Results) -> None:
    """100 tenants × 400 by 1, 2 and 4 replicas; latency beside a flood; transactions and CPU when idle."""
    if "reactor" in contenders:
        for count in (1, 2, 4):
            rate = await _together(ring, count, max(1, int(400 * options.scale)))
            results.note(f"100 × 400 by {count} replicas, events/s", "reactor", rate)
        await _neighbours(ring, int(100_000 * options.scale), results)
    if not options.turn:
        await _idle(ring, contenders, max(3, 20 * options.scale), results)


async def _together(ring: Arena, count: int, each: int) -> float:
    async with ring.database() as url, AsyncExitStack() as stack:
        await migrate.migrate(lambda: pool.connect(url))
        connection = await stack.enter_async_context(pool.connected(url, name="bench"))
        await connection.execute(_NOOPS, await tenants(connection, 100), each)
        await connection.execute("analyze reactor.events")
        workers = [await stack.enter_async_context(held.held(*held.replica(url))) for _ in range(count)]
        began = [worker.begin() for worker in workers]
        async with asyncio.timeout(120):
            while await connection.fetchval("select exists (select from reactor.events)"):
                await asyncio.sleep(0.05)
        ends = [await worker.end() for worker in workers]
        handled = sum(int(end["count"]) for end in ends)
        if handled != 100 * each:
            raise RuntimeError(f"{count} replicas handled {handled} of {100 * each} events")
        return handled / ((max(int(end["last"]) for end in ends) - min(began)) / 1e9)


async def _neighbours(ring: Arena, flood: int, results: Results) -> None:
    """One tenant's event every 50 ms, alone and while another tenant's flood is drained, twice."""
    async with ring.database() as url, pool.connected(url, name="bench") as sender:
        await migrate.migrate(lambda: pool.connect(url))
        quiet, loud = await tenants(sender, 2)
        for label, events in (("alone", 0), ("beside a flood of 100,000", flood)):
            found: list[float] = []
            for _ in range(2):
                if events:
                    await sender.execute(_NOOPS, [loud], events)
                    await sender.execute("analyze reactor.events")
                async with held.held(*held.replica(url, events)) as worker:
                    worker.begin()
                    await worker.said("running")
                    until = asyncio.create_task(worker.said("reached", 120) if events else asyncio.sleep(2.5))
                    while not until.done():
                        await sender.execute(
                            "select reactor.emit($1, 'timed', $2)", quiet, {"sent": time.monotonic_ns()}
                        )
                        await asyncio.sleep(0.05)
                    await until
                    async with asyncio.timeout(30):
                        while await sender.fetchval("select exists (select from reactor.events)"):
                            await asyncio.sleep(0.05)
                    found += (await worker.end())["latencies_ms"]
            for share in (0.5, 0.99):
                name = f"an event every 50 ms, {label}, p{share * 100:.0f}, ms"
                results.note(name, "reactor", percentile(found, share))


async def _idle(ring: Arena, contenders: list[str], seconds: float, results: Results) -> None:
    """Each idles in a database of its own, all at the same time."""

    async def one(contender: str) -> None:
        async with ring.database() as url:
            await ring.call(contender, "setup", url)
            watcher = await asyncpg.connect(ring.server.url())
            name = url.rpartition("/")[2].partition("?")[0]
            process = await ring.start(contender, "serve", url, "1000000")
            try:
                await asyncio.sleep(8)
                before = await _spent(watcher, name, process.pid)
                await asyncio.sleep(seconds)
                after = await _spent(watcher, name, process.pid)
                if process.returncode is not None:
                    raise RuntimeError("it ended while it should have waited")
            finally:
                if process.returncode is None:
                    process.kill()
                await process.wait()
                await watcher.close()
            labels = ("transactions/s", "CPU of the worker, %", "CPU of its backends, %")
            for label, factor, old, new in zip(labels, (1, 100, 100), before, after, strict=True):
                results.note(f"idle, {label}", contender, (new - old) / seconds * factor)

    waiting = [contender for contender in contenders if contender != "floor"]
    for contender, error in zip(
        waiting, await asyncio.gather(*map(one, waiting), return_exceptions=True), strict=True
    ):
        if isinstance(error, RuntimeError):
            results.fail("idle, transactions/s", contender, str(error))
        elif error is not None:
            raise error


async def _spent(watcher: asyncpg.Connection, database: str, worker: int) -> tuple[float, float, float]:
    """Transactions of the database, processor time of the worker, and of its backends."""
    row = await watcher.fetchrow(
        "select xact_commit + xact_rollback as transactions, "
        "array(select pid from pg_stat_activity a where a.datname = d.datname) as backends "
        "from pg_stat_database d where datname = $1",
        database,
    )
    assert row is not None
    return float(row["transactions"]), held.cpu_seconds(worker), held.cpu_seconds(*row["backends"])
