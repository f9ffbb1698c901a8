"""awa, its Rust worker with 50 slots calling a Python handler."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import awa

from benchmarks import contender


@dataclass
class Noop:
    sent: int | None = None


class Peer:
    async def setup(self, url: str) -> None:
        await awa.AsyncClient(url).migrate()

    async def fill(self, url: str, count: int, tenants: int) -> None:
        client = awa.AsyncClient(url)
        for _ in range(count // 1000):
            await client.insert_many_copy([Noop() for _ in range(1000)], queue="q")

    async def work(self, url: str, handle: Callable[[int | None], None], done: asyncio.Event) -> None:
        client = awa.AsyncClient(url)

        @client.task(Noop, queue="q")
        async def noop(job: "awa.Job[Noop]") -> None:
            handle(job.args.sent)

        await client.start([("q", 50)])
        await done.wait()
        await client.shutdown()

    async def sender(self, url: str) -> Callable[[int], Awaitable[None]]:
        client = awa.AsyncClient(url)

        async def send(sent: int) -> None:
            await client.insert(Noop(sent), queue="q")

        return send


if __name__ == "__main__":
    contender.main(Peer())
