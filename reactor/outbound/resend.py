"""Resend-style HTTP: POST /emails with a bearer key and an Idempotency-Key.

The key makes a repetition safe: a provider of this kind remembers it (Resend
for 24 hours) and answers a repeated request with the first one's result.
"""

from __future__ import annotations

import ssl
import time
from dataclasses import dataclass, field
from datetime import timedelta

import anyio
import httpx2
import orjson

from reactor.errors import storable
from reactor.outbound.email import Email, ErrorType, SendFailed, Verdict, mailbox, quoted
from reactor.outbound.webhook import parse_retry_after

TIMEOUT = timedelta(seconds=20)
# Of all of a request: an answer may drip. Ends before the handler's own timeout would cut it short.
LONGEST = timedelta(seconds=45)
# An answer is an id, or an error in a few words.
MAX_ANSWER_BYTES = 16 * 1024
# Said of the place that was asked, of the account or of the way there: it would be said of every message.
_MISPLACED = (402, 404, 405, 407)


def resend_client(tls: ssl.SSLContext | None = None) -> httpx2.AsyncClient:
    """Connections are kept: all requests go to one host, which the operator named."""
    return httpx2.AsyncClient(verify=True if tls is None else tls, timeout=TIMEOUT.total_seconds())


@dataclass(slots=True)
class ResendProvider:
    """base_url without a path at its end, such as https://api.resend.com."""

    base_url: str
    api_key: str = field(repr=False)
    client: httpx2.AsyncClient = field(default_factory=resend_client, repr=False)
    within: timedelta = LONGEST

    @property
    def name(self) -> str:
        return "resend"

    @property
    def repeats_safely(self) -> bool:
        return True

    async def send(self, email: Email) -> str:
        mime = email.mime()  # the same checks of addresses and headers as for SMTP
        body: dict[str, object] = {
            "from": mailbox(email.sender_name, email.sender),
            "to": [quoted(email.to)],
            "subject": str(mime["Subject"]),
            "text": email.text,
            "headers": {**email.headers(), "Message-ID": email.message_id},
        }
        if email.html is not None:
            body["html"] = email.html
        if email.reply_to:
            body["reply_to"] = [quoted(email.reply_to)]
        try:
            with anyio.fail_after(self.within.total_seconds()):
                response, answer = await self._post(email.key, orjson.dumps(body))
        except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
            kind = ErrorType.TIMEOUT if isinstance(error, httpx2.TimeoutException) else ErrorType.REFUSED
            raise SendFailed(kind, Verdict.RETRY, type(error).__name__) from error
        except (httpx2.HTTPError, TimeoutError) as error:
            # Possibly sent; the key makes trying again safe all the same.
            late = isinstance(error, httpx2.TimeoutException | TimeoutError)
            kind = ErrorType.TIMEOUT if late else ErrorType.OTHER
            raise SendFailed(kind, Verdict.UNKNOWN, type(error).__name__) from error
        if response.is_success:
            if _is_page(response, answer):
                # A gate before a network, or another site's server: it would "take" every message.
                text = f"HTTP {response.status_code}, but a web page: the URL is not that of an email API"
                raise SendFailed(ErrorType.OTHER, Verdict.PROVIDER, text)
            return _provider_id(answer)
        detail = answer[:300].decode("utf-8", "replace")
        raise classify(response.status_code, detail, response.headers.get("retry-after"))

    async def _post(self, key: str, body: bytes) -> tuple[httpx2.Response, bytes]:
        """The response, which is closed, and as much of what it said as may be of use."""
        request = self.client.build_request(
            "POST",
            f"{self.base_url}/emails",
            content=body,
            headers={
                "authorization": f"Bearer {self.api_key}",
                "content-type": "application/json",
                "accept-encoding": "identity",  # what is capped is what came over the wire
                "idempotency-key": key,
            },
        )
        response = await self.client.send(request, stream=True)
        answer = bytearray()
        try:
            async for chunk in response.aiter_raw():
                answer += chunk
                if len(answer) >= MAX_ANSWER_BYTES:
                    break
        finally:
            await response.aclose()
        return response, bytes(answer)

    async def aclose(self) -> None:
        await self.client.aclose()


def _is_page(response: httpx2.Response, content: bytes) -> bool:
    kind = response.headers.get("content-type", "").lower()
    return kind.startswith("text/html") or content.lstrip()[:1] == b"<"


def _provider_id(content: bytes) -> str:
    try:
        answer = orjson.loads(content)
    except orjson.JSONDecodeError:
        return ""
    return storable(str(answer.get("id", ""))[:200]) if isinstance(answer, dict) else ""


def classify(status: int, detail: str, retry_after: str | None) -> SendFailed:
    """What an answer other than success means."""
    text = f"HTTP {status} {detail}".strip()
    if status in (401, 403):
        return SendFailed(ErrorType.AUTH, Verdict.PROVIDER, text)
    if status == 429:
        wait = parse_retry_after(retry_after, int(time.time()))
        return SendFailed(ErrorType.RATE_LIMIT, Verdict.RETRY, text, retry_after=wait)
    if status >= 500:
        wait = parse_retry_after(retry_after, int(time.time()))
        return SendFailed(ErrorType.SERVER, Verdict.UNKNOWN, text, retry_after=wait)
    if 300 <= status < 400 or status in _MISPLACED:
        return SendFailed(ErrorType.OTHER, Verdict.PROVIDER, text)
    if (status == 409 and "concurrent" in detail) or status in (421, 425):
        return SendFailed(ErrorType.OTHER, Verdict.RETRY, text)
    if status == 408:
        return SendFailed(ErrorType.TIMEOUT, Verdict.RETRY, text)
    # 400, 422 and their kin: this message will never be accepted.
    return SendFailed(ErrorType.OTHER, Verdict.PERMANENT, text)
