"""The orderly end of a replica: it claims no more, finishes or hands over what is in flight, and releases."""

import asyncio
from typing import TYPE_CHECKING

import anyio
import asyncpg
import structlog

from reactor.db import calls
from reactor.db.borrow import LOST, borrow
from reactor.engine.dispatcher import Dispatcher
from reactor.engine.settler import Settler
from reactor.telemetry import names

if TYPE_CHECKING:
    Pool = asyncpg.Pool[asyncpg.Record]
else:
    Pool = asyncpg.Pool

log = structlog.get_logger("reactor.drain")

#: Seconds that cancelled handlers have to clean up, and the server to take us off its list.
_LAST = 5


async def drain(
    pool: Pool, settler: Settler, dispatcher: Dispatcher, *, replica: str, seconds: float
) -> None:
    """What waits for a slot is given back at once; what runs may finish within so many ``seconds``."""
    waiting = dispatcher.take_waiting(0)
    if waiting:
        await settler.abandon(waiting, interrupted=False, reason=None)
    with anyio.move_on_after(seconds):
        while dispatcher.active:
            dispatcher.freed.clear()
            await dispatcher.freed.wait()
        while settler.settling:
            settler.settled.clear()
            await settler.settled.wait()
    for run in dispatcher.active:
        if run.task is not None:
            run.task.cancel()
    with anyio.move_on_after(_LAST):
        while dispatcher.active:
            dispatcher.freed.clear()
            await dispatcher.freed.wait()
    try:
        async with asyncio.timeout(_LAST), borrow(pool) as connection:
            await calls.retire(connection, replica)
    except LOST as error:
        log.warning(names.HEARTBEAT_FAILED, error=str(error) or type(error).__name__)
