"""Sets structlog up: one event a line on stderr, as JSON for programs or coloured for a person.

What libraries log through the standard library goes the same way. Secrets are hidden twice: by the name of
the key they are under, and wherever the text of one of our own settings' secrets turns up.
"""

import json
import logging
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from urllib.parse import unquote, urlsplit

import orjson
import structlog
from pydantic import SecretStr
from structlog.typing import EventDict, Processor, WrappedLogger

from reactor.errors import redact
from reactor.settings import Settings

_HIDDEN = "***"
_SECRET_KEY = re.compile(
    r"passw(or)?d|secret|token|api_?key|authorization|cookie|credential|dsn$|(database|listen|email|otlp)_url$",
    re.IGNORECASE,
)
_BEARER = re.compile(r"(?i)\b(bearer|basic)\s+[\w.~+/=-]{6,}")
_KEY_IN_URL = re.compile(r"\b(resend|smtps?|https?)://[^\s/@]+@")
#: A shorter password would blank out ordinary words.
_SHORTEST = 5
#: What is nested deeper is not looked into.
_DEEPEST = 20

#: Libraries that say too much at info.
_NOISY = ("asyncio", "httpx2", "httpcore2", "aiosmtplib", "uvicorn.access", "uvicorn.error")


def configure(settings: Settings) -> None:
    """Called once by a process that runs the reactor, before anything is logged.

    Also takes over the root logger of the standard library.
    """
    level = logging.getLevelNamesMapping()[settings.log_level.upper()]
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        _add_trace,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
        hider(secrets_of(settings)),
    ]
    renderer = _renderer(settings)
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    for name in _NOISY:
        logging.getLogger(name).setLevel(max(level, logging.WARNING))


def _add_trace(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """The span that it happened in, where the process makes any."""
    opentelemetry = sys.modules.get("opentelemetry.trace")
    if opentelemetry is not None:
        where = opentelemetry.get_current_span().get_span_context()
        if where.is_valid:
            event["trace_id"], event["span_id"] = f"{where.trace_id:032x}", f"{where.span_id:016x}"
    return event


def secrets_of(settings: Settings) -> frozenset[str]:
    """The secret texts among the settings: tokens, and the passwords inside URLs."""
    found: set[str] = set()
    for value in _secret_values(settings):
        try:
            parts = urlsplit(value)
        except ValueError:
            continue
        if "://" not in value:
            found.add(value)
        elif parts.password:
            found |= {parts.password, unquote(parts.password)}
        elif parts.username and parts.scheme == "resend":
            found |= {parts.username, unquote(parts.username)}
    return frozenset(text for text in found if len(text) >= _SHORTEST)


def hider(secrets: Iterable[str]) -> Callable[[WrappedLogger, str, EventDict], EventDict]:
    """A processor that takes secrets out of everything an event carries."""
    known = sorted(secrets, key=len, reverse=True)

    def hide(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        return {key: value if key[:1] == "_" else clean(key, value) for key, value in event.items()}

    def clean(key: str, value: object, depth: int = 0) -> object:
        if depth > _DEEPEST:
            return f"<{type(value).__name__}>"
        if _SECRET_KEY.search(key) and not isinstance(value, bool | int | float | None):
            return _HIDDEN
        match value:
            case str():
                return text(value)
            case Mapping():
                return {str(name): clean(str(name), item, depth + 1) for name, item in value.items()}
            case list() | tuple() | set() | frozenset():
                return [clean("", item, depth + 1) for item in value]
            case bool() | int() | float() | None:
                return value
            case _:
                try:
                    return text(str(value))
                except Exception:  # an application's class may raise when asked
                    return f"<{type(value).__name__}>"

    def text(value: str) -> str:
        for secret in known:
            value = value.replace(secret, _HIDDEN)
        value = _KEY_IN_URL.sub(rf"\1://{_HIDDEN}@", redact(value))
        return _BEARER.sub(rf"\1 {_HIDDEN}", value)

    return hide


def _secret_values(settings: Settings) -> Iterable[str]:
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        for item in value if isinstance(value, tuple) else (value,):
            if isinstance(item, SecretStr):
                yield item.get_secret_value()


def _renderer(settings: Settings) -> Processor:
    if settings.log_format == "json":
        return structlog.processors.JSONRenderer(serializer=_dumps)
    # The pretty traceback prints local variables, and with them whatever they hold.
    return structlog.dev.ConsoleRenderer(
        colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
    )


def _dumps(event: EventDict, default: Callable[[object], object]) -> str:
    first = {key: event[key] for key in ("timestamp", "level", "event") if key in event}
    whole = first | dict(event)
    try:
        return orjson.dumps(whole, default=default, option=orjson.OPT_NON_STR_KEYS).decode()
    except TypeError:
        # Half a surrogate pair, or a number beyond 64 bits. Whoever logs must not fail because of it.
        return json.dumps({str(key): _as_text(value) for key, value in whole.items()})


def _as_text(value: object) -> str:
    if isinstance(value, str):
        return value
    try:
        return repr(value)
    except ValueError:  # an integer of more digits than Python prints
        return f"<{type(value).__name__}>"
