"""An SMTP server in plain asyncio that breaks the conversation where it is told to."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field


@dataclass
class RudeSmtp:
    """`at` names the step (greeting, MAIL, RCPT, DATA, body, end) at which it does `what`: hang, close, or
    answer with that text. Without them it behaves."""

    at: str = ""
    what: str = ""
    # Whether it does so only the first time.
    once: bool = False
    port: int = 0
    # Messages that it took upon itself to deliver.
    accepted: list[bytes] = field(default_factory=list)

    def behave(self) -> None:
        self.at = self.what = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._step(writer, "greeting", "220 rude.test ESMTP")
            while line := (await reader.readline()).decode().strip():
                verb = line.split()[0].upper()
                if verb == "QUIT":
                    return
                if verb == "DATA":
                    await self._step(writer, "DATA", "354 go ahead")
                    if self.at == "body":
                        await reader.readline()
                        await self._step(writer, "body", "")
                    body = await reader.readuntil(b"\r\n.\r\n")
                    await self._step(writer, "end", "250 2.0.0 taken")
                    self.accepted.append(body)
                else:
                    await self._step(writer, verb, "250 OK")
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _step(self, writer: asyncio.StreamWriter, step: str, usual: str) -> None:
        told = self.what if step == self.at else usual
        if step == self.at and self.once:
            self.behave()
        if told == "close":
            writer.transport.abort()
            raise ConnectionAbortedError
        if told == "hang":
            await asyncio.Event().wait()
        # Not every server speaks UTF-8.
        writer.write(told.encode("latin-1") + b"\r\n")
        await writer.drain()
        if step == "end" and told != usual:
            raise ConnectionAbortedError  # refused after the data: nothing was accepted


@asynccontextmanager
async def rude_smtp(at: str, what: str) -> AsyncIterator[RudeSmtp]:
    rude = RudeSmtp(at, what)
    server = await asyncio.start_server(rude.serve, "127.0.0.1", 0)
    rude.port = server.sockets[0].getsockname()[1]
    async with server:
        yield rude
