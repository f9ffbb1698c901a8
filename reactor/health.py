"""How a replica is, as readiness is told."""

from dataclasses import dataclass, field
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class Health:
    """One replica at one moment."""

    #: which one it works on, without user and password
    database: str
    started: bool = False
    #: the last heartbeat was answered
    connected: bool = False
    listening: bool = False
    pooled: bool = False
    leading: bool = False
    draining: bool = False
    #: handlers get no connection, again and again
    starved: bool = False
    #: for how long no canary came through, when that is too long
    silence: timedelta | None = None
    runs: int = 0
    peers: list[str] = field(default_factory=list)
