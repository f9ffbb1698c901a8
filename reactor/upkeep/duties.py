"""What the leader does: the deadline timer, the jobs that it finds due, the rotation of the outbox, the
measuring of the backlog."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import anyio

from reactor.bell import Bell
from reactor.db import calls
from reactor.db.borrow import borrow
from reactor.db.pool import Pool
from reactor.handlers import Job
from reactor.settings import Settings
from reactor.upkeep.backlog import Backlog
from reactor.upkeep.deadlines import Deadlines
from reactor.upkeep.housekeeping import Housekeeping
from reactor.upkeep.rotation import Rotation
from reactor.upkeep.schedule import Schedule

if TYPE_CHECKING:
    from reactor.telemetry.spans import Spans


class Duties:
    """One for a replica, whether it leads or not; the leader runs them for the length of its term."""

    def __init__(
        self,
        *,
        pool: Pool,
        settings: Settings,
        jobs: Sequence[Job],
        replica: str,
        database: str,
        resources: Any,
        spans: "Spans | None",
        bell: Bell,
        rotation: Rotation,
        listening: Callable[[], bool],
        at_most: Callable[[], timedelta],
    ) -> None:
        self._pool = pool
        self._settings = settings
        self._jobs = jobs
        self._replica = replica
        self._resources = resources
        self._spans = spans
        self._bell = bell
        self._rotation = rotation
        self._listening = listening
        self._at_most = at_most
        self._backlog = Backlog(pool=pool, database=database)
        #: whether this replica does them now
        self.leading = False
        #: a gate opened, so events that were set aside may be ready again
        self.gate_moved = False

    async def run(self, term: int) -> None:
        """Until cancelled. Raises NotLeader when the term is over."""
        self.leading = True
        try:
            async with anyio.create_task_group() as group:
                housekeeping = Housekeeping(pool=self._pool, term=term, settings=self._settings)
                schedule = Schedule(
                    pool=self._pool,
                    jobs=[*housekeeping.jobs, *self._jobs],
                    term=term,
                    replica=self._replica,
                    resources=self._resources,
                    spans=self._spans,
                    group=group,
                    ended=self._bell.ring,
                )
                async with borrow(self._pool) as connection:
                    await schedule.register(connection)
                group.start_soon(self._rotation.run, term, name="rotation")
                group.start_soon(self._backlog.run, name="backlog")

                async def run_due(connection: calls.Connection) -> None:
                    if self.gate_moved or not self._listening():
                        self.gate_moved = False
                        await housekeeping.unpark(connection)
                    await schedule.start_due(connection)

                await Deadlines(
                    pool=self._pool,
                    bell=self._bell,
                    term=term,
                    jobs=schedule.names,
                    at_most=self._at_most,
                    run_jobs=run_due,
                ).run()
        except BaseExceptionGroup as group_error:
            raise _first(group_error) from None
        finally:
            self.leading = False


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
