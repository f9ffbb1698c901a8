"""A TCP proxy in front of the server's socket that can lose, delay and forget connections."""

import asyncio
import random
from pathlib import Path


class Proxy:
    """One listening port. Its faults apply to all of its connections, or to those that are open now."""

    def __init__(self, socket: Path) -> None:
        self._socket = socket
        self._server: asyncio.Server | None = None
        self._links: set[_Link] = set()
        self.port = 0
        #: seconds that each chunk waits, with as much again at random
        self.delay = 0.0
        #: new connections are accepted, and nothing of them ever arrives
        self.black_hole = False
        #: new connections are refused
        self.refuse = False

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
        for link in list(self._links):
            link.close()

    def forget_open(self, *, close_upstream: bool) -> int:
        """Half-open: what is open now stays open for the replica and carries nothing, ever again.

        The server's side is closed, or left as silent as the other.
        """
        for link in self._links:
            link.forget(close_upstream=close_upstream)
        return len(self._links)

    def reset_open(self) -> int:
        """Every open connection is cut, both ways."""
        links = list(self._links)
        for link in links:
            link.close()
        return len(links)

    def resume_open(self) -> None:
        """Ends a black hole for the connections that it held up: what was sent meanwhile arrives now."""
        for link in self._links:
            link.flowing.set()

    def hold_open(self) -> None:
        for link in self._links:
            link.flowing.clear()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.refuse:
            writer.transport.abort()
            return
        link = _Link(self, writer)
        self._links.add(link)
        try:
            if self.black_hole:
                link.flowing.clear()
            await link.flowing.wait()
            if link.closed:
                return
            up_reader, up_writer = await asyncio.open_unix_connection(str(self._socket))
            link.upstream = up_writer
            tasks = [
                asyncio.ensure_future(link.pump(reader, up_writer)),
                asyncio.ensure_future(link.pump(up_reader, writer)),
            ]
            link.tasks = tasks
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            await link.ended()
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            link.close()
            self._links.discard(link)

    async def pause(self) -> None:
        if self.delay:
            await asyncio.sleep(self.delay * random.uniform(1, 2))


class _Link:
    """One connection through the proxy."""

    def __init__(self, proxy: Proxy, downstream: asyncio.StreamWriter) -> None:
        self._proxy = proxy
        self._downstream = downstream
        self.upstream: asyncio.StreamWriter | None = None
        self.tasks: list[asyncio.Future[None]] = []
        self.flowing = asyncio.Event()
        self.flowing.set()
        self._forgotten = False
        self._closed = asyncio.Event()

    async def pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while chunk := await reader.read(65536):
            await self._proxy.pause()
            await self.flowing.wait()
            writer.write(chunk)
            await writer.drain()

    @property
    def closed(self) -> bool:
        return self._closed.is_set()

    async def ended(self) -> None:
        """One side ended. A forgotten connection stays open for the replica all the same."""
        if self._forgotten:
            await self._closed.wait()

    def forget(self, *, close_upstream: bool) -> None:
        self._forgotten = True
        self.flowing.clear()
        if close_upstream and self.upstream is not None:
            self.upstream.transport.abort()

    def close(self) -> None:
        self._closed.set()
        self.flowing.set()
        for task in self.tasks:
            task.cancel()
        for side in (self._downstream, self.upstream):
            if side is not None:
                side.transport.abort()
