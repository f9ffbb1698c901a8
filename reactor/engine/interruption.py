"""What is nobody's fault: the server or the way to it failed, the lease was lost, the replica stops."""

import asyncio
import math
import traceback
from typing import Any

import anyio
import asyncpg
from structlog.typing import FilteringBoundLogger

from reactor.db.borrow import is_gone, is_write_protected
from reactor.engine.run import Run
from reactor.engine.scope import Connection, Scope, ScopeUnavailable
from reactor.errors import Fenced, ReactorError, kind_of, text_of
from reactor.frames import traceback_of
from reactor.telemetry import names

# Of a statement of ours, these say that the server failed, or the way to it: admin_shutdown, crash_shutdown,
# cannot_connect_now, read_only_sql_transaction (a failover is under way), disk_full, out_of_memory,
# too_many_connections.
_INFRASTRUCTURE = {"57P01", "57P02", "57P03", "25006", "53100", "53200", "53300"}
#: The class of lost and refused connections.
_CONNECTION_CLASS = "08"
#: So many causes of an error are looked at: they may go in a circle.
_DEEPEST = 16


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


def handlers_own(caught: BaseException, run: Run, scope: Scope) -> BaseException:
    """The error that a call of a handler ended with, as its events' failure.

    Called where it was caught. What is nobody's fault is raised: as it is when the run was lost or the
    replica stops, or as Interrupted.
    """
    if isinstance(caught, asyncio.CancelledError):
        if not run.timed_out and (run.lost or is_to_end(run)):
            raise caught
        # We did not: it awaited something that was cancelled, or it was, and not by us.
        error = _cancelled(run) if is_cancelled() else None
        error = error or ReactorError(f"handler {run.handler} awaited a task that was cancelled")
        error.__traceback__ = traceback_of(caught)
        forget_cancellation()
        return error
    # Whatever class it is of, unless the coroutine is only closed, which is no raise of anybody's.
    if isinstance(caught, KeyboardInterrupt) or not is_current(run.task):
        raise caught
    # Of a checkpoint, not of a handler that raises our error itself.
    if isinstance(caught, Fenced) and run.lost:
        raise caught
    if is_infrastructure(caught, scope):
        raise Interrupted.by(caught) from caught
    return caught


def came_to(run: Run, error: BaseException | None) -> BaseException | None:
    """What a call of a handler came to now that it is over: no error, its own, or that it took too long.

    Raises Fenced when the lease was lost meanwhile.
    """
    if run.lost:
        # It went on although it was cancelled; nothing of it can be committed.
        forget_cancellation()
        raise Fenced("the lease was lost while the handler ran")
    if run.timed_out:
        # Also when the handler swallowed the cancellation and returned.
        run.timed_out = False
        forget_cancellation()
        stood = traceback_of(error) if error is not None else None
        error = TimeoutError(f"handler {run.handler} took longer than {run.limit:g} s")
        error.__traceback__ = stood
    return error


async def after_cancellation(run: Run, error: BaseException | None) -> BaseException | None:
    """The same, for a call after which our task is to be cancelled: that the handler did that, unless it has
    dealt with it. Raises CancelledError when it was us."""
    if is_to_end(run):
        return error
    try:
        # One that was asked for without a wait behind it would come at our own next one.
        await asyncio.sleep(0)
    except asyncio.CancelledError:
        if is_to_end(run):
            raise
        error = error or _cancelled(run)
    forget_cancellation()
    return error


def _cancelled(run: Run) -> ReactorError:
    return ReactorError(
        f"the task that handler {run.handler} runs in was cancelled, and not by the reactor",
        hint="asyncio.timeout() in a generator that nobody closes does that later, to whatever runs then",
    )


def is_infrastructure(error: BaseException, scope: Scope) -> bool:
    """Whether a handler's error is our server's, or the way's to it, and not the handler's own.

    An SQLSTATE does not tell: a handler may have another database, and dblink and postgres_fdw raise what
    another server said in our own session. Our connection does, since it is closed when its session ended,
    and knows when its server lets nobody write.
    """
    if isinstance(error, ScopeUnavailable):
        return True
    said = _said(error)
    connection = scope.connection
    if connection is not None:
        return is_gone(connection) or _is_write_protected(said, connection)
    # It was cut while the handler waited for an answer, and is not the scope's any more.
    return scope.broken and isinstance(said, asyncpg.PostgresError) and is_servers(said)


def _said(error: BaseException) -> BaseException:
    """What the server said, where a library over the driver, SQLAlchemy say, made its own error of it."""
    cause: BaseException | None = error
    for _ in range(_DEEPEST):
        if cause is None or isinstance(cause, asyncpg.PostgresError):
            return cause or error
        cause = cause.__cause__
    return error


def cut_short(error: Exception, scope: Scope) -> bool:
    """Whether that is why a settlement failed: here the statements are ours, and only what the handler's
    transaction does at its end (a deferred trigger, say) may speak of another server.

    Nor is a deadlock anybody's fault: who deletes a tenant has its row and its lease, and then waits for what
    the handler wrote, as the settlement does for the lease. Its events are tried again when that is over.
    """
    if isinstance(error, asyncpg.DeadlockDetectedError):
        return True
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


def is_refusal(error: BaseException) -> bool:
    """Whether the server works, and said no: to this, and not because of what somebody else was doing."""
    if isinstance(error, asyncpg.DeadlockDetectedError):
        return False
    return isinstance(error, asyncpg.PostgresError) and not is_servers(error)


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
    """Whether somebody, a handler perhaps, asked this task to end."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def is_to_end(run: Run) -> bool:
    """Whether we did (the drain, or the end of the replica), or a scope did that a handler left open.

    Once that is over, nothing can be awaited in this task any more.
    """
    return run.stopped or anyio.current_effective_deadline() == -math.inf
