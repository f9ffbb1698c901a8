"""SMTP: STARTTLS or TLS, authentication, and connections that are used again.

The conversation is held command by command, because the place where it breaks
decides what we know: before DATA nothing was sent; when the connection is
lost while the server considers the data, the message may have been accepted.
"""

from __future__ import annotations

import ssl
from collections import deque
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import timedelta

import aiosmtplib
import anyio

from reactor.errors import storable
from reactor.outbound.email import Email, ErrorType, SendFailed, Verdict, quoted

COMMAND_TIMEOUT = timedelta(seconds=20)
# Of a whole conversation, however long a command may. The handler has a minute: cut short there, nobody would
# know where the email is, not even of one that never got as far as the message.
LONGEST = timedelta(seconds=50)
MAX_CONNECTIONS = 4
# Servers drop idle clients after minutes; a dropped connection costs one more round trip.
# "Service closing transmission channel" (RFC 5321, 4.2.3).
_CLOSING = 421
# "Mailbox full" (RFC 3463, 3.3).
_FULL = "4.2.2"
# "Mail system congestion", of which RFC 3463 (3.5) says that it passes: with it providers refuse what is
# beyond an account's daily limit.
_CONGESTED = "5.4.5"
_QUOTA_WORDS = ("rate", "too many", "quota", "throttl", "try again later", "exceeded")


@dataclass(slots=True)
class SmtpProvider:
    """One SMTP server. starttls: None uses it when offered, True insists, False never."""

    host: str
    port: int
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    implicit_tls: bool = False
    starttls: bool | None = None
    tls: ssl.SSLContext | None = None
    timeout: timedelta = COMMAND_TIMEOUT
    within: timedelta = LONGEST
    _idle: deque[aiosmtplib.SMTP] = field(default_factory=deque, init=False, repr=False)
    _slots: anyio.CapacityLimiter | None = field(default=None, init=False, repr=False)

    @property
    def name(self) -> str:
        return "smtp"

    @property
    def repeats_safely(self) -> bool:
        return False  # no server is obliged to notice a repeated Message-ID

    async def send(self, email: Email) -> str:
        content = email.mime().as_bytes()
        if self._slots is None:
            self._slots = anyio.CapacityLimiter(MAX_CONNECTIONS)
        async with AsyncExitStack() as stack:
            longest = self.within.total_seconds()
            ends = anyio.current_time() + longest
            patience = min(1.5 * self.timeout.total_seconds(), 0.6 * longest)
            try:
                with anyio.fail_after(patience):
                    await stack.enter_async_context(self._slots)
                    client = await self._open_envelope(email)
            except TimeoutError as error:
                text = f"the server did not get as far as the message within {patience:g} s"
                raise SendFailed(ErrorType.TIMEOUT, Verdict.RETRY, text) from error
            try:
                with anyio.fail_after(ends - anyio.current_time()):
                    response = await client.data(content)
            except aiosmtplib.SMTPResponseException as error:
                if not _refuses(error):
                    client.close()
                    text = f"the server had the message, and its answer means nothing: {_said(error)}"
                    raise SendFailed(ErrorType.OTHER, Verdict.UNKNOWN, text) from error
                await self._keep(client)
                raise _answered(error) from error
            except (aiosmtplib.SMTPException, OSError) as error:
                client.close()
                raise SendFailed(
                    ErrorType.TIMEOUT if isinstance(error, TimeoutError) else ErrorType.OTHER,
                    Verdict.UNKNOWN,
                    f"the connection was lost while the server held the message: {type(error).__name__}",
                ) from error
            except BaseException:
                client.close()  # cancelled in the middle: this connection's state is anybody's guess
                raise
            await self._keep(client)
            return storable(response.message[:200])

    async def _open_envelope(self, email: Email) -> aiosmtplib.SMTP:
        """A connection that has accepted sender and recipient. A stale idle connection is replaced once."""
        while True:
            reused = bool(self._idle)
            client = self._idle.pop() if reused else await self._connect()
            resets = reused
            try:
                if resets:
                    await client.rset()
                    resets = False
                await client.mail(quoted(email.sender))
                await client.rcpt(quoted(email.to))
            except aiosmtplib.SMTPResponseException as error:
                if resets or not _refuses(error) or error.code == _CLOSING:
                    client.close()
                    if reused:
                        continue  # said of this connection: it had its number of messages, or its time
                else:
                    await self._keep(client)
                raise _answered(error) from error
            except (aiosmtplib.SMTPException, OSError) as error:
                client.close()
                if reused:
                    continue
                raise _unreached(error) from error
            except BaseException:
                client.close()
                raise
            return client

    async def _connect(self) -> aiosmtplib.SMTP:
        # A password goes over an encrypted connection, unless the URL says starttls=never.
        must_encrypt = self.username is not None and not self.implicit_tls and self.starttls is None
        client = aiosmtplib.SMTP(
            hostname=self.host,
            port=self.port,
            username=self.username,
            password=self.password,
            use_tls=self.implicit_tls,
            start_tls=True if must_encrypt else (False if self.implicit_tls else self.starttls),
            timeout=self.timeout.total_seconds(),
            tls_context=self.tls,
        )
        try:
            await client.connect()
        except (aiosmtplib.SMTPException, OSError) as error:
            client.close()
            raise _turned_away(error) from error
        except BaseException:
            client.close()
            raise
        return client

    async def _keep(self, client: aiosmtplib.SMTP) -> None:
        if client.is_connected and len(self._idle) < MAX_CONNECTIONS:
            self._idle.append(client)
        else:
            client.close()

    async def aclose(self) -> None:
        while self._idle:
            client = self._idle.pop()
            try:
                with anyio.fail_after(2):
                    await client.quit()
            except (aiosmtplib.SMTPException, OSError):
                client.close()


def _refuses(error: aiosmtplib.SMTPResponseException) -> bool:
    """Whether the answer is a no, and not something that means nothing where it was given."""
    return 400 <= error.code < 600


def _said(error: aiosmtplib.SMTPResponseException) -> str:
    return f"{error.code} {error.message}"[:500]


def _answered(error: aiosmtplib.SMTPResponseException) -> SendFailed:
    """The server said no, or nothing that means yes: nothing was sent."""
    text = _said(error)
    words = error.message.lower()
    if isinstance(error, aiosmtplib.SMTPAuthenticationError) or error.code in (530, 534, 535, 538):
        return SendFailed(ErrorType.AUTH, Verdict.PROVIDER, text)
    if not _refuses(error):
        return SendFailed(ErrorType.OTHER, Verdict.RETRY, text)
    if 400 <= error.code < 500:
        # A full mailbox has a quota as well, but no minute after which there is room.
        limited = not words.startswith(_FULL) and (
            words.startswith("4.7.") or any(word in words for word in _QUOTA_WORDS)
        )
        kind = ErrorType.RATE_LIMIT if limited else ErrorType.SERVER
        of_this_email = isinstance(error, aiosmtplib.SMTPRecipientRefused) and words.startswith(
            ("4.1.", "4.2.")
        )
        return SendFailed(kind, Verdict.RETRY, text, of_this_email=of_this_email)
    if words.startswith(_CONGESTED):
        return SendFailed(ErrorType.RATE_LIMIT, Verdict.RETRY, text)
    if isinstance(error, aiosmtplib.SMTPRecipientRefused):
        return SendFailed(ErrorType.REFUSED, Verdict.PERMANENT, text)
    return SendFailed(ErrorType.SERVER, Verdict.PERMANENT, text)


def _turned_away(error: Exception) -> SendFailed:
    """No conversation came about. A 5xx here is said to us, not to the message: that must not be given up.
    Who does not speak SMTP will not learn it."""
    failed = _unreached(error)
    no_smtp = isinstance(error, aiosmtplib.SMTPResponseException) and not _refuses(error)
    if failed.verdict is Verdict.PERMANENT or no_smtp:
        return SendFailed(failed.error_type, Verdict.PROVIDER, str(failed))
    return failed


def _unreached(error: Exception) -> SendFailed:
    """No envelope was accepted: nothing was sent."""
    if isinstance(error, aiosmtplib.SMTPResponseException):
        return _answered(error)
    text = f"{type(error).__name__}: {error}"[:500]
    if isinstance(error, TimeoutError):
        return SendFailed(ErrorType.TIMEOUT, Verdict.RETRY, text)
    if isinstance(error, aiosmtplib.SMTPNotSupported) or "not supported" in text:
        # It offers no STARTTLS or no login: a setting of ours or of the server is wrong.
        return SendFailed(ErrorType.AUTH, Verdict.PROVIDER, text)
    if isinstance(error, ConnectionError):
        return SendFailed(ErrorType.REFUSED, Verdict.RETRY, text)
    return SendFailed(ErrorType.OTHER, Verdict.RETRY, text)
