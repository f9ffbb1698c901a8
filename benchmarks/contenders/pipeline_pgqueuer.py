"""pgqueuer at the real work, with the batch size of its own benchmark."""

import json

import asyncpg
from pgqueuer import PgQueuer
from pgqueuer.db import AsyncpgDriver
from pgqueuer.models import Job
from pgqueuer.queries import Queries

from benchmarks import judging


async def fill(url: str, orders: list[tuple[str, str]]) -> None:
    connection = await asyncpg.connect(url)
    queries = Queries(AsyncpgDriver(connection))
    await queries.install()
    await queries.enqueue(
        ["order"] * len(orders), [json.dumps(order).encode() for order in orders], [0] * len(orders)
    )
    await connection.close()


async def work(url: str, judge: judging.Judge) -> None:
    app = PgQueuer(AsyncpgDriver(await asyncpg.connect(url)))

    @app.entrypoint("order")
    async def order(job: Job) -> None:
        assert job.payload is not None
        await judge(*json.loads(job.payload))

    await app.run(batch_size=100)


if __name__ == "__main__":
    judging.main(fill, work)
