"""Prometheus metrics: names start with reactor_, units are base units, no label holds a tenant."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from reactor.telemetry.backlog import BacklogGauges

REGISTRY = CollectorRegistry()

EVENTS_SETTLED = Counter(
    "reactor_events_settled_total",
    "Events settled, by what became of them.",
    ["outcome"],
    registry=REGISTRY,
)
CLAIMS = Counter("reactor_claims_total", "Claims, by whether they found work.", ["found"], registry=REGISTRY)
RUNS_LOST = Counter("reactor_runs_lost_total", "Runs that lost their lease.", registry=REGISTRY)
RUNS_WITHOUT_CONNECTION = Counter(
    "reactor_runs_without_connection_total",
    "Runs that were given back because the server gave their handlers no connection.",
    registry=REGISTRY,
)
RUNS_ACTIVE = Gauge("reactor_runs_active", "Leases held by this replica.", registry=REGISTRY)
LISTENER_UP = Gauge(
    "reactor_listener_up", "1 while the listening connection is healthy.", ["database"], registry=REGISTRY
)
LISTENER_RECONNECTS = Counter(
    "reactor_listener_reconnects_total", "Times the listener had to connect again.", registry=REGISTRY
)
LEADER = Gauge("reactor_leader", "1 while this replica leads.", ["database"], registry=REGISTRY)
ROTATIONS = Counter(
    "reactor_rotations_total",
    "Looks at an outbox full of dead rows that nothing may remove, by what came of them.",
    ["outcome"],
    registry=REGISTRY,
)
CANARY_SECONDS = Histogram(
    "reactor_canary_seconds",
    "From the commit of a canary event to its handler.",
    buckets=(0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300),
    registry=REGISTRY,
)
CANARY_HEARD = Gauge(
    "reactor_canary_heard_timestamp_seconds",
    "When the last canary event that came through was sent, in Unix time.",
    ["database"],
    registry=REGISTRY,
)
#: Of each database that this replica leads, and of no other.
BACKLOG = BacklogGauges()
REGISTRY.register(BACKLOG)

EMAILS_SENT = Counter(
    "reactor_emails_sent_total",
    "Emails that a provider accepted, those that deliver alerts included.",
    ["provider"],
    registry=REGISTRY,
)
EMAILS_FAILED = Counter(
    "reactor_emails_failed_total",
    "Tries to send an email that failed, by class of failure.",
    ["provider", "error_type"],
    registry=REGISTRY,
)
EMAIL_SEND_SECONDS = Histogram(
    "reactor_email_send_seconds",
    "How long the provider took to answer, whatever it said.",
    ["provider"],
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30),
    registry=REGISTRY,
)
EMAIL_CIRCUIT_OPEN = Gauge(
    "reactor_email_circuit_open",
    "1 from the opening of this replica's circuit until an email has gone out again.",
    registry=REGISTRY,
)
ACTIONS_BLOCKED = Counter(
    "reactor_actions_blocked_total",
    "Actions that a policy blocked.",
    ["action", "policy"],
    registry=REGISTRY,
)
ALERTS_CREATED = Counter(
    "reactor_alerts_created_total", "Alerts that were raised, by anybody.", ["severity"], registry=REGISTRY
)
ALERTS_DELIVERED = Counter(
    "reactor_alerts_delivered_total", "Alerts that a channel took.", ["channel"], registry=REGISTRY
)
ALERTS_FAILED = Counter(
    "reactor_alerts_failed_total", "Alerts that were given up for a channel.", ["channel"], registry=REGISTRY
)
ALERTS_ESCALATED = Counter(
    "reactor_alerts_escalated_total",
    "Repetitions of critical alerts that nobody acknowledged.",
    registry=REGISTRY,
)

# A series that comes into being with its first count has no increase for Prometheus: an alert about the first
# dead event would not fire. So each whose label is known beforehand is there from the start, at 0.
for _counter, _values in (
    (EVENTS_SETTLED, ("handled", "retry", "dead", "discard")),
    (CLAIMS, ("yes", "no")),
    (ROTATIONS, ("rotated", "held", "backlog", "published")),
    (ALERTS_CREATED, ("info", "warning", "critical")),
    (ALERTS_DELIVERED, ("webhook", "email")),
    (ALERTS_FAILED, ("webhook", "email")),
):
    for _value in _values:
        _counter.labels(_value)
