"""``python -m benchmarks.consumer URL``: deletes the rows of the plain outbox, a hundred times a second.

The least that anybody who consumes an outbox beside its writers asks of the server: no lease, no fence, no
history. It begins and ends as benchmarks/replica.py does.
"""

import asyncio
import sys
import time

import asyncpg
import uvloop

from benchmarks.contender import say

_PAUSE = 0.01
_MOST = 1000
_TAKE = (
    f"delete from outbox where id in (select id from outbox order by id limit {_MOST}) "
    "returning tenant_id, subject"
)


async def main(url: str) -> None:
    count = last = 0
    say(ready=True)
    await asyncio.to_thread(sys.stdin.readline)
    connection = await asyncpg.connect(url)
    say(running=True)
    told = asyncio.create_task(asyncio.to_thread(sys.stdin.readline))
    while not told.done():
        rows = await connection.fetch(_TAKE)
        if rows:
            count += len(rows)
            last = time.monotonic_ns()
        if len(rows) < _MOST:
            await asyncio.sleep(_PAUSE)
    await connection.close()
    say(count=count, last=last)


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1]))
