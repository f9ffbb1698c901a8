"""chancy, with its asyncio executor and eager polling.

Without eager polling it fetches one batch a polling interval, a second at least: 20,000 jobs take minutes.
"""

import asyncio
from collections.abc import Awaitable, Callable

from chancy import Chancy, Queue, Worker, job

from benchmarks import contender

_handle: Callable[[int | None], None] = print


@job()
async def noop(*, sent: int | None = None) -> None:
    _handle(sent)


_QUEUE = Queue(
    "default",
    concurrency=500,
    executor="chancy.executors.asyncex.AsyncExecutor",
    polling_interval=1,
    eager_polling=True,
)


class Peer:
    async def setup(self, url: str) -> None:
        async with Chancy(url) as chancy:
            await chancy.migrate()
            await chancy.declare(_QUEUE)

    async def fill(self, url: str, count: int, tenants: int) -> None:
        async with Chancy(url) as chancy:
            for _ in range(count // 1000):
                async for _ in chancy.push_many([noop.job] * 1000):
                    pass

    async def work(self, url: str, handle: Callable[[int | None], None], done: asyncio.Event) -> None:
        global _handle
        _handle = handle
        async with Chancy(url) as chancy, Worker(chancy, register_signal_handlers=False):
            await done.wait()

    async def sender(self, url: str) -> Callable[[int], Awaitable[None]]:
        chancy = Chancy(url)
        await chancy.__aenter__()

        async def send(sent: int) -> None:
            await chancy.push(noop.job.with_kwargs(sent=sent))

        return send


if __name__ == "__main__":
    contender.main(Peer())
