"""A bell: what several parties ring and one waits for."""

import asyncio
from contextlib import suppress


class Bell:
    """An event that several parties set and one waits for, with a time limit."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def ring(self) -> None:
        self._event.set()

    async def wait(self, seconds: float) -> bool:
        """Whether it rang within ``seconds``."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._event.wait()
        rang = self._event.is_set()
        self._event.clear()
        return rang

    def clear(self) -> None:
        self._event.clear()

    @property
    def is_ringing(self) -> bool:
        return self._event.is_set()
