"""A receiver of webhooks on the loopback interface: what a tenant would run to hear of alerts.

It checks every signature by the Standard Webhooks scheme, as a receiver must, with code of its own.
"""

import asyncio
import base64
import hashlib
import hmac
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

_MOST_BYTES = 1 << 20


class Hook:
    """Counts what came, by whether its signature was right."""

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)
        self.url = ""
        self.genuine = 0
        self.forged = 0

    @property
    def secret(self) -> str:
        """As it is written into a tenant's settings."""
        return "whsec_" + base64.b64encode(self._key).decode()

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One request on one connection."""
        try:
            async with asyncio.timeout(10):
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                headers = {}
                for line in head.split("\r\n")[1:]:
                    name, _, value = line.partition(":")
                    headers[name.strip().lower()] = value.strip()
                body = await reader.readexactly(min(int(headers.get("content-length", "0")), _MOST_BYTES))
                genuine = self.is_genuine(headers, body)
                self.genuine += genuine
                self.forged += not genuine
                status = "204 No Content" if genuine else "401 Unauthorized"
                writer.write(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
                await writer.drain()
        except (OSError, EOFError, ValueError, TimeoutError, asyncio.LimitOverrunError):
            pass  # whoever that was, it was no webhook
        finally:
            writer.close()

    def is_genuine(self, headers: dict[str, str], body: bytes) -> bool:
        """Whether one of the signatures is ours: HMAC-SHA256 over id, timestamp and body."""
        signed = f"{headers.get('webhook-id')}.{headers.get('webhook-timestamp')}.".encode() + body
        right = base64.b64encode(hmac.new(self._key, signed, hashlib.sha256).digest()).decode()
        given = headers.get("webhook-signature", "").split()
        return any(hmac.compare_digest(one, f"v1,{right}") for one in given)


@asynccontextmanager
async def receiving() -> AsyncIterator[Hook]:
    """A receiver on a free port, for as long as the block lasts."""
    hook = Hook()
    server = await asyncio.start_server(hook.answer, "127.0.0.1", 0)
    hook.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/alerts"
    try:
        yield hook
    finally:
        server.close()
