"""What is nobody's fault: the server or the way to it failed, the lease was lost, the replica stops."""

import asyncio

import asyncpg

from reactor.db.borrow import is_gone
from reactor.engine.scope import Scope, ScopeUnavailable

# The server or the way to it failed, not the handler: admin_shutdown, crash_shutdown, cannot_connect_now,
# read_only_sql_transaction (a failover is under way), disk_full, out_of_memory, too_many_connections.
_INFRASTRUCTURE = {"57P01", "57P02", "57P03", "25006", "53100", "53200", "53300"}
#: The class of lost and refused connections.
_CONNECTION_CLASS = "08"


class Interrupted(Exception):
    """The infrastructure cut a run short; its events are not to blame."""


def is_infrastructure(error: BaseException, scope: Scope) -> bool:
    """Whether the server failed, or the way to it, and not a handler."""
    if isinstance(error, ScopeUnavailable):
        return True
    if isinstance(error, asyncpg.PostgresError) and is_servers(error):
        return True
    connection = scope.connection
    return connection is not None and is_gone(connection)


def is_servers(error: asyncpg.PostgresError) -> bool:
    """Whether this says that the server failed, or that the connection to it is lost."""
    state = error.sqlstate or ""
    return state in _INFRASTRUCTURE or state.startswith(_CONNECTION_CLASS)


def forget_cancellation() -> None:
    """The task goes on: what cancelled it, more than once perhaps, has been dealt with."""
    task = asyncio.current_task()
    while task is not None and task.cancelling():
        task.uncancel()


def is_cancelled() -> bool:
    """Whether somebody asked this task to end."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
