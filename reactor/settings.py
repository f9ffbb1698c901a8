"""The settings, and the only reader of the environment.

Every setting is a variable REACTOR_…, in the environment or in a file ``.env`` of the working
directory (the environment wins). :func:`load` turns a wrong one into a single line that names the
variable, what was wrong and what would be right. Secrets are SecretStr: their repr shows nothing.
"""

import difflib
import os
import socket
import sys
import uuid
from collections.abc import Iterable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlencode, urlsplit

from dotenv.parser import parse_stream
from pydantic import AliasChoices, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    DotEnvSettingsSource,
    EnvSettingsSource,
    NoDecode,
    SettingsConfigDict,
)

from reactor.errors import SettingError

PREFIX = "REACTOR_"

Notify = Literal["armed", "always", "off"]
Pooler = Literal["auto", "none", "transaction"]
LogFormat = Literal["json", "console"]
LogLevel = Literal["debug", "info", "warning", "error"]

_DATABASE_URL = ("REACTOR_DATABASE_URL", "DATABASE_URL")
_POSTGRES = ("postgres", "postgresql")
_EMAIL = ("smtp", "smtps", "resend", "console")
_HTTP = ("http", "https")
_Days = Annotated[int, Field(ge=1, le=3650)]


def _replica_name() -> str:
    return f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:6]}"


class Settings(BaseSettings):
    """All settings. The comment of each says its unit, what zero means, and its default."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_file=".env",
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,
        populate_by_name=True,
        # A secret that was made of a file ends with its last line's end.
        str_strip_whitespace=True,
    )

    # libpq URL for the pool; may point at PgBouncer in transaction mode. DATABASE_URL is read when
    # it is absent, then the PG* variables. Default: none (`reactor demo` starts a server of its own).
    database_url: SecretStr | None = Field(None, validation_alias=AliasChoices(*_DATABASE_URL))
    # Direct URL for LISTEN, past any pooler. Default: the database URL.
    listen_url: SecretStr | None = None
    # URLs of several servers, comma separated; one fleet serves them all. Default: only database_url.
    databases: Annotated[tuple[SecretStr, ...], NoDecode] = ()
    # Whether a transaction-mode pooler is between us and the server: auto finds out. Default auto.
    pooler: Pooler = "auto"
    # Connections for handlers. 0: one for each tenant in hand (concurrency). The engine has up to 10 more,
    # and one listens. Default 0.
    pool_size: int = Field(0, ge=0, le=1000)

    # Tenants handled at once by a replica. Never zero. Default 8.
    concurrency: int = Field(8, ge=1, le=1000)
    # Seconds that a lease lasts without a heartbeat. At least 1. Default 30.
    lease_seconds: float = Field(30, ge=1, le=3600)
    # Events that one claim takes of a tenant. Never zero. Default 200.
    batch_size: int = Field(200, ge=1, le=10_000)
    # Tries that a handler may fail before its event is dead. Never zero. Default 10.
    max_attempts: int = Field(10, ge=1, le=1000)
    # Tries that a deploy, a kill or a lost connection may cut short. Never zero. Default 20.
    max_interruptions: int = Field(20, ge=1, le=1000)
    # Seconds between looks at the outbox while notifications work; never more than 1 while they do
    # not. Never zero. Default 30.
    poll_seconds: float = Field(30, ge=0.05, le=3600)
    # Seconds between canaries, events of our own that show that events are handled; readiness looks at them.
    # 0: none. Default 60.
    canary_seconds: float = Field(60, ge=0, le=3600)
    # So many finished events that vacuum may not remove, because of somebody's old snapshot, and the outbox
    # is rewritten. 0: never, which is for those who stream it elsewhere. Default 10000.
    rotate_dead_rows: int = Field(10_000, ge=0, le=2_000_000_000)
    # Seconds that a stopping replica waits for what is in flight. 0: not at all. Default 25, which is
    # less than the 30 that Kubernetes gives.
    drain_seconds: float = Field(25, ge=0, le=3600)
    # When writers ring: armed (only while a replica sleeps), always, off (for poolers). Default armed.
    notify: Notify = "armed"
    # Name of this replica, as shown in locks and logs. Default host-pid-random.
    replica: str = Field(default_factory=_replica_name, min_length=1, max_length=200)

    # Address of probes, metrics and the dashboard. Default 127.0.0.1: this machine only.
    http_host: str = Field("127.0.0.1", min_length=1)
    # Its port. 0: any free one. Default 8080.
    http_port: int = Field(8080, ge=0, le=65535)
    # Bearer token, or login, that everybody needs for the dashboard, its API and /metrics.
    # Default none: only this machine may see them.
    dashboard_token: SecretStr | None = Field(None, min_length=8)
    # Whether this machine needs no token although there is one. Default false.
    dashboard_trust_loopback: bool = False

    # json or console. Default: console on a terminal, else json.
    log_format: LogFormat = Field(default_factory=lambda: "console" if sys.stderr.isatty() else "json")
    # debug, info, warning or error. Default info.
    log_level: LogLevel = "info"
    # A collector that takes OTLP over HTTP, to which traces go. Default: none.
    otlp_url: SecretStr | None = None

    # smtp://user:password@host:port, smtps://…, resend://KEY@host, or console://. Default console://.
    email_url: SecretStr = SecretStr("console://")
    # Sender of emails where a tenant names none in agent_settings.
    email_from: str = Field("reactor@localhost", pattern=r"^[^@]*<?[^@\s<>]+@[^@\s<>]+>?$")
    # Whether webhooks may go to private and link-local addresses. Default false.
    webhook_allow_private: bool = False
    # Minutes in which a repeated alert_type of a tenant is not delivered again. 0: always deliver.
    # Default 60.
    alert_dedup_minutes: int = Field(60, ge=0, le=10_080)

    # Days that rows are kept. Never zero. Unacknowledged alerts are kept for ever.
    retention_runs_days: _Days = 90
    retention_violations_days: _Days = 90
    retention_email_failures_days: _Days = 30
    retention_reflections_days: _Days = 180
    retention_rate_limits_days: _Days = 2
    retention_alerts_days: _Days = 90
    retention_events_days: _Days = 7

    @property
    def dsn(self) -> str:
        """The database URL, as text with its password. Raises SettingError when there is none."""
        if self.database_url is not None:
            return self.database_url.get_secret_value()
        if self.databases:
            return self.databases[0].get_secret_value()
        if any(
            os.environ.get(name) for name in ("PGHOST", "PGHOSTADDR", "PGSERVICE", "PGDATABASE", "PGUSER")
        ):
            return _of_environment()
        raise SettingError(
            "REACTOR_DATABASE_URL is not set",
            hint="set it to postgresql://user:password@host:5432/database, or try `reactor demo` first",
        )

    @property
    def listen_dsn(self) -> str:
        """The direct URL, as text with its password."""
        return self.listen_url.get_secret_value() if self.listen_url else self.dsn

    @property
    def dsns(self) -> tuple[str, ...]:
        """The URLs of all servers that this fleet works for."""
        return tuple(url.get_secret_value() for url in self.databases) or (self.dsn,)

    @property
    def lease(self) -> timedelta:
        """How long a lease lasts without a heartbeat."""
        return timedelta(seconds=self.lease_seconds)

    @property
    def poll(self) -> timedelta:
        """How often to look at the outbox while notifications work."""
        return timedelta(seconds=self.poll_seconds)

    @property
    def canary(self) -> timedelta:
        """How often to send a canary; zero: never."""
        return timedelta(seconds=self.canary_seconds)

    @property
    def drain(self) -> timedelta:
        """How long to wait for what is in flight at a stop."""
        return timedelta(seconds=self.drain_seconds)

    @field_validator("databases", mode="before")
    @classmethod
    def _split_databases(cls, value: object) -> object:
        return tuple(_apart(value)) if isinstance(value, str) else value

    @field_validator("log_level", "log_format", "notify", "pooler", mode="before")
    @classmethod
    def _lower(cls, value: object) -> object:
        return value.strip().lower() if isinstance(value, str) else value

    @field_validator("database_url", "listen_url")
    @classmethod
    def _is_postgres(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            _check_url(value.get_secret_value(), _POSTGRES)
        return value

    @field_validator("databases")
    @classmethod
    def _are_postgres(cls, value: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        for url in value:
            _check_url(url.get_secret_value(), _POSTGRES)
        if len(set(value)) < len(value):
            raise ValueError("it names a database twice")
        return value

    @field_validator("email_url")
    @classmethod
    def _is_email(cls, value: SecretStr) -> SecretStr:
        _check_url(value.get_secret_value(), _EMAIL)
        return value

    @field_validator("otlp_url")
    @classmethod
    def _is_collector(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            _check_url(value.get_secret_value(), _HTTP)
        return value


_URL = "postgresql://user:password@host:5432/database"
#: What REACTOR_EMAIL_URL may be, as a hint. Not for a message: passwords are taken out of those.
EMAIL_URLS = "write smtp://user:password@host:587, smtps://…, resend://KEY@api.resend.com or console://"
_RIGHT: Mapping[str, str] = {
    "database_url": f"write {_URL}",
    "listen_url": f"write {_URL}",
    "databases": f"write {_URL}, several separated by commas",
    "email_url": EMAIL_URLS,
    "otlp_url": "write http://collector:4318, the port that takes OTLP over HTTP",
    "email_from": "write name@example.com, or Name <name@example.com>",
    "dashboard_token": "choose at least 8 characters, e.g. from `openssl rand -hex 24`",
}


def load(**overrides: object) -> Settings:
    """The settings; ``overrides``, by field name, win. Raises SettingError, one line."""
    for name in overrides.keys() - Settings.model_fields.keys():
        meant = difflib.get_close_matches(name, Settings.model_fields, n=1)
        hint = (
            f"did you mean {meant[0]}?"
            if meant
            else "docs/settings.md lists all settings, by their variables"
        )
        raise SettingError(f"{name} is not a setting", hint=hint)
    _refuse_misspelt(os.environ, "")
    # Read here and not by Settings(): its constructor has no type that takes a mapping.
    found = _file() | EnvSettingsSource(Settings)()
    if "database_url" in overrides:
        found = {key: value for key, value in found.items() if key not in _DATABASE_URL}
    try:
        return Settings.model_validate(found | overrides)
    except ValidationError as error:
        raise _as_setting_error(error) from None


def _file() -> dict[str, object]:
    try:
        _refuse_unreadable_lines(Path(".env"))
        source = DotEnvSettingsSource(Settings)
        # Its names are in lower case, however they are written.
        _refuse_misspelt((name.upper() for name in source.env_vars), " (in the file .env)")
        return source()
    except (UnicodeDecodeError, OSError) as error:
        why = "it is not UTF-8 text" if isinstance(error, UnicodeDecodeError) else error.strerror
        raise SettingError(f"the file .env cannot be read: {why}", hint="mend or remove it") from None


def _refuse_unreadable_lines(file: Path) -> None:
    """dotenv passes over what it cannot read, and with it the setting that somebody meant to write."""
    if not file.is_file():
        return
    with file.open(encoding="utf-8") as stream:
        for statement in parse_stream(stream):
            if statement.error:
                # Not repeated: it may hold a password.
                raise SettingError(
                    f"the file .env cannot be read: line {statement.original.line} is wrong",
                    hint="write NAME=value, with quotes around a value that has blanks or #",
                )


def variable(name: str) -> str:
    """The variable of a field."""
    return PREFIX + name.upper()


def _apart(urls: str) -> list[str]:
    """URLs that commas separate. Each may have some of its own: between hosts, in its password, and in the
    parameters behind a question mark."""
    apart: list[str] = []
    for part in urls.split(","):
        so_far = apart[-1].partition("://")[2] if apart else "/"
        if "://" in part or ("/" in so_far and "?" not in so_far):
            apart.append(part.strip())
        else:
            apart[-1] += f",{part.strip()}"
    return [url.rstrip(",") for url in apart if url]


def _of_environment() -> str:
    """A URL for the PG* variables, which the driver reads itself. Several servers must stand in the URL: the
    driver would give all of them together one limit."""
    if "," not in os.environ.get("PGHOST", ""):
        return "postgresql://"
    names = {"host": "PGHOST", "port": "PGPORT", "target_session_attrs": "PGTARGETSESSIONATTRS"}
    given = {key: os.environ[name] for key, name in names.items() if os.environ.get(name)}
    return f"postgresql:///?{urlencode(given)}"


def _check_url(url: str, schemes: tuple[str, ...]) -> None:
    try:
        parts = urlsplit(url)
        hosts = parts.netloc.rpartition("@")[2]
        # A database may be on one of several servers, each with its port.
        for host in hosts.split(",") if schemes == _POSTGRES else [hosts]:
            _ = urlsplit(f"//{host}").port
    except ValueError:
        # Never with the parser's words: what it takes for the port may be a piece of the password.
        raise ValueError(
            "it cannot be read as a URL; in a password write / as %2F, ? as %3F, # as %23, @ as %40"
        ) from None
    if parts.scheme not in schemes:
        kinds = " or ".join(f"{scheme}://" for scheme in schemes)
        raise ValueError(f"it does not begin with {kinds}")


def _as_setting_error(error: ValidationError) -> SettingError:
    problems = error.errors(include_url=False)
    first = problems[0]
    place = str(first["loc"][0]) if first["loc"] else ""
    name = place.lower().removeprefix(PREFIX.lower())
    if place == "DATABASE_URL" or (name == "database_url" and not os.environ.get(variable(name))):
        shown = "DATABASE_URL"
    else:
        shown = variable(name)
    text = (
        first["msg"]
        .replace("items after validation", "characters")
        .removeprefix("Value error, ")
        .removeprefix("Value ")
        .removeprefix("Input ")
    )
    if first["type"] == "string_pattern_mismatch":
        text = "is not of that form"  # nobody reads a regular expression
    if not _is_secret(name):
        text = f"'{_printable(str(first['input'])[:60])}' {text}"
    others = len(problems) - 1
    more = f" (and {others} more {'setting is' if others == 1 else 'settings are'} wrong)" if others else ""
    return SettingError(f"{shown} is wrong: {text}{more}", hint=_right(name, first["input"]))


def _printable(text: str) -> str:
    """As it may stand in one line on a terminal."""
    return "".join(ch if ch.isprintable() else "\N{REPLACEMENT CHARACTER}" for ch in text)


def _is_secret(name: str) -> bool:
    field = Settings.model_fields.get(name)
    return field is None or "SecretStr" in str(field.annotation)


def _right(name: str, given: object) -> str:
    if str(given).startswith("tcp://"):
        return "Kubernetes sets it for a Service of that name: set enableServiceLinks: false in the pod"
    if name in _RIGHT:
        return _RIGHT[name]
    field = Settings.model_fields.get(name)
    if field is None:
        return "docs/settings.md lists all settings"
    limits = [
        f"{words} {getattr(item, side)}"
        for item in field.metadata
        for side, words in (("ge", "at least"), ("le", "at most"))
        if hasattr(item, side)
    ]
    if field.annotation is bool:
        return f"write true or false; the default is {str(field.default).lower()}"
    kind = "whole number, " if field.annotation is int else "number, " if field.annotation is float else ""
    accepted = f"write a {kind}{', '.join(limits)}; " if limits else ""
    return f"{accepted}the default is {field.get_default(call_default_factory=True, validated_data={})}"


def _refuse_misspelt(names: Iterable[str], where: str) -> None:
    """A setting that is misspelt would be ignored in silence, and its default used."""
    known = {variable(name) for name in Settings.model_fields}
    for given in names:
        if given.startswith(PREFIX) and given not in known:
            meant = difflib.get_close_matches(given, known, n=1, cutoff=0.92)
            if meant:
                named = f"{_printable(given)}{where}"
                raise SettingError(f"{named} is not a setting", hint=f"did you mean {meant[0]}?")
