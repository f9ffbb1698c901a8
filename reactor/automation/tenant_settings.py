"""tenants.agent_settings: what a tenant may decide for itself.

The column is written by the application, so it is read as input from outside.
Each part is judged by itself: a broken template must not silence the tenant's
alerts. A tenant whose settings are broken gets one alert that says where, and
nothing automatic is done for it until they are mended; other tenants notice
nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Annotated

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    model_validator,
)

from reactor.automation.templates import TemplateSource, Tone
from reactor.outbound.egress import EgressRefused, refused_as_written, split_url
from reactor.outbound.email import check_address
from reactor.outbound.webhook import secret_bytes


class ActionType(StrEnum):
    """Everything the reactor may do for a tenant by itself."""

    EMAIL_SEND = "email_send"
    EMAIL_SUGGEST = "email_suggest"
    CREATE_TASK = "create_task"
    RESEARCH = "research"
    SANDBOX = "sandbox"


class Severity(StrEnum):
    """Of alerts, mildest first."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"

    @property
    def rank(self) -> int:
        return list(Severity).index(self)


class EmailMode(StrEnum):
    SUGGEST = "suggest"
    SEND = "send"
    DRY_RUN = "dry_run"


def _as_list(value: object) -> object:
    return [value] if isinstance(value, str) else value


def _without_nulls(value: object) -> object:
    """An application that has no value for a key may write it as null: the default is meant."""
    return {key: one for key, one in value.items() if one is not None} if isinstance(value, dict) else value


def _webhook_secret(value: SecretStr) -> SecretStr:
    secret_bytes(value.get_secret_value())
    return value


def _web_url(value: str) -> str:
    # Whether plain http and private addresses are allowed is the operator's setting, judged at each request.
    try:
        split_url(value, allow_private=True)
    except EgressRefused as error:
        raise ValueError(error.why) from error
    return value


EmailAddress = Annotated[str, AfterValidator(check_address)]
WebUrl = Annotated[str, AfterValidator(_web_url)]
Secret = Annotated[SecretStr, AfterValidator(_webhook_secret)]


class AlertSettings(BaseModel):
    """agent_settings.alerts: where this tenant's alerts go. Without channels they are only recorded."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    webhook_url: WebUrl | None = None
    # Several while a secret is being changed: each signs, the newest first.
    webhook_secret: Annotated[tuple[Secret, ...], BeforeValidator(_as_list)] = ()
    emails: Annotated[tuple[EmailAddress, ...], BeforeValidator(_as_list)] = Field(default=(), max_length=20)
    min_severity: Severity = Severity.INFO
    # The same alert_type is delivered once in so many minutes; 0 delivers all. None: the operator's setting.
    dedup_minutes: int | None = Field(default=None, ge=0, le=7 * 24 * 60)

    _nulls = model_validator(mode="before")(_without_nulls)

    @model_validator(mode="after")
    def _webhooks_are_signed(self) -> AlertSettings:
        if self.webhook_url is not None and not self.webhook_secret:
            raise ValueError("webhook_secret is missing: webhooks are always signed")
        return self

    @property
    def may_escalate(self) -> bool:
        """Whether there is anywhere to repeat a critical alert to."""
        return self.webhook_url is not None or bool(self.emails)

    def dedup(self, default: timedelta) -> timedelta:
        return default if self.dedup_minutes is None else timedelta(minutes=self.dedup_minutes)


class AgentSettings(BaseModel):
    """tenants.agent_settings. Keys of the application's own are ignored."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    email_mode: EmailMode = EmailMode.SUGGEST
    # None: all that are known.
    allowed_action_types: frozenset[ActionType] | None = None
    # 0 closes the window for good: nothing is sent, and nothing is lost either.
    max_emails_per_hour: int = Field(default=20, ge=0, le=100_000)
    max_emails_per_day: int = Field(default=100, ge=0, le=1_000_000)
    max_actions_per_hour: int = Field(default=100, ge=0, le=1_000_000)
    # None: the sender of REACTOR_EMAIL_URL.
    email_from: EmailAddress | None = None
    email_from_name: str | None = Field(default=None, max_length=200)
    email_reply_to: EmailAddress | None = None
    # One-click (RFC 8058): an https address that unsubscribes whoever is posted to it.
    unsubscribe_url: WebUrl | None = None
    templates: Annotated[Mapping[Tone, TemplateSource], BeforeValidator(_without_nulls)] = Field(
        default_factory=dict
    )
    alerts: AlertSettings = AlertSettings()

    _nulls = model_validator(mode="before")(_without_nulls)


KNOWN_KEYS = frozenset(AgentSettings.model_fields)


@dataclass(frozen=True, slots=True)
class LoadedSettings:
    """settings with its broken parts replaced by defaults, and what was wrong with these parts."""

    settings: AgentSettings
    problems: tuple[str, ...]

    @property
    def usable(self) -> bool:
        return not self.problems

    @property
    def channels_known(self) -> bool:
        """Whether the part that says where alerts go could be read."""
        return not any(problem.startswith("alerts") for problem in self.problems)


def parse_settings(raw: object) -> LoadedSettings:
    """Judge the JSON of tenants.agent_settings. Never raises; secrets never appear in the problems."""
    if raw is None:
        raw = {}
    if not isinstance(raw, dict):
        return LoadedSettings(AgentSettings(), (f"agent_settings is {type(raw).__name__}, not an object",))
    given = {str(key): value for key, value in raw.items()}
    try:
        return LoadedSettings(AgentSettings.model_validate(given), ())
    except ValidationError as error:
        problems = tuple(_say(item["loc"], item["msg"]) for item in error.errors(include_input=False))
        broken = {str(item["loc"][0]) for item in error.errors(include_input=False) if item["loc"]}
    sound = {key: value for key, value in given.items() if key not in broken}
    return LoadedSettings(AgentSettings.model_validate(sound), problems)


def check_settings(raw: object, *, allow_private: bool = False) -> list[str]:
    """For whoever saves settings: every problem, every webhook that will be refused unless
    REACTOR_WEBHOOK_ALLOW_PRIVATE says otherwise, and every key that we do not know. Empty: all is well."""
    loaded = parse_settings(raw)
    found = list(loaded.problems)
    if not allow_private and (url := loaded.settings.alerts.webhook_url) is not None:
        why = refused_as_written(url)
        found += [f"alerts.webhook_url: {why} (REACTOR_WEBHOOK_ALLOW_PRIVATE=true allows it)"] if why else []
    if isinstance(raw, dict):
        found += [f"{key}: not a setting of ours" for key in raw if str(key) not in KNOWN_KEYS]
    return found


def _say(where: tuple[int | str, ...], what: str) -> str:
    return (
        f"{'.'.join(str(part) for part in where) or 'agent_settings'}: {what.removeprefix('Value error, ')}"
    )
