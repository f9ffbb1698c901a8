"""The mailer: the provider that REACTOR_EMAIL_URL names, behind a circuit breaker.

    smtp://user:password@host:587/     STARTTLS; required with a password
    smtps://user:password@host:465/    TLS from the first byte
    resend://KEY@api.resend.com/       HTTP, with idempotency keys
    console://                         writes a line to the log, sends nothing

Options in the query: starttls (always, never), timeout (seconds), and
scheme=http for a Resend-style server without TLS (for tests). The URL holds a
password: it is never logged, and no error repeats it.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from email.utils import parseaddr
from urllib.parse import parse_qs, unquote, urlsplit

import structlog

from reactor.outbound.circuit import Circuit, CircuitState
from reactor.outbound.egress import EgressRefused, split_url
from reactor.outbound.email import Email, EmailProvider, SendFailed, Verdict, check_address
from reactor.outbound.resend import ResendProvider
from reactor.outbound.smtp import COMMAND_TIMEOUT, SmtpProvider
from reactor.telemetry import metrics, names

log = structlog.get_logger("reactor.email")


class EmailUrlError(ValueError):
    """REACTOR_EMAIL_URL cannot be used. The message never contains the URL."""


class CircuitOpen(Exception):
    """The provider failed too often just now; nothing was sent."""

    def __init__(self, retry_after: timedelta) -> None:
        self.retry_after = retry_after
        super().__init__(
            f"the email provider failed repeatedly; next try in {retry_after.total_seconds():.0f} s"
        )


@dataclass(slots=True)
class ConsoleProvider:
    """For a first look: every email becomes a line of the log."""

    @property
    def name(self) -> str:
        return "console"

    @property
    def repeats_safely(self) -> bool:
        return True

    async def send(self, email: Email) -> str:
        email.mime()
        log.info(names.EMAIL_TO_CONSOLE, to=email.to, subject=email.subject, key=email.key)
        return email.key

    async def aclose(self) -> None:
        return None


@dataclass(slots=True)
class Mailer:
    """What handlers send with. One for each replica."""

    provider: EmailProvider
    sender: str
    sender_name: str
    circuit: Circuit = field(default_factory=Circuit)
    #: that the provider refuses whatever it is sent was said already, and nothing has worked since
    _refusal_said: bool = field(default=False, init=False)

    def check(self) -> None:
        """Raises CircuitOpen when a send would not be tried now; send must follow otherwise."""
        wait = self.circuit.wait()
        if wait is not None:
            raise CircuitOpen(wait)

    def release(self) -> None:
        """No send follows the check after all."""
        self.circuit.abandoned()

    async def send(self, email: Email) -> str:
        """The provider's id for the message; SendFailed otherwise. Call check() first."""
        provider = self.provider.name
        began = time.monotonic()
        try:
            provider_id = await self.provider.send(email)
        except SendFailed as error:
            metrics.EMAIL_SEND_SECONDS.labels(provider).observe(time.monotonic() - began)
            metrics.EMAILS_FAILED.labels(provider, error.error_type.value).inc()
            # A refused recipient says nothing about the provider's health.
            refuses_all = error.verdict is Verdict.PROVIDER
            # Each pause ends with one email that finds out: an outage would be told at a tenant each time.
            is_news = self.circuit.state is CircuitState.CLOSED or (refuses_all and not self._refusal_said)
            if error.of_this_email:
                self._works()
            elif self.circuit.failed(at_once=refuses_all):
                error.began_outage = is_news
                self._refusal_said = self._refusal_said or refuses_all
                metrics.EMAIL_CIRCUIT_OPEN.set(1)
                log.warning(
                    names.EMAIL_CIRCUIT_OPENED,
                    provider=provider,
                    error_type=error.error_type,
                    error=str(error),
                )
            raise
        except BaseException:
            self.circuit.abandoned()
            raise
        metrics.EMAIL_SEND_SECONDS.labels(provider).observe(time.monotonic() - began)
        metrics.EMAILS_SENT.labels(provider).inc()
        self._works()
        return provider_id

    def _works(self) -> None:
        """The provider gave an answer that says nothing against it."""
        if self.circuit.state is not CircuitState.CLOSED:
            log.warning(names.EMAIL_CIRCUIT_CLOSED, provider=self.provider.name)
        self.circuit.succeeded()
        self._refusal_said = False
        metrics.EMAIL_CIRCUIT_OPEN.set(0)

    async def aclose(self) -> None:
        await self.provider.aclose()


def make_mailer(url: str, sender: str) -> Mailer:
    """The mailer for a URL as above. sender: "Acme <hello@acme.test>", where a tenant names none.

    EmailUrlError says what is wrong with the URL, BadAddress what is wrong with the sender.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise EmailUrlError("it is not a URL") from error
    options = {name: values[-1] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
    name, address = parseaddr(sender)
    provider = _provider(parts.scheme, host, port, parts.username, parts.password, options)
    return Mailer(provider, check_address(address), name)


_OPTIONS: Mapping[str, frozenset[str]] = {
    "smtp": frozenset({"starttls", "timeout"}),
    "smtps": frozenset({"starttls", "timeout"}),
    "resend": frozenset({"scheme"}),
}


def _provider(
    scheme: str,
    host: str | None,
    port: int | None,
    username: str | None,
    password: str | None,
    options: dict[str, str],
) -> EmailProvider:
    if scheme == "console":
        return ConsoleProvider()
    if scheme not in ("smtp", "smtps", "resend"):
        raise EmailUrlError("it must start with smtp://, smtps://, resend:// or console://")
    if not host:
        raise EmailUrlError("it names no host")
    known = _OPTIONS[scheme]
    if not options.keys() <= known:
        # A misspelt one would be left out in silence, with the protection that it asks for. It is not
        # repeated in the error: what follows a question mark may be a piece of the password.
        raise EmailUrlError(
            f"it has an option that is not one of {scheme}://: {', '.join(sorted(known))}; "
            "in a password write ? as %3F"
        )
    if scheme == "resend":
        return _resend(host, port, unquote(username or ""), options.get("scheme", "https"))
    starttls = {"always": True, "never": False, None: None}.get(options.get("starttls"))
    if options.get("starttls") not in (None, "always", "never"):
        raise EmailUrlError("its starttls must be always or never")
    try:
        seconds = float(options.get("timeout", COMMAND_TIMEOUT.total_seconds()))
    except ValueError:
        seconds = 0
    if not 0 < seconds <= 3600:
        raise EmailUrlError("its timeout must be a number of seconds, above 0 and at most 3600")
    timeout = timedelta(seconds=seconds)
    implicit = scheme == "smtps"
    return SmtpProvider(
        host=host,
        port=port or (465 if implicit else 587),
        username=None if username is None else unquote(username),
        password=None if password is None else unquote(password),
        implicit_tls=implicit,
        starttls=starttls,
        timeout=timeout,
    )


def _resend(host: str, port: int | None, key: str, scheme: str) -> ResendProvider:
    if not key:
        raise EmailUrlError("it holds no API key")
    if not re.fullmatch(r"[!-~]+", key):
        raise EmailUrlError("its API key holds what no header can: spaces, or letters outside of ASCII")
    if scheme not in ("https", "http"):
        raise EmailUrlError("its scheme must be https or http")
    literal = f"[{host}]" if ":" in host else host
    base = f"{scheme}://{literal}" if port is None else f"{scheme}://{literal}:{port}"
    try:
        split_url(base, allow_private=True)
    except EgressRefused as error:
        raise EmailUrlError("its host is not the name of one") from error
    return ResendProvider(base, key)
