"""Servers to send to: SMTP and HTTP, both real, both on loopback, both misbehaving on demand."""

import asyncio
import email
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email.message import Message

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import MISSING, AuthResult, LoginPassword


@dataclass
class Postbox:
    """An aiosmtpd handler: keeps what came, and answers as the test says."""

    messages: list[Message] = field(default_factory=list)
    recipients: list[str] = field(default_factory=list)
    connections: set[tuple[str, int]] = field(default_factory=set)
    # Answers to RCPT and DATA, by recipient; anything else is accepted.
    rcpt: dict[str, str] = field(default_factory=dict)
    data: dict[str, str] = field(default_factory=dict)
    # Accept the message, then drop the connection instead of answering.
    hang_up_after_data: bool = False

    # Accept the message, then neither answer nor hang up.
    hold_after_data: asyncio.Event | None = None
    # Names of the commands that carry a login.
    commands: list[str] = field(default_factory=list)

    async def handle_AUTH(self, server, session, envelope, args):
        self.commands.append("AUTH")
        return MISSING

    async def handle_RCPT(self, server, session, envelope, address, options):
        if address in self.rcpt:
            return self.rcpt[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        [recipient] = envelope.rcpt_tos
        if recipient in self.data:
            return self.data[recipient]
        self.messages.append(email.message_from_bytes(envelope.content))
        self.recipients.append(recipient)
        self.connections.add(session.peer)
        if self.hold_after_data is not None:
            await self.hold_after_data.wait()
        if self.hang_up_after_data:
            server.transport.abort()
        return "250 2.0.0 queued"


@dataclass
class Refusing(Postbox):
    """A mail server that is up, and takes nothing while it is told so."""

    down: bool = False
    refused: int = 0

    async def handle_RCPT(self, server, session, envelope, address, options):
        if self.down:
            self.refused += 1
            return "451 4.3.0 the disk is full"
        return await super().handle_RCPT(server, session, envelope, address, options)


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@asynccontextmanager
async def smtp_server(
    postbox: Postbox, *, port: int | None = None, password: str | None = None, tls_context=None
) -> AsyncIterator[int]:
    """The server's port. With a password it insists on STARTTLS and a login as user."""
    options = {}
    if password is not None:

        def authenticate(server, session, envelope, mechanism, data):
            good = isinstance(data, LoginPassword) and data.password == password.encode()
            return AuthResult(success=good, handled=False)

        options = {
            "authenticator": authenticate,
            "auth_required": True,
            "auth_require_tls": True,
            "tls_context": tls_context,
            "require_starttls": True,
        }
    for attempt in range(5):
        controller = Controller(postbox, hostname="127.0.0.1", port=port or free_port(), **options)
        try:
            await asyncio.to_thread(controller.start)
            break
        except OSError:  # somebody else has taken it since
            if attempt == 4:
                raise
            await asyncio.sleep(0.2)
    try:
        yield controller.port
    finally:
        await asyncio.to_thread(controller.stop)


@dataclass
class Request:
    path: str
    headers: dict[str, str]
    body: bytes

    def json(self):
        return json.loads(self.body)


Respond = Callable[[Request], Awaitable[bytes | None]]


@dataclass
class HttpReceiver:
    """Requests that came, and how the next ones are answered."""

    port: int = 0
    requests: list[Request] = field(default_factory=list)
    respond: Respond | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"


def answer(status: int = 200, body: bytes = b"{}", **headers: str) -> bytes:
    """A whole HTTP response; Retry_After='5' becomes the header Retry-After."""
    lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(body)}", "Connection: close"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


@asynccontextmanager
async def http_receiver(*, tls_context=None) -> AsyncIterator[HttpReceiver]:
    """An HTTP server in plain asyncio, so that it can misbehave at every step."""
    receiver = HttpReceiver()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            first, *lines = head.strip().split("\r\n")
            headers = {
                name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)
            }
            body = await reader.readexactly(int(headers.get("content-length", "0")))
            request = Request(first.split(" ")[1], headers, body)
            receiver.requests.append(request)
            response = answer() if receiver.respond is None else await receiver.respond(request)
            if response is not None:
                writer.write(response)
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls_context)
    receiver.port = server.sockets[0].getsockname()[1]
    async with server:
        yield receiver
