"""``/api/stream``: server-sent events, one for each look, for as long as a browser watches.

A browser that reads slowly gets fewer looks and makes nobody wait; one that is gone is forgotten. At most so
many watch one process; the others are told so.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

import anyio
from starlette.responses import PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

from reactor.db.json_text import to_json
from reactor.web.live import Live, Look

MOST = 40
#: Seconds for which one stream lasts, until the browser asks anew and with it is looked at anew.
_LASTS = 600.0
#: Seconds until something is said, if only that there is nothing to say.
_SILENCE = 10.0
#: Seconds that a browser may leave what was sent to it unread.
_PATIENCE = 30.0

HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    # Proxies that collect an answer before they pass it on would never pass this one on.
    (b"x-accel-buffering", b"no"),
]


class Streams:
    """Those of one process."""

    def __init__(self, *, most: int = MOST) -> None:
        self._most = most
        self._ended = asyncio.Event()
        self.count = 0

    def end(self) -> None:
        """All of them, now: the server stops."""
        self._ended.set()

    def answer(self, live: Live, told: Callable[[Look], str]) -> Response:
        """A stream of what ``told`` makes of each look, or why there is none."""
        if self.count >= self._most:
            return PlainTextResponse(
                f"{self._most} browsers watch this replica already; the pages work all the same\n",
                503,
                {"Retry-After": "60"},
            )
        return _Stream(self, live, told)

    @property
    def ended(self) -> asyncio.Event:
        return self._ended


class _Stream(Response):
    def __init__(self, streams: Streams, live: Live, told: Callable[[Look], str]) -> None:
        super().__init__()
        self._streams = streams
        self._live = live
        self._told = told

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] == "HEAD":
            await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
            await send({"type": "http.response.body", "body": b""})
            return
        self._streams.count += 1
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(self._until, _gone(receive), group.cancel_scope, name="browser leaves")
                group.start_soon(
                    self._until, self._streams.ended.wait(), group.cancel_scope, name="streams end"
                )
                with anyio.move_on_after(_LASTS), suppress(OSError, TimeoutError):
                    await self._tell(send)
                group.cancel_scope.cancel()
        finally:
            self._streams.count -= 1
        with anyio.move_on_after(1), suppress(OSError):
            await send({"type": "http.response.body", "body": b""})

    async def _tell(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
        told = 0
        while True:
            look = await self._live.latest()
            text = ": nothing new\n\n" if look.number == told else self._told(look)
            told = look.number
            with anyio.fail_after(_PATIENCE):
                await send({"type": "http.response.body", "body": text.encode(), "more_body": True})
            # Proxies and browsers take a long silence for the end.
            await anyio.sleep(min(max(self._live.pause, 0.05), _SILENCE))

    @staticmethod
    async def _until(what: Awaitable[object], scope: anyio.CancelScope) -> None:
        await what
        scope.cancel()


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def event(name: str, data: object) -> str:
    """One server-sent event; JSON has no line breaks of its own."""
    return f"event: {name}\ndata: {to_json(data)}\n\n"
