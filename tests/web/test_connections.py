"""Who holds connections to the HTTP port and asks nothing keeps nobody else from it."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import anyio
import httpx2
import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from reactor import Settings
from reactor.web import connections, server
from reactor.web.server import bind, serve
from tests.patience import patience

HALF = b"GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: "
WHOLE = b"GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
BODY = b"POST /body HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 9\r\n\r\n1"
LONG = WHOLE.replace(b"/livez", b"/long")


class Port:
    """A port with one path that answers at once, and one that answers when it is told to."""

    def __init__(self, listening: socket.socket) -> None:
        self.host, self.port = listening.getsockname()[:2]
        self.asked, self.go = asyncio.Event(), asyncio.Event()

    async def live(self, _: Request) -> Response:
        return PlainTextResponse("live")

    async def slow(self, _: Request) -> Response:
        self.asked.set()
        await self.go.wait()
        return PlainTextResponse("done")

    async def body(self, request: Request) -> Response:
        return PlainTextResponse(str(len(await request.body())))

    async def long(self, _: Request) -> Response:
        return PlainTextResponse("x" * 50_000_000)

    @asynccontextmanager
    async def connection(self, *said: bytes) -> AsyncIterator[asyncio.StreamReader]:
        """Says one after the other, each when what came before was answered."""
        reader, writer = await asyncio.open_connection(self.host, self.port)
        try:
            for number, each in enumerate(said):
                if number:
                    await reader.readuntil(b"live")
                writer.write(each)
            yield reader
        finally:
            writer.close()

    async def asks(self, path: str) -> str:
        async with httpx2.AsyncClient(timeout=20) as client:
            return (await client.get(f"http://{self.host}:{self.port}{path}")).text


@asynccontextmanager
async def ported() -> AsyncIterator[Port]:
    listening = bind(Settings(http_port=0))
    assert listening is not None
    listening.listen(1000)
    port = Port(listening)
    async with anyio.create_task_group() as group:
        paths = {"/livez": port.live, "/slow": port.slow, "/long": port.long, "/body": port.body}
        every = [Route(path, answer, methods=["GET", "POST"]) for path, answer in paths.items()]
        group.start_soon(serve, listening, every)
        yield port
        group.cancel_scope.cancel()


async def ended(reader: asyncio.StreamReader) -> bytes:
    """Everything until the other side ends the connection."""
    async with patience(15):
        try:
            return await reader.read()
        except ConnectionResetError:
            return b""


SILENT = {"nothing": (), "half": (HALF,), "half of a second one": (WHOLE, HALF)}
DAWDLING = {**SILENT, "half of its body": (BODY,)}


@pytest.mark.parametrize("said", DAWDLING.values(), ids=DAWDLING)
async def test_more_of_them_than_there_may_be_keep_nobody_out(said: tuple[bytes, ...]) -> None:
    async with ported() as port, AsyncExitStack() as stack:
        working = asyncio.create_task(port.asks("/slow"))
        await port.asked.wait()
        idle = [await stack.enter_async_context(port.connection(*said)) for _ in range(connections.MOST + 20)]
        assert await port.asks("/livez") == "live"
        await ended(idle[0])
        port.go.set()
        assert await working == "done", "who has asked, and waits for the answer, is none of them"


@pytest.mark.parametrize("said", SILENT.values(), ids=SILENT)
async def test_whoever_does_not_end_a_request_is_not_waited_for(
    said: tuple[bytes, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "PATIENCE", 0.1)
    async with ported() as port:
        working = asyncio.create_task(port.asks("/slow"))
        await port.asked.wait()
        async with port.connection(*said) as reader:
            await ended(reader)
        port.go.set()
        assert await working == "done", "what is being answered may take its time"


async def test_an_answer_that_nobody_reads_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "PATIENCE", 0.1)
    monkeypatch.setattr(connections, "READ_WITHIN", 0.1)
    gone = asyncio.Event()

    class Watched(connections.HttpConnection):
        def connection_lost(self, exc: Exception | None) -> None:
            super().connection_lost(exc)
            gone.set()

    monkeypatch.setattr(server, "HttpConnection", Watched)
    async with ported() as port, port.connection(LONG), patience(15):
        await gone.wait()
