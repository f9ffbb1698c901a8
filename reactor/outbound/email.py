"""One email, the ways sending it can fail, and what a provider must offer."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from email.errors import MessageError
from email.headerregistry import Address, BaseHeader, HeaderRegistry, UnstructuredHeader
from email.message import EmailMessage
from email.policy import SMTP, Policy
from enum import StrEnum
from typing import Any, Protocol
from urllib.parse import quote

from reactor.errors import storable
from reactor.outbound.egress import as_ascii

_ADDRESS = re.compile(
    r"[^@\s<>()\[\],;:\\\"\x00-\x1f\x7f]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?"
)

# Characters in a header: what is longer is a document in the wrong field, and to fold it takes minutes.
_LONGEST_NAME = 200
_LONGEST_SUBJECT = 1000

# What nobody sees at an address's ends: all that str.strip() takes for blank, and marks that an import or a
# copy leaves behind. The server's btrim() is given the same; by itself it knows the space only.
BLANKS = (
    "\t\n\v\f\r\x1c\x1d\x1e\x1f \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007"
    "\u2008\u2009\u200a\u200b\u200c\u200d\u200e\u200f\u2028\u2029\u202f\u205f\u2060\u3000\ufeff"
)


class ErrorType(StrEnum):
    """Values of email_provider_failures.error_type."""

    AUTH = "auth"
    RATE_LIMIT = "rate_limit"
    SERVER = "5xx"
    TIMEOUT = "timeout"
    REFUSED = "refused"
    OTHER = "other"


class Verdict(StrEnum):
    """What a failure means for the message."""

    RETRY = "retry"  # certainly not sent; later it may work
    PERMANENT = "permanent"  # certainly not sent, and never will be as it is
    PROVIDER = "provider"  # certainly not sent; nothing will be until somebody mends the provider's settings
    UNKNOWN = "unknown"  # it may have been sent


class SendFailed(Exception):
    """The provider did not confirm the message."""

    def __init__(
        self,
        error_type: ErrorType,
        verdict: Verdict,
        message: str,
        *,
        retry_after: timedelta | None = None,
        of_this_email: bool = False,
    ) -> None:
        self.error_type = error_type
        self.verdict = verdict
        self.retry_after = retry_after
        # Whether it says nothing of others: the recipient's mailbox is full, say.
        self.of_this_email = of_this_email or verdict is Verdict.PERMANENT
        # Whether the mailer's circuit opened with it, and the outage is news: nobody's emails go
        # out from now on.
        self.began_outage = False
        # Whatever a server said, it will be written down.
        super().__init__(storable(message))


class BadAddress(ValueError):
    """Not an address that anything could be sent to."""


def trimmed(address: str | None) -> str:
    """The address as it is written to; "" where there is none."""
    return (address or "").strip(BLANKS)


def comparable(address: str | None) -> str:
    """What all spellings of one address have in common: by this they are compared, everywhere."""
    return trimmed(address).lower()


def check_address(address: str) -> str:
    """The address, trimmed; BadAddress when it cannot be one. Strict: no comments, no quoting."""
    text = trimmed(address)
    # "=?" begins an encoded word: whoever reads the header would see another address.
    if not _ADDRESS.fullmatch(text) or ".." in text or "=?" in text or not text.isascii():
        raise BadAddress(f"{address!r} is not an email address")
    return text


def quoted(address: str) -> str:
    """The address as a mail server must be given it: with a dot at an end, its local part is in quotes.

    Some providers of mailboxes gave such addresses away, so people have them.
    """
    local, _, domain = address.rpartition("@")
    return f'"{local}"@{domain}' if local.startswith(".") or local.endswith(".") else address


@dataclass(frozen=True, slots=True)
class Email:
    """What is sent. key: the same for every try, so that a repetition can be recognised."""

    key: str
    sender: str
    sender_name: str
    to: str
    to_name: str
    subject: str
    text: str
    html: str | None = None
    reply_to: str | None = None
    unsubscribe: str | None = None  # a URL (one click) or nothing: then an address of the sender

    @property
    def message_id(self) -> str:
        """Deterministic: made from the key and the sender's domain."""
        return f"<{self.key}@{self.sender.rpartition('@')[2]}>"

    def headers(self) -> dict[str, str]:
        """The headers besides From, To, Subject and Message-ID."""
        headers = {"Auto-Submitted": "auto-generated", "X-Entity-Ref-ID": self.key}
        mail_out = f"<mailto:{quote(quoted(self.sender), safe='@+')}?subject=unsubscribe>"
        if self.unsubscribe:
            url = as_ascii(self.unsubscribe)
            headers["List-Unsubscribe"] = f"<{url}>, {mail_out}"
            if url.startswith("https:"):
                headers["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
        else:
            headers["List-Unsubscribe"] = mail_out
        return headers

    def mime(self) -> EmailMessage:
        """The message for SMTP; BadAddress, or SendFailed when a header cannot hold what it should."""
        try:
            return self._build()
        except BadAddress:
            raise
        except Exception as error:
            # The library refuses headers in many ways. None is the provider's, and none passes by waiting.
            why = f"the message cannot be written: {type(error).__name__}: {error}"[:500]
            raise SendFailed(ErrorType.OTHER, Verdict.PERMANENT, why) from error

    def check(self) -> None:
        """Raises what mime() raises: to be known before the email counts as being sent."""
        self.mime()

    def _build(self) -> EmailMessage:
        message = EmailMessage(policy=_POLICY)
        message["From"] = mailbox(self.sender_name, self.sender)
        message["To"] = mailbox(self.to_name, self.to)
        message["Subject"] = one_line(self.subject)[:_LONGEST_SUBJECT].strip()
        message["Message-ID"] = self.message_id
        if self.reply_to:
            message["Reply-To"] = mailbox("", self.reply_to)
        for name, value in self.headers().items():
            message[name] = value
        message.set_content(self.text)
        if self.html is not None:
            message.add_alternative(self.html, subtype="html")
        message.as_bytes()  # some refusals come only when the headers are folded
        return message


def one_line(text: str) -> str:
    """Text that fits into a header: control characters, line breaks first of all, become spaces."""
    return " ".join("".join(ch if ch.isprintable() else " " for ch in text).split())


def mailbox(name: str, address: str) -> str:
    """A person as the headers From and To name one."""
    bare = check_address(address)
    local, _, domain = bare.rpartition("@")
    try:
        shown = str(Address(one_line(name)[:_LONGEST_NAME].strip(), username=local, domain=domain))
    except (MessageError, ValueError, IndexError) as error:
        raise BadAddress(f"{address!r} is not an email address") from error
    before, _, after = shown.rpartition(bare)
    return before + quoted(bare) + after  # the library itself leaves the quotes out


class _Unsubscription(UnstructuredHeader, BaseHeader):
    """List-Unsubscribe (RFC 2369). Mail programs take its addresses as they stand, whereas the library makes
    encoded words of what is too long for a line: so it is folded between them, and nowhere else."""

    def fold(self, *, policy: Policy[Any]) -> str:
        return f"List-Unsubscribe: {str(self).replace('>, <', f'>,{policy.linesep} <')}{policy.linesep}"


_headers = HeaderRegistry()
_headers.map_to_type("list-unsubscribe", _Unsubscription)
_POLICY = SMTP.clone(header_factory=_headers)


class EmailProvider(Protocol):
    """A way to send. `name` goes into email_provider_failures.provider."""

    @property
    def name(self) -> str: ...

    @property
    def repeats_safely(self) -> bool:
        """Whether sending a message again with the same key cannot deliver it twice."""
        ...

    async def send(self, email: Email) -> str:
        """Send, and return the provider's id for the message. Raises SendFailed."""
        ...

    async def aclose(self) -> None: ...
