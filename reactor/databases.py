"""Several databases that one process works for: a replica in each, and one that is away holds up no other."""

import random
from collections.abc import Sequence
from typing import Any

import anyio
import structlog
from anyio.abc import TaskGroup, TaskStatus

from reactor.db.pool import describe_database
from reactor.errors import ConnectError, ReactorError
from reactor.replica import Replica
from reactor.telemetry import names

log = structlog.get_logger("reactor.databases")

#: When to try again a database that could not be reached, in seconds: at first, and at the latest.
_PAUSE = 1.0
_LONGEST_PAUSE = 30.0


async def start_each(group: TaskGroup, replicas: Sequence[Replica], dsns: Sequence[str]) -> None:
    """Returns when each replica has started, or is to be tried again later.

    Raises ConnectError when the only database, or none of several, can be reached, and any other error that
    keeps one from starting.
    """
    if len(replicas) == 1:
        await group.start(replicas[0].run, name="replica")
        return
    away: list[ConnectError | None] = [
        await group.start(_run_one_of, replica, dsn, name="replica")
        for replica, dsn in zip(replicas, dsns, strict=True)
    ]
    errors = [error for error in away if error is not None]
    if len(errors) == len(replicas):
        raise errors[0]


async def _run_one_of(replica: Replica, dsn: str, *, task_status: TaskStatus[Any]) -> None:
    """Its log lines, and the error that ends it, say which database they are about."""
    database = describe_database(dsn).removeprefix("the database server ")
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
