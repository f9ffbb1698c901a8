"""Webhooks: one signed POST, and what its answer means.

Signed by the Standard Webhooks scheme (https://www.standardwebhooks.com):
headers webhook-id, webhook-timestamp and webhook-signature, HMAC-SHA256 over
"id.timestamp.body". Several secrets give several signatures in one header, so
a receiver can change its secret without missing a message.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
import ssl
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from enum import StrEnum

import anyio
import httpx2

from reactor.errors import storable
from reactor.outbound.egress import EgressRefused, ResolveFailed, Resolver, Target, judge, resolve

# A receiver that needs longer should answer first and work afterwards.
TOTAL_TIMEOUT = timedelta(seconds=15)
CONNECT_TIMEOUT = timedelta(seconds=5)
# The answer's body is read for error messages only.
MAX_ANSWER_BYTES = 16 * 1024
# Longer waits are cut to this: an absurd Retry-After must not silence a channel for weeks.
MAX_RETRY_AFTER = timedelta(hours=6)
_PREFIX = "whsec_"
_SECONDS = re.compile(r"[+-]?[0-9]+")


class Outcome(StrEnum):
    """What is to be done after an attempt."""

    DELIVERED = "delivered"
    RETRY = "retry"  # may work later
    GONE = "gone"  # 410: the receiver wants nothing more at this URL
    REFUSED = "refused"  # we will not request this URL


@dataclass(frozen=True, slots=True)
class Answer:
    outcome: Outcome
    status: int | None
    detail: str
    retry_after: timedelta | None = None


def secret_bytes(secret: str) -> bytes:
    """The key in a Standard Webhooks secret ("whsec_" and base64); ValueError says what is wrong with it."""
    text = secret.removeprefix(_PREFIX)
    try:
        key = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError("a webhook secret is whsec_ followed by base64") from error
    if not 16 <= len(key) <= 256:
        raise ValueError("a webhook secret holds 16 to 256 bytes; 24 to 64 are usual")
    return key


def sign(message_id: str, timestamp: int, body: bytes, secrets: Sequence[str]) -> str:
    """The webhook-signature header: one "v1,…" for each secret, the first secret first."""
    if not secrets:
        raise ValueError("a webhook needs at least one secret")
    signed = f"{message_id}.{timestamp}.".encode() + body
    macs = (hmac.new(secret_bytes(secret), signed, hashlib.sha256).digest() for secret in secrets)
    return " ".join(f"v1,{base64.b64encode(mac).decode()}" for mac in macs)


def webhook_client(*, tls: ssl.SSLContext | None = None) -> httpx2.AsyncClient:
    """The client for webhooks: no proxies from the environment, no redirects, no connection kept.

    A kept connection is filed under its address; two names that share an
    address would share it, although the certificate was checked for one.
    """
    timeout = CONNECT_TIMEOUT.total_seconds()
    return httpx2.AsyncClient(
        verify=True if tls is None else tls,
        trust_env=False,
        follow_redirects=False,
        limits=httpx2.Limits(max_connections=64, max_keepalive_connections=0),
        timeout=httpx2.Timeout(TOTAL_TIMEOUT.total_seconds(), connect=timeout),
    )


@dataclass(frozen=True, slots=True)
class WebhookSender:
    """Sends to URLs that tenants typed in. Shared by all handlers of a replica."""

    client: httpx2.AsyncClient
    allow_private: bool = False
    resolver: Resolver = resolve
    clock: Callable[[], float] = time.time
    total_timeout: timedelta = TOTAL_TIMEOUT

    async def send(self, url: str, secrets: Sequence[str], message_id: str, body: bytes) -> Answer:
        """POST body to url. Never raises for what the network or the receiver does: the answer says it."""
        try:
            with anyio.fail_after(self.total_timeout.total_seconds()):
                target = await judge(url, allow_private=self.allow_private, resolver=self.resolver)
                return await self._post(target, secrets, message_id, body)
        except EgressRefused as error:
            return Answer(Outcome.REFUSED, None, str(error))
        except ResolveFailed as error:
            return Answer(Outcome.RETRY, None, str(error))
        except TimeoutError:
            return Answer(Outcome.RETRY, None, f"no answer within {self.total_timeout.total_seconds():g} s")
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            return Answer(Outcome.RETRY, None, f"{type(error).__name__}: {error}")
        except UnicodeError:  # half of a surrogate pair: no bytes stand for it
            return Answer(Outcome.REFUSED, None, "the URL holds characters that no request can")

    async def _post(self, target: Target, secrets: Sequence[str], message_id: str, body: bytes) -> Answer:
        now = int(self.clock())
        headers = {
            "host": target.authority,
            "content-type": "application/json",
            "accept-encoding": "identity",  # what is capped below is what came over the wire
            "user-agent": "reactor-webhook/1",
            "webhook-id": message_id,
            "webhook-timestamp": str(now),
            "webhook-signature": sign(message_id, now, body, secrets),
        }
        failure: httpx2.HTTPError | None = None
        for address in target.addresses:
            request = self.client.build_request(
                "POST",
                target.url_at(address),
                content=body,
                headers=headers,
                extensions={"sni_hostname": target.host},
            )
            try:
                response = await self.client.send(request, stream=True)
            except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
                failure = error  # nothing was sent: the next address may work
                continue
            try:
                detail = await _read_capped(response)
            finally:
                await response.aclose()
            return judge_answer(response.status_code, response.headers.get("retry-after"), detail, now)
        assert failure is not None  # judge() gives at least one address
        raise failure


async def _read_capped(response: httpx2.Response) -> str:
    read = bytearray()
    async for chunk in response.aiter_raw():
        read += chunk
        if len(read) >= MAX_ANSWER_BYTES:
            break
    return storable(bytes(read[:200]).decode("utf-8", "replace"))


def judge_answer(status: int, retry_after: str | None, detail: str, now: int) -> Answer:
    """What a status code means for the message."""
    if 200 <= status < 300:
        return Answer(Outcome.DELIVERED, status, "")
    if status == 410:
        return Answer(Outcome.GONE, status, "the receiver answered 410: it wants no more messages")
    if 300 <= status < 400:
        return Answer(Outcome.RETRY, status, f"the receiver redirects ({status}); redirects are not followed")
    return Answer(
        Outcome.RETRY, status, f"HTTP {status} {detail}".strip(), parse_retry_after(retry_after, now)
    )


def parse_retry_after(value: str | None, now: int) -> timedelta | None:
    """Retry-After in seconds or as a date (RFC 9110, 10.2.3), at most MAX_RETRY_AFTER; None if unreadable."""
    if not value:
        return None
    if _SECONDS.fullmatch(value.strip()):
        seconds = float(value)  # infinite when the digits fill a page: not every int is a float
    else:
        try:
            when = parsedate_to_datetime(value)
            if when.tzinfo is None:
                when = when.replace(tzinfo=UTC)
            seconds = (when - datetime.fromtimestamp(now, UTC)).total_seconds()
        except (ValueError, OverflowError):
            return None
    return timedelta(seconds=min(max(seconds, 0.0), MAX_RETRY_AFTER.total_seconds()))
