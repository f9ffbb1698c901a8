"""Where an alert goes: pure decisions.

A channel is named "webhook:FINGERPRINT" (of its URL, which may hold a secret)
or "email:ADDRESS". An alert's metadata may name channels it must not take, in
`not_via`: a whole name, or a kind ("email"). That is how an alert about a
failing channel stays out of it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Literal
from uuid import UUID

from reactor.automation.tenant_settings import AlertSettings, Severity

# An unacknowledged critical alert is delivered again after this long,
FIRST_REPEAT = timedelta(minutes=15)
# and then every so often.
LATER_REPEATS = timedelta(hours=1)

# Between the tries to deliver one alert to one channel; after the last the channel counts as failing.
RETRY_PAUSES = tuple(timedelta(seconds=seconds) for seconds in (2, 10, 30, 120, 300, 900, 1800, 3600))


class ChannelKind(StrEnum):
    WEBHOOK = "webhook"
    EMAIL = "email"


@dataclass(frozen=True, slots=True)
class Channel:
    kind: ChannelKind
    # A URL or an address.
    target: str

    @property
    def name(self) -> str:
        if self.kind is ChannelKind.EMAIL:
            return f"{self.kind}:{self.target.lower()}"
        return f"{self.kind}:{hashlib.sha256(self.target.encode()).hexdigest()[:16]}"


@dataclass(frozen=True, slots=True)
class Alert:
    id: UUID
    alert_type: str
    severity: Severity
    message: str
    metadata: Mapping[str, object]
    acknowledged: bool
    created_at: datetime

    @property
    def not_via(self) -> tuple[str, ...]:
        named = self.metadata.get("not_via")
        return tuple(str(name) for name in named) if isinstance(named, list) else ()

    @property
    def is_about_delivery(self) -> bool:
        """An alert's delivery died: bringing that alert the same way would go round in circles."""
        event_type = self.metadata.get("event_type")
        return isinstance(event_type, str) and event_type.startswith("alert.")


NotDelivered = Literal["mild", "quiet", "no_channel"]


def channels_of(settings: AlertSettings) -> list[Channel]:
    """All channels of a tenant."""
    found = [Channel(ChannelKind.EMAIL, address) for address in dict.fromkeys(settings.emails)]
    if settings.webhook_url is not None:
        found.insert(0, Channel(ChannelKind.WEBHOOK, settings.webhook_url))
    return found


def route(
    alert: Alert, settings: AlertSettings, *, off: Collection[str], delivered_lately: bool
) -> list[Channel] | NotDelivered:
    """The channels that this alert takes, or why it takes none.

    off: names of channels that want no more. delivered_lately: another alert of this type was delivered
    within the tenant's quiet time.
    """
    if alert.severity.rank < settings.min_severity.rank:
        return "mild"
    if delivered_lately:
        return "quiet"
    avoided = alert.not_via
    open_channels = [
        channel
        for channel in channels_of(settings)
        if channel.name not in off and channel.name not in avoided and channel.kind not in avoided
    ]
    if not open_channels or alert.is_about_delivery:
        return "no_channel"
    return open_channels


def find(settings: AlertSettings, name: str) -> Channel | None:
    """The tenant's channel of this name, if it still has it."""
    return next((channel for channel in channels_of(settings) if channel.name == name), None)
