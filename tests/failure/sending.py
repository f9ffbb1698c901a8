"""What the proof's handlers do outside the database: call a webhook, send an email.

Such an effect cannot be undone, so it happens at least once; what makes a repetition harmless is the key,
which must be the same every time. An answer that is not a yes means another try, until there is one.
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from reactor import Context, Event
from reactor.errors import Retry
from reactor.outbound.circuit import Circuit
from reactor.outbound.email import Email, SendFailed
from reactor.outbound.mailer import CircuitOpen, Mailer, make_mailer
from reactor.outbound.webhook import Outcome, WebhookSender, webhook_client
from reactor.settings import Settings

HTTP_PORT, SMTP_PORT = "PROOF_HTTP_PORT", "PROOF_SMTP_PORT"
_SECRET = "whsec_" + "cHJvb2Ygb2YgdGhlIHByb29m" * 2
_SENDER = "proof@proof.test"
_PATIENCE = timedelta(seconds=2)
_AGAIN = timedelta(seconds=0.5)


@dataclass(frozen=True, slots=True)
class Outside:
    """Both ways out, shared by the handlers of a replica."""

    webhooks: WebhookSender
    url: str
    mailer: Mailer

    async def call(self, event: Event[Any], ctx: Context) -> None:
        answer = await self.webhooks.send(
            f"{self.url}/{event.subject_id}", [_SECRET], ctx.idempotency_key, b"{}"
        )
        if answer.outcome is not Outcome.DELIVERED:
            raise Retry(after=_AGAIN, reason=answer.detail, counts=False)

    async def mail(self, event: Event[Any], ctx: Context) -> None:
        email = Email(
            key=ctx.idempotency_key,
            sender=_SENDER,
            sender_name="The proof",
            to=f"{event.tenant_id.hex}@proof.test",
            to_name="",
            subject=str(event.subject_id),
            text="One event, one email.",
        )
        try:
            self.mailer.check()
            await self.mailer.send(email)
        except CircuitOpen as error:
            raise Retry(after=error.retry_after, reason=str(error), counts=False) from error
        except SendFailed as error:
            # Unknown included: it may be there already, and has the same key.
            raise Retry(after=_AGAIN, reason=str(error), counts=False) from error


@asynccontextmanager
async def outside(_settings: Settings) -> AsyncIterator[Outside]:
    """The app's lifespan."""
    http, smtp = os.environ.get(HTTP_PORT, "9"), os.environ.get(SMTP_PORT, "9")
    mailer = make_mailer(
        f"smtp://127.0.0.1:{smtp}?starttls=never&timeout={_PATIENCE.total_seconds()}", _SENDER
    )
    mailer.circuit = Circuit(first_pause=timedelta(seconds=1), longest_pause=timedelta(seconds=4))
    async with webhook_client() as client:
        sender = WebhookSender(client, allow_private=True, total_timeout=_PATIENCE)
        try:
            yield Outside(sender, f"http://127.0.0.1:{http}", mailer)
        finally:
            await mailer.aclose()
