"""The world outside the database: ``python -m tests.failure.outside http|smtp PORT FILE``.

A real HTTP server and a real mail server, each a process of its own. What arrives is a line of FILE, written
before the answer, so that a receiver that is killed forgets nothing. Both misbehave now and then: they answer
late, with an error, or not at all, also after they took the message.
"""

import asyncio
import os
import random
import signal
import sys
from email import message_from_bytes
from email.policy import SMTP as SMTP_POLICY
from typing import Any, Literal

import orjson
import uvicorn
from aiosmtpd.smtp import SMTP, Envelope, Session

Answer = Literal["ok", "late", "refused", "error", "cut"]

#: How often it answers how. `refused`: before it took the message; `error`, `cut`: after it did.
ANSWERS: dict[Answer, float] = {"ok": 84, "late": 5, "refused": 3, "error": 4, "cut": 4}


class Book:
    """The file. One write a line: nothing is lost with the process, and no line is half."""

    def __init__(self, path: str, channel: str) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        self._channel = channel

    def note(self, subject: str, key: str, answer: Answer) -> None:
        line = {"channel": self._channel, "subject": subject, "key": key, "answer": answer}
        os.write(self._file, orjson.dumps(line) + b"\n")


def draw() -> Answer:
    return random.choices(list(ANSWERS), list(ANSWERS.values()))[0]


def web(book: Book) -> Any:
    """An ASGI app that takes POST /SUBJECT."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http"
        while (await receive()).get("more_body"):
            pass
        headers = dict(scope["headers"])
        answer = draw()
        if answer != "refused":
            book.note(scope["path"].lstrip("/"), headers[b"webhook-id"].decode(), answer)
        if answer == "late":
            await asyncio.sleep(random.uniform(0.2, 1))
        status = {"refused": 503, "error": 500}.get(answer, 200)
        # An answer that is shorter than it said it would be: uvicorn closes the connection.
        length = b"100" if answer == "cut" else b"0"
        await send(
            {"type": "http.response.start", "status": status, "headers": [(b"content-length", length)]}
        )
        if answer == "cut":
            return
        await send({"type": "http.response.body"})

    return app


class Postbox:
    """aiosmtpd's handler."""

    def __init__(self, book: Book) -> None:
        self._book = book

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        assert isinstance(envelope.content, bytes)
        message = message_from_bytes(envelope.content, policy=SMTP_POLICY)
        answer = draw()
        if answer == "refused":
            return "451 4.3.0 come back later"
        self._book.note(str(message["Subject"]), str(message["X-Entity-Ref-ID"]), answer)
        if answer == "late":
            await asyncio.sleep(random.uniform(0.2, 1))
        elif answer == "error":
            return "451 4.3.0 it was taken all the same"
        elif answer == "cut":
            assert server.transport is not None
            server.transport.abort()
        return "250 taken"


async def receive_mail(port: int, book: Book) -> None:
    loop = asyncio.get_running_loop()
    await loop.create_server(
        lambda: SMTP(Postbox(book), hostname="proof.test", enable_SMTPUTF8=True, loop=loop), "127.0.0.1", port
    )
    await asyncio.Event().wait()


def main(kind: str, port: str, path: str) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    book = Book(path, kind)
    match kind:
        case "http":
            uvicorn.run(web(book), host="127.0.0.1", port=int(port), log_level="critical", lifespan="off")
        case "smtp":
            asyncio.run(receive_mail(int(port), book))
        case _:
            raise SystemExit(f"http or smtp, not {kind}")


if __name__ == "__main__":
    main(*sys.argv[1:])
