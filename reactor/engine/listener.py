"""Listens: a connection of its own, direct, never inside a transaction.

It does not trust TCP: a round trip every few seconds finds a half-open connection. A notification is
only a hint; whenever the listener (re)connects, everything is looked at once, because what was
notified meanwhile is gone.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from datetime import timedelta

import anyio
import asyncpg
import structlog
from pydantic import SecretStr

from reactor.db.borrow import LOST
from reactor.db.pool import Connection, connect
from reactor.db.whereabouts import whereabouts
from reactor.errors import ReactorError
from reactor.telemetry import metrics, names

log = structlog.get_logger("reactor.listener")

CHANNEL = "reactor"

#: A silent peer is given up after the beat and the patience together: well under 15 s.
_BEAT = 6.0
_PATIENCE = 5.0
#: How often a session behind a pooler is tried.
_TRIES = 5


class Listener:
    """Started by the engine. Calls back in the event loop; the callbacks must not block."""

    def __init__(
        self,
        url: str | SecretStr,
        *,
        name: str,
        database: str,
        on_work: Callable[[], None],
        on_timer: Callable[[], None],
        on_gate: Callable[[], None],
        home: Callable[[], Awaitable[str | None]] | None = None,
    ) -> None:
        """``home`` says where the events are, as :func:`whereabouts` does: notifications stay in their
        database. Without it, or where it cannot say, the URL is believed."""
        self._url = url
        self._home = home
        self._name = name
        self._database = database
        self._on_work = on_work
        self._on_timer = on_timer
        self._on_gate = on_gate
        #: set while notifications arrive
        self.healthy = False
        #: set when a transaction-mode pooler stands between: notifications will never arrive
        self.pooled = False
        self._failures = 0

    async def run(self) -> None:
        """Listen until cancelled; reconnect with backoff and full jitter."""
        self._show(0)
        while True:
            try:
                await self._listen()
            except (*LOST, ReactorError) as error:
                log.warning(names.LISTENER_LOST, error=str(error) or type(error).__name__)
                self._failures += 1
            self._down()
            metrics.LISTENER_RECONNECTS.inc()
            # The first try is immediate: most often it was one backend that died, not the server.
            if self._failures > 1:
                await anyio.sleep(random.uniform(0, min(5.0, 0.1 * 2 ** min(self._failures, 10))))

    def _show(self, up: int) -> None:
        # Not before it is to listen: where it is not, nothing is missing.
        metrics.LISTENER_UP.labels(self._database).set(up)

    def _down(self) -> None:
        self.healthy = False
        self._show(0)
        # Whoever sleeps must stop relying on us.
        self._on_work()
        self._on_timer()

    async def _listen(self) -> None:
        connection = await self._connect()
        gone = asyncio.Event()
        try:
            connection.add_termination_listener(lambda _: gone.set())
            await connection.add_listener(CHANNEL, self._heard)
            async with asyncio.timeout(_PATIENCE):
                session = await _listening_session(connection)
                heard = session is not None and (
                    session == connection.get_server_pid() or await self._is_ours(connection, session)
                )
            if await self._is_elsewhere(connection):
                log.error(
                    names.LISTENER_ELSEWHERE,
                    hint="REACTOR_LISTEN_URL must lead to the database of REACTOR_DATABASE_URL; until then "
                    "the reactor polls",
                )
                await anyio.sleep(60)
                return
            if not heard:
                self.pooled = True
                log.error(
                    names.LISTENER_POOLED,
                    hint="REACTOR_LISTEN_URL must reach the server directly, not a pooler in transaction "
                    "mode; until then the reactor polls",
                )
                await anyio.sleep(60)
                return
            self.pooled = False
            # It is meant to be idle; only now is it known to be ours.
            await connection.execute("set idle_session_timeout = 0", timeout=_PATIENCE)
            self.healthy = True
            self._failures = 0
            self._show(1)
            log.info(names.LISTENER_CONNECTED)
            self._on_gate()
            self._on_work()
            self._on_timer()
            while True:
                try:
                    async with asyncio.timeout(_BEAT):
                        await gone.wait()
                        raise ConnectionResetError("the server ended the listening connection")
                except TimeoutError:
                    pass
                async with asyncio.timeout(_PATIENCE):
                    now = await _listening_session(connection)
                if now != session:
                    raise ConnectionResetError("the session that listened is another client's now")
        finally:
            self.healthy = False
            connection.terminate()

    async def _connect(self) -> Connection:
        # A pooler may be in between, so no prepared statement outlives its call.
        return await connect(
            self._url, name=f"{self._name} listener", patience=timedelta(0), pooler="transaction"
        )

    async def _is_elsewhere(self, connection: Connection) -> bool:
        if self._home is None:
            return False
        try:
            async with asyncio.timeout(_PATIENCE):
                here, home = await whereabouts(connection), await self._home()
        except LOST:
            return False  # nobody can say; the next connection asks again
        return here is not None and home is not None and here != home

    async def _is_ours(self, connection: Connection, session: int) -> bool:
        """Whether a session behind a pooler is this connection's alone.

        In transaction mode it is anybody's as soon as it is idle, and while nobody else is there, every
        statement of ours meets it again. So somebody else comes, and stays for a transaction; several times,
        because with many others there we may meet it by chance.
        """
        try:
            async with asyncio.timeout(_PATIENCE / 2):
                other = await self._connect()
                try:
                    for _ in range(_TRIES):
                        async with other.transaction():
                            if await other.fetchval("select pg_catalog.pg_backend_pid()") == session:
                                return False
                            if await _listening_session(connection) != session:
                                return False
                    return True
                finally:
                    other.terminate()
        except TimeoutError:
            # No room for a second one, so sessions are what it pools; the beat looks again.
            return True
        except asyncpg.PostgresError:
            return False  # in statement mode there are no transactions

    def _heard(self, _connection: object, _pid: int, _channel: str, payload: object) -> None:
        # Anybody may notify on any channel, so the payload chooses what to look at, and is never believed.
        match payload:
            case "timer":
                self._on_timer()
            case "gate":
                self._on_gate()
            case _:
                self._on_work()


async def _listening_session(connection: Connection) -> int | None:
    """The process of the server that answers; None when it does not listen."""
    process: int | None = await connection.fetchval(
        "select pg_catalog.pg_backend_pid() "
        "where $1 = any (array(select pg_catalog.pg_listening_channels()))",
        CHANNEL,
    )
    return process
