"""What is nobody's fault: the server or the way to it failed, the lease was lost, the replica stops."""

import asyncio
import traceback
from typing import Any

import asyncpg
from structlog.typing import FilteringBoundLogger

from reactor.db.borrow import is_gone, is_write_protected
from reactor.engine.scope import Connection, Scope, ScopeUnavailable
from reactor.errors import kind_of, text_of
from reactor.telemetry import names

# Of a statement of ours, these say that the server failed, or the way to it: admin_shutdown, crash_shutdown,
# cannot_connect_now, read_only_sql_transaction (a failover is under way), disk_full, out_of_memory,
# too_many_connections.
_INFRASTRUCTURE = {"57P01", "57P02", "57P03", "25006", "53100", "53200", "53300"}
#: The class of lost and refused connections.
_CONNECTION_CLASS = "08"


class Interrupted(Exception):
    """The infrastructure cut a run short; its events are not to blame."""

    @classmethod
    def by(cls, error: BaseException) -> "Interrupted":
        """With what is known of why: of a session that ended the driver says what it can no longer do."""
        if isinstance(error, cls):
            return error
        # Of one that ended in between two calls, or in the middle of the driver's own bookkeeping.
        ended = isinstance(error, asyncpg.InterfaceError | asyncpg.InternalClientError)
        return cls(
            "the handler's session was ended, by the server or on the way to it" if ended else text_of(error)
        )


def is_infrastructure(error: BaseException, scope: Scope) -> bool:
    """Whether a handler's error is our server's, or the way's to it, and not the handler's own.

    An SQLSTATE does not tell: a handler may have another database, and dblink and postgres_fdw raise what
    another server said in our own session. Our connection does, since it is closed when its session ended,
    and knows when its server lets nobody write.
    """
    if isinstance(error, ScopeUnavailable):
        return True
    connection = scope.connection
    if connection is not None:
        return is_gone(connection) or _is_write_protected(error, connection)
    # It was cut while the handler waited for an answer, and is not the scope's any more.
    return scope.broken and isinstance(error, asyncpg.PostgresError) and is_servers(error)


def cut_short(error: Exception, scope: Scope) -> bool:
    """Whether that is why a settlement failed: here the statements are ours, and only what the handler's
    transaction does at its end (a deferred trigger, say) may speak of another server."""
    connection = scope.connection
    if connection is not None:
        return is_gone(connection) or _is_write_protected(error, connection)
    return isinstance(error, asyncpg.PostgresError) and is_servers(error)


def _is_write_protected(error: BaseException, connection: Connection) -> bool:
    """Whether the server lets nobody write, as in a failover, rather than this transaction alone."""
    return isinstance(error, asyncpg.ReadOnlySQLTransactionError) and is_write_protected(connection)


def is_servers(error: asyncpg.PostgresError) -> bool:
    """Whether this says that the server failed, or that the connection to it is lost."""
    state = error.sqlstate or ""
    return state in _INFRASTRUCTURE or state.startswith(_CONNECTION_CLASS)


def say_unforeseen(log: FilteringBoundLogger, error: Exception, **facts: Any) -> None:
    """An error that nobody thought of, most likely of ours, with all that helps to find it."""
    try:
        trace = "".join(traceback.format_exception(error))
    except Exception as refused:
        # An application's class in its chain may be what is wrong in the first place.
        trace = f"(its traceback cannot be written: {kind_of(refused)})"
    told = f"{kind_of(error)}: {text_of(error)}"
    log.error(names.RUN_INTERRUPTED, error=told, exception=trace, **facts)


def forget_cancellation() -> None:
    """The task goes on: what cancelled it, more than once perhaps, has been dealt with."""
    task = asyncio.current_task()
    while task is not None and task.cancelling():
        task.uncancel()


def is_current(task: asyncio.Task[None] | None) -> bool:
    """Whether this task is at work, and its coroutine not just being closed by the interpreter."""
    try:
        return asyncio.current_task() is task
    except RuntimeError:
        return False  # there is no loop any more


def is_cancelled() -> bool:
    """Whether somebody asked this task to end."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
