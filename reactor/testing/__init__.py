"""For tests of apps, on a real server and with the real engine.

    pytest_plugins = ["reactor.testing.fixtures"]           # in conftest.py

    async def test_reminder(reactor_database):
        async with connected(reactor_database) as conn:
            await conn.execute("insert into invoices …")
        await drain(app, reactor_database)

:func:`drain` runs the app until nothing is left that could be handled now; :func:`running` runs it around a
block; :class:`DatabaseClock` lets time pass; :class:`RecordedContext` and :func:`make_event` test a handler
alone, as a function.
"""

from reactor.db.pool import connected
from reactor.testing.clock import DatabaseClock
from reactor.testing.drain import Left, drain, running, settled
from reactor.testing.recorded import Emitted, RecordedContext, make_event

__all__ = [
    "DatabaseClock",
    "Emitted",
    "Left",
    "RecordedContext",
    "connected",
    "drain",
    "make_event",
    "running",
    "settled",
]
