"""The processes of a proof: the server, the replicas behind their proxies, the writers."""

import asyncio
import os
import random
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from urllib.parse import quote
from uuid import UUID

import anyio.to_thread
import asyncpg

from reactor.db import embedded
from reactor.db.borrow import LOST
from reactor.db.migrate import migrate
from reactor.db.pool import connect, connected
from tests.failure.proxy import Proxy
from tests.failure.receivers import Receivers
from tests.failure.writer import tenants_of

ROOT = Path(__file__).parents[2]
WORLD = Path(__file__).with_name("world.sql")
#: How many tenants there are that only probes write to.
RESERVED = 16
#: Exit codes of a replica that could not start because the server was away: it is started again.
_MAY_EXIT = {0, 3}
SERVER = {
    "max_connections": "120",
    "superuser_reserved_connections": "10",
    "track_commit_timestamp": "on",
    "shared_buffers": "128MB",
    "max_wal_size": "2GB",
    "autovacuum_naptime": "10s",
}


@dataclass(slots=True)
class Slot:
    """A place in the fleet: one replica at a time, each with a name of its own."""

    number: int
    proxy: Proxy | None
    url: str
    process: asyncio.subprocess.Process | None = None
    name: str = ""
    generation: int = 0
    #: a fault that lasts is at work here
    troubled: bool = False
    #: the monkey ended this process, so its end is no surprise
    expected_end: bool = False
    stopped: bool = False


@dataclass(slots=True)
class Surprise:
    """A replica that ended by itself."""

    replica: str
    code: int
    log: str


@dataclass(slots=True)
class Fleet:
    """Everything that runs. ``database`` is the URL for the harness itself: a superuser on the socket."""

    server: embedded.EmbeddedServer
    directory: Path
    #: those that the writers write for
    tenants: list[UUID]
    #: those that nobody writes for, except a probe that is to find its tenant idle
    reserved: list[UUID]
    settings: dict[str, str]
    receivers: Receivers
    slots: list[Slot] = field(default_factory=list)
    writers: list[asyncio.subprocess.Process] = field(default_factory=list)
    #: per writer, the last number whose commit the server confirmed
    confirmed: dict[int, int] = field(default_factory=dict)
    surprises: list[Surprise] = field(default_factory=list)
    ending: bool = False
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def database(self) -> str:
        return self.server.url("proof")

    def url_for(self, user: str, port: int | None = None) -> str:
        if port is not None:
            return f"postgresql://{user}@127.0.0.1:{port}/proof?sslmode=disable"
        host = quote(str(self.server.socket_dir), safe="")
        return f"postgresql://{user}@/proof?host={host}&port=5432"

    async def connect(self, *, patience: float = 30.0) -> asyncpg.Connection:
        """A superuser's connection, as soon as the server gives one."""
        until = monotonic() + patience
        while True:
            try:
                connection = await asyncpg.connect(self.database, timeout=5)
                await connection.execute("set default_transaction_read_only = off")
                return connection
            except LOST:
                if monotonic() > until:
                    raise
                await asyncio.sleep(0.02)

    async def add_slot(self, *, through_proxy: bool) -> Slot:
        proxy = None
        url = self.url_for("proof_replica")
        if through_proxy:
            proxy = Proxy(self.server.socket_dir / ".s.PGSQL.5432")
            await proxy.start()
            url = self.url_for("proof_replica", proxy.port)
        slot = Slot(len(self.slots), proxy, url)
        self.slots.append(slot)
        await self.start(slot)
        return slot

    async def add_receivers(self) -> None:
        """Before the replicas, which are told where they are."""
        self.settings |= await self.receivers.start()

    async def start(self, slot: Slot) -> None:
        """A new replica in this place."""
        slot.generation += 1
        slot.name = f"r{slot.number}-{slot.generation}"
        slot.expected_end = slot.stopped = False
        environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith(("PG", "REACTOR_"))},
            "REACTOR_DATABASE_URL": slot.url,
            "REACTOR_REPLICA": slot.name,
            "REACTOR_LOG_FORMAT": "json",
            **self.settings,
        }
        with self.log_of(slot.name).open("wb") as log:
            slot.process = await asyncio.create_subprocess_exec(
                sys.executable,
                *("-m", "tests.failure.app"),
                cwd=ROOT,
                env=environment,
                stdout=log,
                stderr=log,
            )
        self._spawn(self._supervise(slot, slot.process, slot.name))

    def log_of(self, name: str) -> Path:
        return self.directory / f"{name}.log"

    async def _supervise(self, slot: Slot, process: asyncio.subprocess.Process, name: str) -> None:
        """Starts another one when a replica ended, whoever ended it."""
        code = await process.wait()
        poisoned = code == -signal.SIGKILL  # its own doing, while a poisonous event is about
        if not slot.expected_end and not self.ending and not poisoned:
            log = self.log_of(name).read_text(errors="replace")[-3000:]
            # The program under it was changed while it ran: nothing that follows says anything.
            if code not in _MAY_EXIT or "NotMigrated" in log:
                self.surprises.append(Surprise(name, code, log))
        if not self.ending and slot.process is process:
            if code:
                await asyncio.sleep(0.1)
            await self.start(slot)

    def signal(self, slot: Slot, number: int) -> None:
        if slot.process is not None and slot.process.returncode is None:
            slot.process.send_signal(number)
            slot.stopped = {signal.SIGSTOP: True, signal.SIGCONT: False}.get(number, slot.stopped)

    async def add_writer(
        self, number: int, of: int, rate: float, seed: int, kinds: Sequence[str] = ()
    ) -> None:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "tests.failure.writer", self.url_for("proof_writer"), str(number), str(of)),
            *(str(rate), str(len(self.tenants)), str(seed), *kinds),
            cwd=ROOT,
            stdout=asyncio.subprocess.PIPE,
        )
        self.writers.append(process)
        self._spawn(self._read_confirmed(number, process))

    async def _read_confirmed(self, number: int, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        async for line in process.stdout:
            self.confirmed[number] = int(line)

    async def stop_writers(self) -> None:
        for process in self.writers:
            if process.returncode is None:
                process.terminate()
            if code := await process.wait():
                raise RuntimeError(f"a writer ended with code {code}")

    async def crash_server(self) -> None:
        await anyio.to_thread.run_sync(self.server.kill)

    async def start_server(self) -> None:
        await anyio.to_thread.run_sync(self.server.start)

    async def stop(self) -> None:
        self.ending = True
        for slot in self.slots:
            if slot.process is not None and slot.process.returncode is None:
                slot.process.kill()
                await slot.process.wait()
            if slot.proxy is not None:
                await slot.proxy.stop()
        for process in self.writers:
            if process.returncode is None:
                process.kill()
                await process.wait()
        await self.receivers.stop()
        for task in list(self._tasks):
            task.cancel()

    def _spawn(self, coroutine: "asyncio._CoroutineLike[None]") -> None:
        task = asyncio.ensure_future(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


@asynccontextmanager
async def running(
    directory: Path, *, tenants: int, settings: dict[str, str], patch: Sequence[str] = ()
) -> AsyncIterator[Fleet]:
    """A durable server of our own with the proof's database, and nothing else yet.

    ``patch``: SQL run after the migrations, for breaking the protocol on purpose.
    """
    async with embedded.running(settings=SERVER) as server:
        fleet = await found(server, directory, tenants=tenants, settings=settings)
        async with connected(fleet.database) as connection:
            for statement in patch:
                await connection.execute(statement)
        try:
            yield fleet
        finally:
            with anyio.CancelScope(shield=True):
                await fleet.stop()


async def found(
    server: embedded.EmbeddedServer, directory: Path, *, tenants: int, settings: dict[str, str]
) -> Fleet:
    """The proof's database on a server, which has none yet."""
    async with connected(server.url()) as connection:
        await connection.execute("create database proof")
    every = tenants_of(tenants + RESERVED)
    fleet = Fleet(server, directory, every[:tenants], every[tenants:], dict(settings), Receivers(directory))
    await migrate(lambda: connect(fleet.database, name="proof"))
    async with connected(fleet.database) as connection:
        await connection.executemany(
            "insert into public.tenants (id, name) values ($1, $2)",
            [(tenant, f"tenant {n}") for n, tenant in enumerate(every)],
        )
        await connection.execute(WORLD.read_text())
    return fleet


def pick(slots: Sequence[Slot], chance: random.Random) -> Slot | None:
    """A replica that runs and is in no trouble."""
    fit = [s for s in slots if not s.troubled and s.process is not None and s.process.returncode is None]
    return chance.choice(fit) if fit else None
