"""Ourselves: tenant leases, the fence, the acknowledgement in one transaction; a no-op handler."""

import asyncio
import logging
import sys
import uuid
from collections.abc import Awaitable, Callable

import anyio
import asyncpg
import structlog

from benchmarks import contender
from reactor import Context, Event, Reactor, Settings, process
from reactor.db import migrate, pool


class Ours:
    async def setup(self, url: str) -> None:
        await migrate.migrate(lambda: pool.connect(url))

    async def fill(self, url: str, count: int, tenants: int) -> None:
        connection = await asyncpg.connect(url)
        ids = [uuid.uuid4() for _ in range(tenants)]
        await connection.execute(
            "insert into tenants (id, name, agent_enabled) "
            "select t, 'tenant', true from unnest($1::uuid[]) t",
            ids,
        )
        await connection.execute(
            "insert into reactor.events (tenant_id, event_type) "
            "select t, 'noop' from unnest($1::uuid[]) t, generate_series(1, $2)",
            ids,
            count // tenants,
        )
        await connection.execute("analyze reactor.events")
        await connection.close()

    async def work(self, url: str, handle: Callable[[int | None], None], done: asyncio.Event) -> None:
        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
        app = Reactor()

        @app.on("noop")
        async def noop(event: Event, ctx: Context) -> None:
            handle(None)

        @app.on("timed")
        async def timed(event: Event, ctx: Context) -> None:
            handle(event.payload["sent"])

        process.tune()  # as `reactor run` does
        async with anyio.create_task_group() as group:
            group.start_soon(
                lambda: app.run(Settings(database_url=url, canary_seconds=0), handle_signals=False)
            )
            await done.wait()
            app.drain()

    async def sender(self, url: str) -> Callable[[int], Awaitable[None]]:
        connection = await pool.connect(url)
        tenant = await connection.fetchval(
            "insert into tenants (name, agent_enabled) values ('t', true) returning id"
        )

        async def send(sent: int) -> None:
            await connection.execute("select reactor.emit($1, 'timed', $2)", tenant, {"sent": sent})

        return send


if __name__ == "__main__":
    # As `reactor run` is run.
    anyio.run(contender.run, Ours(), sys.argv[1:], backend_options={"use_uvloop": True})
