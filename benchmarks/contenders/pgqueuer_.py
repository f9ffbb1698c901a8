"""pgqueuer, with the batch size of its own benchmark."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

import asyncpg
from pgqueuer import PgQueuer
from pgqueuer.db import AsyncpgDriver
from pgqueuer.models import Job
from pgqueuer.queries import Queries

from benchmarks import contender


class Peer:
    async def setup(self, url: str) -> None:
        connection = await asyncpg.connect(url)
        await Queries(AsyncpgDriver(connection)).install()
        await connection.close()

    async def fill(self, url: str, count: int, tenants: int) -> None:
        connection = await asyncpg.connect(url)
        queries = Queries(AsyncpgDriver(connection))
        for _ in range(count // 2000):
            await queries.enqueue(["noop"] * 2000, [None] * 2000, [0] * 2000)
        await connection.close()

    async def work(self, url: str, handle: Callable[[int | None], None], done: asyncio.Event) -> None:
        connection = await asyncpg.connect(url)
        app = PgQueuer(AsyncpgDriver(connection))

        @app.entrypoint("noop")
        async def noop(job: Job) -> None:
            handle(int(job.payload) if job.payload else None)

        worker = asyncio.create_task(app.run(batch_size=100))
        await done.wait()
        app.shutdown.set()
        with contextlib.suppress(TimeoutError, asyncio.CancelledError):
            await asyncio.wait_for(worker, 5)

    async def sender(self, url: str) -> Callable[[int], Awaitable[None]]:
        connection = await asyncpg.connect(url)
        queries = Queries(AsyncpgDriver(connection))

        async def send(sent: int) -> None:
            await queries.enqueue("noop", str(sent).encode())

        return send


if __name__ == "__main__":
    contender.main(Peer())
