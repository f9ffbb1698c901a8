"""``python -m benchmarks.writer URL TABLE CLIENTS SECONDS TENANTS``: prints inserts a second."""

import asyncio
import random
import sys
import time
import uuid

import asyncpg


async def main(url: str, table: str, clients: int, seconds: float, tenants: list[uuid.UUID]) -> None:
    connections = [await asyncpg.connect(url) for _ in range(clients)]
    statements = [
        await c.prepare(f"insert into {table} (tenant_id, body) values ($1, 'text')") for c in connections
    ]
    written = 0
    until = time.monotonic() + seconds

    async def write(statement: asyncpg.prepared_stmt.PreparedStatement) -> None:
        nonlocal written
        while time.monotonic() < until:
            await statement.fetch(random.choice(tenants))
            written += 1

    began = time.monotonic()
    await asyncio.gather(*(write(statement) for statement in statements))
    print(written / (time.monotonic() - began))


if __name__ == "__main__":
    url, table, clients, seconds, tenants = sys.argv[1:]
    asyncio.run(main(url, table, int(clients), float(seconds), [uuid.UUID(t) for t in tenants.split(",")]))
