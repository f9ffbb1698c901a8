"""The floor: claim and delete in batches with bare asyncpg. No lease, no fence, no history, no retry."""

import asyncio
import json
from collections.abc import Awaitable, Callable

import asyncpg

from benchmarks import contender


class Floor:
    async def setup(self, url: str) -> None:
        connection = await asyncpg.connect(url)
        await connection.execute(
            "create table job (id bigint generated always as identity primary key, payload jsonb)"
        )
        await connection.close()

    async def fill(self, url: str, count: int, tenants: int) -> None:
        connection = await asyncpg.connect(url)
        await connection.execute("insert into job (payload) select '{}' from generate_series(1, $1)", count)
        await connection.execute("analyze job")
        await connection.close()

    async def work(self, url: str, handle: Callable[[int | None], None], done: asyncio.Event) -> None:
        connection = await asyncpg.connect(url)
        listener = await asyncpg.connect(url)
        rung = asyncio.Event()
        await listener.add_listener("job", lambda *_: rung.set())

        async def noop(sent: int | None) -> None:
            handle(sent)

        while not done.is_set():
            rung.clear()
            rows = await connection.fetch(
                "delete from job where id in ("
                "select id from job order by id limit 200 for update skip locked) returning payload"
            )
            for row in rows:
                await noop(json.loads(row["payload"]).get("sent"))
            if not rows:
                await rung.wait()
        await connection.close()
        await listener.close()

    async def sender(self, url: str) -> Callable[[int], Awaitable[None]]:
        connection = await asyncpg.connect(url)

        async def send(sent: int) -> None:
            await connection.execute(
                "with i as (insert into job (payload) values ($1)) select pg_notify('job', '')",
                json.dumps({"sent": sent}),
            )

        return send


if __name__ == "__main__":
    contender.main(Floor())
