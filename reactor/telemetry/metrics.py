"""Prometheus metrics: names start with reactor_, units are base units, no label holds a tenant."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

REGISTRY = CollectorRegistry()

EVENTS_SETTLED = Counter(
    "reactor_events_settled_total",
    "Events settled, by what became of them.",
    ["outcome"],
    registry=REGISTRY,
)
CLAIMS = Counter("reactor_claims_total", "Claims, by whether they found work.", ["found"], registry=REGISTRY)
RUNS_LOST = Counter("reactor_runs_lost_total", "Runs that lost their lease.", registry=REGISTRY)
RUNS_ACTIVE = Gauge("reactor_runs_active", "Leases held by this replica.", registry=REGISTRY)
LISTENER_UP = Gauge("reactor_listener_up", "1 while the listening connection is healthy.", registry=REGISTRY)
LISTENER_RECONNECTS = Counter(
    "reactor_listener_reconnects_total", "Times the listener had to connect again.", registry=REGISTRY
)
LEADER = Gauge("reactor_leader", "1 while this replica leads.", registry=REGISTRY)
CANARY_SECONDS = Histogram(
    "reactor_canary_seconds",
    "From the commit of a canary event to its handler.",
    buckets=(0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300),
    registry=REGISTRY,
)
CANARY_HEARD = Gauge(
    "reactor_canary_heard_timestamp_seconds",
    "When the last canary event that came through was sent, in Unix time.",
    registry=REGISTRY,
)
