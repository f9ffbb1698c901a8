"""A clock that can be moved, for databases that are thrown away."""

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

    async def now(self) -> datetime:
        """What time it is in the database."""
        moment: datetime = await self._connection.fetchval("select reactor.now()")
        return moment

    async def advance(self, by: timedelta) -> None:
        """Let time pass; whoever sleeps until a deadline is woken to look again."""
        self._offset += by
        seconds = self._offset.total_seconds()
        await self._connection.execute(
            "create or replace function reactor.now() returns timestamptz "
            "language sql volatile parallel safe "
            f"return clock_timestamp() + make_interval(secs => {seconds!r}); "
            "select pg_notify('reactor', 'timer'), pg_notify('reactor', '')"
        )
