"""A clock that can be moved and stopped, for databases that are thrown away."""

from datetime import datetime, timedelta

from reactor.db.pool import Connection


class DatabaseClock:
    """Moves the clock that every function of schema reactor asks, in one test database.

    It replaces ``reactor.now()``. The leases of an app that runs meanwhile end like all others when time
    leaps over them, so move it before :func:`drain`, or inside :func:`running` only as far as that is meant.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._offset = timedelta(0)
        self._stopped: datetime | None = None

    async def now(self) -> datetime:
        """What time it is in the database."""
        moment: datetime = await self._connection.fetchval("select reactor.now()")
        return moment

    async def stop(self, at: datetime | None = None) -> None:
        """Let time stand still, now or at another moment, so that only :meth:`advance` moves it: nothing
        becomes due by itself, and no hour ends in the middle of a test.

        Raises ValueError when ``at`` has no time zone.
        """
        if at is not None and at.tzinfo is None:
            raise ValueError(f"{at} has no time zone; write datetime(…, tzinfo=UTC)")
        self._stopped = at or await self.now()
        await self._set()

    async def advance(self, by: timedelta) -> None:
        """Let time pass; whoever sleeps until a deadline is woken to look again."""
        if self._stopped is None:
            self._offset += by
        else:
            self._stopped += by
        await self._set()

    async def _set(self) -> None:
        if self._stopped is None:
            moment = f"clock_timestamp() + make_interval(secs => {self._offset.total_seconds()!r})"
        else:
            moment = f"'{self._stopped.isoformat()}'::timestamptz"
        await self._connection.execute(
            "create or replace function reactor.now() returns timestamptz "
            f"language sql volatile parallel safe return {moment}; "
            "select pg_notify('reactor', 'timer'), pg_notify('reactor', '')"
        )
