"""A database for each file of fuzz tests, and how many examples there are.

In the suite the examples are the same every time, so that a red test is somebody's change. To search on, with
other ones at every run: ``REACTOR_FUZZ=50 pytest tests/fuzz`` (fifty times as many).
"""

import asyncio
import os
from collections.abc import Awaitable, Iterator
from contextlib import AsyncExitStack
from typing import TypeVar
from uuid import UUID

import pytest
from hypothesis import HealthCheck, settings

from reactor.db import pool
from tests.conftest import Server

T = TypeVar("T")
_TIMES = int(os.environ.get("REACTOR_FUZZ", "0"))


def examples(count: int) -> settings:
    """``count`` in the suite; more, and new ones, when REACTOR_FUZZ says so."""
    return settings(
        max_examples=count * max(1, _TIMES),
        derandomize=not _TIMES,
        database=None,
        deadline=None,
        print_blob=True,
        suppress_health_check=list(HealthCheck),
    )


class Desk:
    """A migrated database, as its superuser, and the loop that its connection lives in."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.loop = asyncio.new_event_loop()
        self._stack = AsyncExitStack()
        self.conn: pool.Connection = self.do(
            self._stack.enter_async_context(pool.connected(url, name="fuzz"))
        )
        self.tenant: UUID = self.do(
            self.conn.fetchval("insert into public.tenants (name) values ('fuzz') returning id")
        )

    def do(self, work: Awaitable[T], within: float = 60) -> T:
        async def bounded() -> T:
            async with asyncio.timeout(within):
                return await work

        return self.loop.run_until_complete(bounded())

    def close(self) -> None:
        self.do(self._stack.aclose())
        self.loop.close()


@pytest.fixture(scope="module")
def desk(server: Server, template: str) -> Iterator[Desk]:
    name = server.create(template)
    made = Desk(server.url(name))
    yield made
    made.close()
    server.drop(name)
