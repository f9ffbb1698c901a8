"""Several databases that one process works for: a replica in each, and one that is away holds up no other."""

import random
from collections.abc import Sequence
from typing import Any

import anyio
import structlog
from anyio.abc import TaskStatus

from reactor.db.pool import name_database
from reactor.errors import ConnectError, ReactorError
from reactor.replica import Replica
from reactor.telemetry import names

log = structlog.get_logger("reactor.databases")

#: When to try again a database that could not be reached, in seconds: at first, and at the latest.
_PAUSE = 1.0
_LONGEST_PAUSE = 30.0


async def run_each(
    replicas: Sequence[Replica], dsns: Sequence[str], *, task_status: TaskStatus[None]
) -> None:
    """Until all are drained. They start side by side, so that one whose host says nothing keeps no other
    waiting. Started: each replica has, or is to be tried again later.

    Raises ConnectError when the only database, or none of several, can be reached, and any other error that
    keeps one from starting. Those that work by then drain first: what they have in hand is not to blame.
    """
    if len(replicas) == 1:
        await replicas[0].run(task_status=task_status)
        return
    refused: list[ReactorError] = []
    away: dict[int, ConnectError] = {}

    async def start(n: int) -> None:
        try:
            error = await running.start(_run_one_of, replicas[n], dsns[n], name="replica")
        except ReactorError as wrong:
            refuse(wrong)
        else:
            if error is not None:
                away[n] = error

    def refuse(error: ReactorError) -> None:
        refused.append(error)
        for replica in replicas:
            replica.drain()

    async with anyio.create_task_group() as running:
        async with anyio.create_task_group() as starting:
            for n in range(len(replicas)):
                starting.start_soon(start, n, name="start")
        if len(away) == len(replicas):
            refuse(away[0])
        elif not refused:
            task_status.started()
    if refused:
        raise refused[0]


async def _run_one_of(replica: Replica, dsn: str, *, task_status: TaskStatus[Any]) -> None:
    """Its log lines, and the error that ends it, say which database they are about."""
    database = name_database(dsn)
    # In the context of this task, which all tasks of the replica and its handlers inherit.
    structlog.contextvars.bind_contextvars(database=database)
    pause, was_away = _PAUSE, False
    while True:
        try:
            await replica.run(task_status=anyio.TASK_STATUS_IGNORED if was_away else task_status)
        except ReactorError as error:
            # A wrong setting, or a database that nobody migrated, is for whoever starts the process. One that
            # was away may have come back unmigrated, from a backup, say, and the others go on.
            if not was_away and not isinstance(error, ConnectError):
                error.message = f"{database}: {error.message}"
                raise
            log.warning(names.DATABASE_AWAY, error=error.message, hint=error.hint, again_in_seconds=pause)
            replica.put_off()
            if not was_away:
                was_away = True
                error.message = f"{database}: {error.message}"
                task_status.started(error)
        else:
            return
        if await replica.is_asked_to_drain(within=pause * random.uniform(0.5, 1.0)):
            return
        pause = min(2 * pause, _LONGEST_PAUSE)
