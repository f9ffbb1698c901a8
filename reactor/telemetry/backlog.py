"""The gauges of the backlog: what was measured last, for as long as that is believed."""

from collections.abc import Iterator, Mapping
from time import monotonic

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

#: Seconds. One measurement may fail before it is over, and a process that stood still does not show for a
#: moment what was true before.
_BELIEVED = 40.0

#: Column of reactor.backlog(), metric and help.
_GAUGES = (
    ("ready", "events_ready", "Events that could be handled, and that no run has in hand."),
    ("in_flight", "events_in_flight", "Events that runs have in hand."),
    ("delayed", "events_delayed", "Events whose time has not come, those to be tried again among them."),
    ("parked", "events_parked", "Events of tenants that are switched off."),
    ("dead", "events_dead", "Events that are not tried again by themselves."),
    ("oldest_seconds", "events_oldest_seconds", "How long the oldest event waits that may be handled."),
    ("tenants_waiting", "tenants_waiting", "Tenants with ready events that nobody holds."),
)


class BacklogGauges(Collector):
    """One for the process, with a series for each database that it leads."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[float, Mapping[str, float | None]]] = {}

    def show(self, database: str, found: Mapping[str, float | None]) -> None:
        """``found``: a row of reactor.backlog(), of this moment."""
        self._known[database] = (monotonic(), found)

    def forget(self, database: str) -> None:
        """Somebody else leads."""
        self._known.pop(database, None)

    def collect(self) -> Iterator[GaugeMetricFamily]:
        since = monotonic() - _BELIEVED
        believed = {database: found for database, (at, found) in list(self._known.items()) if at > since}
        for column, metric, says in _GAUGES:
            family = GaugeMetricFamily(f"reactor_{metric}", says, labels=["database"])
            for database, found in believed.items():
                family.add_metric([database], found[column] or 0)
            yield family
