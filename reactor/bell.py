"""A bell: what several parties ring and one waits for."""

import asyncio


class Bell:
    """An event that several parties set and one waits for, with a time limit.

    A future of its own for each wait: whoever is woken here is what an event's latency waits for, and
    asyncio's event and timeout would take it through four frames more.
    """

    def __init__(self) -> None:
        self._rang = False
        self._waiter: asyncio.Future[None] | None = None

    def ring(self) -> None:
        self._rang = True
        self._wake()

    async def wait(self, seconds: float) -> bool:
        """Whether it rang within ``seconds``."""
        if not self._rang:
            loop = asyncio.get_running_loop()
            waiter = self._waiter = loop.create_future()
            timer = loop.call_later(seconds, self._wake)
            try:
                await waiter
            finally:
                timer.cancel()
                self._waiter = None
        rang, self._rang = self._rang, False
        return rang

    def clear(self) -> None:
        self._rang = False

    @property
    def is_ringing(self) -> bool:
        return self._rang

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
