"""Event-driven automation for multi-tenant PostgreSQL.

application write → trigger → outbox row (+ NOTIFY), in the writer's transaction
  → listener (woken) → claim: tenant lease + its events, one round trip
  → handler, inside the tenant's scope → write-back + acknowledgement + fence, one transaction
  → lease released, or kept while the tenant has more
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from reactor.app import Reactor
    from reactor.context import Context
    from reactor.errors import Discard, ReactorError, Retry
    from reactor.events import Event
    from reactor.lifespans import Resources
    from reactor.settings import Settings
    from reactor.upkeep.schedule import JobContext
else:
    _HOMES = {
        "Reactor": "app",
        "Resources": "lifespans",
        "Context": "context",
        "Discard": "errors",
        "ReactorError": "errors",
        "Retry": "errors",
        "Event": "events",
        "Settings": "settings",
        "JobContext": "upkeep.schedule",
    }

    def __getattr__(name):
        # Fetched when asked for: `reactor --help` also begins by importing this package.
        if name in ("builtin", "testing"):
            return import_module(f"{__name__}.{name}")
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = globals()[name] = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
        return value


__all__ = [
    "Context",
    "Discard",
    "Event",
    "JobContext",
    "Reactor",
    "ReactorError",
    "Resources",
    "Retry",
    "Settings",
]
