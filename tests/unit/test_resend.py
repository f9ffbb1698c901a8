"""A Resend-style provider that misbehaves: what is known of the message then, and how long it may take."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest

from reactor.outbound.email import Email, ErrorType, SendFailed, Verdict
from reactor.outbound.resend import ResendProvider, classify

EMAIL = Email(
    key="key-1",
    sender="hello@acme.test",
    sender_name="Acme",
    to="ada@widgets.test",
    to_name="Ada",
    subject="Hi",
    text="Hello",
)


@asynccontextmanager
async def dripping(head: bytes, drip: bytes, pause: float) -> AsyncIterator[tuple[str, list[int]]]:
    """A server that answers with ``head`` and then drips while anybody listens, and what it wrote."""
    written: list[int] = [0]

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(head)
            while True:
                writer.write(drip)
                await writer.drain()
                written[0] += len(drip)
                await asyncio.sleep(pause)
        except ConnectionError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", written


async def test_an_answer_that_only_drips_is_given_up_in_time():
    async with dripping(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n", b" ", 0.02) as (url, _):
        provider = ResendProvider(url, "KEY", within=timedelta(seconds=0.5))
        async with asyncio.timeout(10):
            with pytest.raises(SendFailed) as failed:
                await provider.send(EMAIL)
        await provider.aclose()
    # The key makes it safe to ask again whether it went out.
    assert (failed.value.error_type, failed.value.verdict) == (ErrorType.TIMEOUT, Verdict.UNKNOWN)


async def test_an_endless_answer_is_read_only_as_far_as_the_cap():
    head = b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{"\r\n'
    async with dripping(head, b"10000\r\n" + b"x" * 65536 + b"\r\n", 0) as (url, written):
        provider = ResendProvider(url, "KEY")
        async with asyncio.timeout(10):
            assert await provider.send(EMAIL) == ""  # it was taken; whatever the provider calls it
        await provider.aclose()
    assert written[0] < 50_000_000


@pytest.mark.parametrize("status", [301, 302, 307, 308, 402, 404, 405, 407])
def test_an_answer_that_is_not_about_the_message_does_not_cost_the_message(status):
    failed = classify(status, "not here", None)
    assert failed.verdict is Verdict.PROVIDER


@pytest.mark.parametrize("status", [400, 409, 413, 422, 451])
def test_a_message_that_will_never_be_taken_is_given_up(status):
    assert classify(status, "no", None).verdict is Verdict.PERMANENT


@pytest.mark.parametrize("status", [408, 421, 425, 429])
def test_what_may_work_later_is_tried_later(status):
    assert classify(status, "later", None).verdict is Verdict.RETRY
