"""procrastinate, with concurrency 50 (more did not help it)."""

import asyncio
from collections.abc import Awaitable, Callable

import procrastinate

from benchmarks import contender


def _app(url: str) -> procrastinate.App:
    return procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=url))


class Peer:
    async def setup(self, url: str) -> None:
        app = _app(url)
        async with app.open_async():
            await app.schema_manager.apply_schema_async()

    async def fill(self, url: str, count: int, tenants: int) -> None:
        app = _app(url)
        task = app.task(name="noop", queue="q")(_nothing)
        async with app.open_async():
            for _ in range(count // 1000):
                await task.batch_defer_async(*({"sent": None} for _ in range(1000)))

    async def work(self, url: str, handle: Callable[[int | None], None], done: asyncio.Event) -> None:
        app = _app(url)

        @app.task(name="noop", queue="q")
        async def noop(sent: int | None) -> None:
            handle(sent)

        async with app.open_async():
            worker = asyncio.create_task(
                app.run_worker_async(concurrency=50, install_signal_handlers=False, delete_jobs="successful")
            )
            await done.wait()
            worker.cancel()
            await asyncio.gather(worker, return_exceptions=True)

    async def sender(self, url: str) -> Callable[[int], Awaitable[None]]:
        app = _app(url)
        await app.open_async()
        task = app.task(name="noop", queue="q")(_nothing)

        async def send(sent: int) -> None:
            await task.defer_async(sent=sent)

        return send


async def _nothing(sent: int | None) -> None: ...


if __name__ == "__main__":
    contender.main(Peer())
