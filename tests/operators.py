"""Who operates a reactor: a mere member of role ``reactor``. Its commands run in this process.

Its fixtures are for all tests: `clean`, `db`, `operator`, `operator_url` and `cli`.
"""

import json
import logging
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit
from uuid import UUID

import pytest
import structlog

from reactor.cli import entry
from reactor.db import pool
from tests.conftest import Server, run_async
from tests.processes import is_setting

_PASSWORD = "for-tests-only"


@dataclass(frozen=True)
class Said:
    """What a command answered."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Cli = Callable[..., Said]


@dataclass(frozen=True)
class Database:
    """The test's database as its superuser, from synchronous code."""

    url: str

    def fetch(self, query: str, *arguments: object) -> list[Any]:
        async def run() -> list[Any]:
            async with pool.connected(self.url, name="test") as connection:
                return await connection.fetch(query, *arguments)

        return run_async(run())

    def value(self, query: str, *arguments: object) -> Any:
        rows = self.fetch(query, *arguments)
        return rows[0][0] if rows else None

    def run(self, statements: str) -> None:
        async def run() -> None:
            async with pool.connected(self.url, name="test") as connection:
                await connection.execute(statements)

        run_async(run())

    def tenant(self, name: str = "Acme", *, enabled: bool = True) -> UUID:
        return self.value(
            "insert into public.tenants (name, agent_enabled) values ($1, $2) returning id", name, enabled
        )

    def emit(self, tenant: UUID, event_type: str = "invoice.paid", **settings: str) -> int:
        return self.value("select reactor.emit($1, $2)", tenant, event_type)

    def die(self, tenant: UUID, event_type: str = "invoice.paid", *, ago: str = "0") -> int:
        """An event that is dead since a while."""
        return self.value(
            """
            insert into reactor.dead_events (id, event_id, tenant_id, event_type, payload, priority, attempts,
                interruptions, created_at, died_at, reason, errors)
            values (nextval('reactor.events_id_seq'), gen_random_uuid(), $1, $2, '{"n": 1}', 0, 10, 1,
                reactor.now() - interval '1 day', reactor.now() - $3::text::interval,
                'failed 10 times, last: no money',
                '[{"kind": "ValueError", "error": "no money", "handler": "shop.pay"}]')
            returning id
            """,
            tenant,
            event_type,
            ago,
        )

    def enlist(self, replica: str, *types: str, seen: str = "0") -> None:
        """A replica that the fleet knows, last heard of a while ago."""
        self.value(
            "select reactor.enlist($1, '45 s', '0.1.0', $2)", replica, {"types": types, "concurrency": 8}
        )
        self.value(
            "update reactor.replicas set seen_at = reactor.now() - $2::text::interval "
            "where replica = $1 returning true",
            replica,
            seen,
        )

    def claim(self, replica: str) -> list[Any]:
        """The replica takes leases, as its claimer does."""
        return self.fetch("select * from reactor.claim($1, 10, 200, '30 s', null, '{}')", replica)


@pytest.fixture
def db(database_url: str) -> Database:
    return Database(database_url)


@pytest.fixture
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No setting of the machine, and no .env, decides a test."""
    for name in list(os.environ):
        if is_setting(name):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "250")


def as_role(url: str, role: str) -> str:
    """The URL for a role that :func:`login` made."""
    parts = urlsplit(url)
    place = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{role}:{_PASSWORD}@{place}"))


def login(server: Server, role: str, membership: str = "") -> None:
    """Makes a role that may log in and nothing more than its membership gives."""
    server.admin(
        f"drop role if exists {role}", f"create role {role} login password '{_PASSWORD}' {membership}"
    )


@pytest.fixture(scope="session")
def operator(server: Server, template: str) -> Iterator[str]:
    """The name of a role that is a member of ``reactor`` and of nothing else."""
    role = f"operator_{os.getpid()}"
    login(server, role, "in role reactor")
    yield role
    server.admin(f"drop role {role}")


@pytest.fixture
def operator_url(database_url: str, operator: str) -> str:
    return as_role(database_url, operator)


@pytest.fixture
def cli(
    clean: None, operator_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Cli]:
    """Runs a command as the operator; ``url=`` as somebody else, ``env=`` with other settings."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level

    def run(*argv: object, url: str | None = None, env: dict[str, str] | None = None) -> Said:
        with monkeypatch.context() as patch:
            patch.setenv("REACTOR_DATABASE_URL", url or operator_url)
            for name, value in (env or {}).items():
                patch.setenv(name, value)
            capsys.readouterr()
            code = entry.run([str(word) for word in argv])
            captured = capsys.readouterr()
        assert "Traceback" not in captured.err
        return Said(code, captured.out, captured.err)

    yield run
    # `reactor run` takes the log of its process over.
    root.handlers, root.level = handlers, level
    structlog.reset_defaults()
