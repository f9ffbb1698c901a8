"""A database for a whole file of tests, each in a transaction that is rolled back: cheap, so many."""

from collections.abc import AsyncIterator, Iterator

import pytest

from reactor.db import pool
from tests.conftest import Server
from tests.sql import people


@pytest.fixture(scope="module")
def shared_url(server: Server, template: str) -> Iterator[str]:
    """A migrated database that the tests of one file share."""
    name = server.create(template)
    yield server.url(name)
    server.drop(name)


@pytest.fixture
async def rolled_back(shared_url: str) -> AsyncIterator[pool.Connection]:
    """A superuser's connection in a transaction of which nothing will remain."""
    async with pool.connected(shared_url, name="test") as conn:
        transaction = conn.transaction()
        await transaction.start()
        yield conn
        await transaction.rollback()


@pytest.fixture
async def two(rolled_back: pool.Connection) -> tuple[people.Tenant, people.Tenant]:
    """Two tenants with a row in every table."""
    return await people.everything(rolled_back, "Ours"), await people.everything(rolled_back, "Theirs")
