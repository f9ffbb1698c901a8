"""Connections to the HTTP port, which are few and end.

Whoever can reach it could otherwise hold as many as the process may have files open, by asking nothing, and
none would be left for the database or a probe.
"""

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

#: At most so many. For one more, whoever has been asking the longest and is not done has to go.
MOST = 128
#: Seconds until a request must have come, from when its connection is there or had its last answer …
PATIENCE = 10.0
#: … and those more in which what was answered must be read.
READ_WITHIN = 60.0


class HttpConnection(H11Protocol):
    """One of them; uvicorn has a time for those that were answered and say nothing, and for no others."""

    _since = 0.0
    _timer: asyncio.TimerHandle | None = None

    @property
    def is_asking(self) -> bool:
        """There is no request, or not all of one."""
        return self.cycle is None or self.cycle.response_complete or self.cycle.more_body

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._wait()
        if len(self.connections) > MOST:
            asking = [it for it in self.connections if isinstance(it, HttpConnection) and it.is_asking]
            min(asking, key=lambda it: it._since).transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        self._wait()
        super().on_response_complete()

    def _wait(self) -> None:
        self._forget()
        self._since = self.loop.time()
        self._timer = self.loop.call_later(PATIENCE, self._end)

    def _end(self) -> None:
        if self.cycle is None or self.cycle.response_complete:
            self.transport.close()
            # Which sends the answer first, for as long as somebody reads it.
            self._timer = self.loop.call_later(READ_WITHIN, self.transport.abort)

    def _forget(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
