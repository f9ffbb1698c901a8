"""Event-driven automation for multi-tenant PostgreSQL.

application write → trigger → outbox row (+ NOTIFY), in the writer's transaction
  → listener (woken) → claim: tenant lease + its events, one round trip
  → handler, inside the tenant's scope → write-back + acknowledgement + fence, one transaction
  → lease released, or kept while the tenant has more
"""

from reactor.app import Reactor, Resources
from reactor.context import Context
from reactor.errors import Discard, ReactorError, Retry
from reactor.events import Event
from reactor.settings import Settings
from reactor.upkeep.schedule import JobContext

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
