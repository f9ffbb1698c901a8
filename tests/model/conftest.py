"""A stage for each test."""

from collections.abc import AsyncIterator

import pytest

from tests.model.protocol import Stage, staged


@pytest.fixture
async def stage(database_url: str) -> AsyncIterator[Stage]:
    """A database with the clock in the test's hand."""
    async with staged(database_url) as made:
        yield made
