"""The real work as a job queue's handler would do it: one order, one transaction, under its tenant's lock.

The facts, the decision and the rows written are those of the built-in app, by the same functions. What
differs is that a job is one order, and that the queue acknowledges it in a transaction of its own.
"""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from uuid import UUID

import asyncpg
import uvloop

from benchmarks.contender import say
from reactor.automation.order_handler import process_orders
from reactor.db import pool as connections
from reactor.testing import RecordedContext, make_event

Judge = Callable[[str, str], Awaitable[None]]

_LOCK = "select pg_advisory_xact_lock(hashtextextended($1, 0)), set_config('reactor.tenant_id', $1, true)"


async def jobs(url: str) -> list[tuple[str, str]]:
    """Tenant and queue row of every order that waits, tenants in turn, so that few wait for a lock."""
    connection = await asyncpg.connect(url)
    rows = await connection.fetch(
        "select tenant_id::text, id::text from order_processing_queue where status = 'pending' order by id"
    )
    await connection.close()
    return [(row[0], row[1]) for row in rows]


def judging(pool: asyncpg.Pool) -> Judge:
    """A job's handler."""

    async def judge(tenant: str, queue_row: str) -> None:
        async with pool.acquire() as connection, connection.transaction():
            await connection.execute(_LOCK, tenant)
            event = make_event("order.queued", tenant_id=UUID(tenant), subject_id=UUID(queue_row))
            ctx = RecordedContext(db=connection, events=[event])
            await process_orders([event], ctx)
            for failure in ctx.failures.values():
                raise failure

    return judge


def main(
    fill: Callable[[str, list[tuple[str, str]]], Awaitable[None]],
    work: Callable[[str, Judge], Awaitable[None]],
) -> None:
    """``fill URL`` makes the peer's tables and a job for each order; ``work URL`` is a held worker."""

    async def run(command: str, url: str) -> None:
        if command == "fill":
            await fill(url, await jobs(url))
            return
        say(ready=True)
        await asyncio.to_thread(sys.stdin.readline)
        async with asyncpg.create_pool(url, min_size=20, max_size=20, init=connections.init) as pool:
            worker = asyncio.create_task(work(url, judging(pool)))
            await asyncio.to_thread(sys.stdin.readline)
            worker.cancel()
            await asyncio.gather(worker, return_exceptions=True)
        say(count=0)

    uvloop.run(run(*sys.argv[1:]))
