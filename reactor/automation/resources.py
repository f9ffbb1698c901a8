"""What the built-in handlers need of the world outside: the mailer and the webhook client."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol, runtime_checkable

from reactor.context import Context
from reactor.errors import ReactorError, SettingError
from reactor.outbound.email import BadAddress
from reactor.outbound.mailer import EmailUrlError, Mailer, make_mailer
from reactor.outbound.webhook import WebhookSender, webhook_client
from reactor.settings import EMAIL_URLS, Settings


@dataclass(frozen=True, slots=True)
class BuiltinResources:
    mailer: Mailer
    webhooks: WebhookSender
    # The same alert_type is delivered once in so long, where a tenant does not say otherwise.
    alert_dedup: timedelta = timedelta(hours=1)


@asynccontextmanager
async def builtin_resources(settings: Settings) -> AsyncIterator[BuiltinResources]:
    """The clients, closed at the end: the built-in app's lifespan. SettingError names what is wrong."""
    try:
        mailer = make_mailer(settings.email_url.get_secret_value(), settings.email_from)
    except EmailUrlError as error:
        raise SettingError(f"REACTOR_EMAIL_URL is wrong: {error}", hint=EMAIL_URLS) from None
    except BadAddress as error:
        raise SettingError(
            f"REACTOR_EMAIL_FROM: {error}", hint="write it as Acme <hello@acme.test>"
        ) from None
    async with webhook_client() as client:
        webhooks = WebhookSender(client, allow_private=settings.webhook_allow_private)
        try:
            yield BuiltinResources(mailer, webhooks, timedelta(minutes=settings.alert_dedup_minutes))
        finally:
            await mailer.aclose()


@runtime_checkable
class _Several(Protocol):
    """ctx.resources of an app that includes another one with a lifespan of its own."""

    def of(self, kind: type[BuiltinResources]) -> object: ...


def resources_of(ctx: Context) -> BuiltinResources:
    """The resources in a handler's context; they are missing when the app has another lifespan."""
    resources: object = ctx.resources
    if isinstance(resources, _Several):
        resources = resources.of(BuiltinResources)
    if not isinstance(resources, BuiltinResources):
        raise ReactorError(
            "this handler needs the mailer and the webhook client in ctx.resources",
            hint="let the app's lifespan be builtin_resources(settings), or include reactor.builtin",
        )
    return resources
