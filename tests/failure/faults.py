"""What the monkey can do. Each fault is a coroutine that injects, waits, heals, and probes.

Faults overlap, as they do in life, so the slowest recoveries are those that met the next fault.
"""

from collections.abc import Awaitable, Callable

from tests.failure import connection_faults as connections
from tests.failure import process_faults as processes
from tests.failure import server_faults as servers
from tests.failure.monkey import Fault, Monkey

#: Kinds, and how likely each is.
FAULTS: dict[str, tuple[Callable[[Monkey, Fault], Awaitable[None]], float]] = {
    "kill -9": (processes.kill_nine, 10),
    "stopped past its lease": (processes.stop_past_lease, 7),
    "listener backend ended": (connections.end_listener, 11),
    "handler backends ended": (connections.end_handlers, 11),
    "engine backends ended": (connections.end_engine, 11),
    "leader's backends ended": (connections.end_leader, 7),
    "server crash": (servers.crash_server, 3),
    "server read-only": (servers.read_only, 4),
    "connection slots full": (servers.fill_slots, 4),
    "half-open connections": (connections.half_open, 6),
    "black hole": (connections.black_hole, 4),
    "connections reset": (connections.reset, 8),
    "slow network": (connections.slow_network, 5),
    "clock jump": (processes.jump_clock, 8),
    "deploy": (processes.deploy, 6),
    "outside lock holder": (servers.outsider, 9),
    "long reader": (servers.long_reader, 3),
    "outbox rewritten": (servers.rotate, 5),
    "receiver kill -9": (processes.kill_receiver, 3),
    "receiver stopped": (processes.stop_receiver, 3),
    "poison event": (processes.poison, 0.3),
}
