"""A server that is there, and from which nothing comes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any


class Silence:
    """A server that takes every connection and says nothing; or nothing more after the login."""

    def __init__(self, upstream: str | None = None) -> None:
        self._upstream = upstream
        self._tasks: set[asyncio.Task[Any]] = set()
        self._over = asyncio.Event()
        #: how many came
        self.count = 0
        #: set when somebody is there who gets no answer
        self.asked = asyncio.Event()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.count += 1
        try:
            if self._upstream is not None:
                theirs, upstream = await asyncio.open_unix_connection(self._upstream)
                self._tasks.add(asyncio.create_task(_pump(reader, upstream)))
                said = b""
                while b"Z\x00\x00\x00\x05I" not in said:
                    said += (more := await theirs.read(65536))
                    writer.write(more)
            self.asked.set()
            await self._over.wait()
        finally:
            writer.close()

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[str]:
        """Gives its URL."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        try:
            yield f"postgresql://postgres@127.0.0.1:{server.sockets[0].getsockname()[1]}/x?sslmode=disable"
        finally:
            server.close()
            self._over.set()
            for task in self._tasks:
                task.cancel()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while chunk := await reader.read(65536):
        writer.write(chunk)
