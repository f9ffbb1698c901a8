"""docs/kubernetes.md: its roles are made on a server, and every path, command and alert in it exists."""

import re

import asyncpg
import pytest

from reactor.cli import checks
from reactor.cli.registry import COMMANDS
from reactor.db import migrate, pool
from tests import servers
from tests.conftest import Server
from tests.deploy.manifests import ALERTS, FOLDER, PATHS, ROOT

PAGE = (ROOT / "docs" / "kubernetes.md").read_text()
ROLES, ANOTHERS_DATABASE, SUPABASE = (
    re.sub(r"^  ", "", block, flags=re.MULTILINE)
    for block in re.findall(r"```sql\n(.*?)```", PAGE, re.DOTALL)
)


@pytest.mark.parametrize("database_of", ["crm_owner", "postgres"])
async def test_the_roles_of_the_page_are_enough_to_migrate_and_to_run_and_no_more(database_of: str) -> None:
    with servers.running(tcp_port=0) as own:
        server = Server(own.url(), own)
        server.admin(
            "create role crm_owner login password 'for-tests'",
            f"create database crm owner {database_of}",
            *(part for part in ROLES.replace("…", "for-tests").split(";\n") if part.strip()),
        )
        if database_of != "crm_owner":
            async with pool.connected(own.url("crm")) as administrator:
                await administrator.execute(ANOTHERS_DATABASE)

        def url(role: str) -> str:
            return f"postgresql://{role}:for-tests@127.0.0.1:{own.tcp_port}/crm"

        async with pool.connected(url("crm_owner")) as owner:
            await owner.execute(
                "create table public.tenants (id uuid primary key, name text, is_active boolean default true)"
            )
        report = await migrate.migrate(lambda: pool.connect(url("crm_owner"), name="reactor migrate"))
        assert report.applied
        async with pool.connected(url("crm_reactor")) as replica:
            await migrate.check_migrated(replica)
            assert {finding.level for finding in await checks.role(replica)} == {"ok"}
            for statement in (
                "create role another",
                "create table public.mine (id int)",
                "drop table reactor.history",
                "alter table public.tenants add column mine int",
            ):
                try:
                    await replica.execute(statement)
                except asyncpg.InsufficientPrivilegeError:
                    continue
                raise AssertionError(f"a replica may {statement}")


def test_the_login_of_a_replica_is_made_alike_everywhere() -> None:
    assert SUPABASE.strip() in ROLES


def test_every_path_of_the_page_exists() -> None:
    named = set(re.findall(r"\bdeploy/[\w./-]+\w", PAGE))
    assert named
    for path in named:
        assert (ROOT / path).exists(), path
    table = PAGE.split("## 1.")[0]
    for folder in ("base", "migrate", *(f"overlays/{name.name}" for name in (FOLDER / "overlays").iterdir())):
        assert folder.removeprefix("overlays/") in table
    for component in (FOLDER / "components").iterdir():
        assert f"`{component.name}`" in table


def test_every_command_of_the_page_exists() -> None:
    named = re.findall(r"(?:`|-- )reactor ([a-z][a-z-]*)", PAGE)
    assert named
    assert set(named) <= {command.name for command in COMMANDS}


def test_the_page_has_every_alert_and_every_probe() -> None:
    assert set(re.findall(r"`(Reactor[A-Z]\w+)`", PAGE)) == set(ALERTS)
    assert set(re.findall(r"`(/[a-z]+)`", PAGE)) <= PATHS
    critical = PAGE.split("| wakes somebody |")[1].split("| can wait")[0]
    assert set(re.findall(r"`(Reactor\w+)`", critical)) == {
        name for name, rule in ALERTS.items() if rule["labels"]["severity"] == "critical"
    }
