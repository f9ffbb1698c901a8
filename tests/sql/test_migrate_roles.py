"""Who may migrate: roles belong to the whole server, so each test has one of its own."""

import pytest

from reactor.db import embedded, migrate, pool, sqlfiles
from reactor.errors import MigrationError, MissingPrivilege
from tests import servers
from tests.conftest import PG15


@pytest.fixture(params=["18", "15"])
async def fresh(request):
    """A server without our roles, and a database that belongs to the ordinary role app."""
    if request.param == "15" and not PG15.exists():
        pytest.skip(f"no PostgreSQL 15 in {PG15}")
    with servers.running(bin_dir=PG15 if request.param == "15" else None) as server:
        async with pool.connected(server.url()) as admin:
            await admin.execute("create role app login")
            await admin.execute("create database crm owner app")
            yield server, admin


async def as_app(server: embedded.EmbeddedServer) -> migrate.Report:
    return await migrate.migrate(lambda: pool.connect(server.url("crm", user="app")))


async def test_a_role_that_may_create_roles_needs_no_superuser(fresh):
    server, admin = fresh
    await admin.execute("alter role app createrole")
    assert len((await as_app(server)).applied) == len(sqlfiles.load())
    assert (await as_app(server)).applied == []
    async with pool.connected(server.url("crm", user="app")) as connection:
        await migrate.check_migrated(connection)


async def test_what_is_to_be_run_by_hand_is_enough(fresh):
    server, admin = fresh
    with pytest.raises(MissingPrivilege) as caught:
        await as_app(server)
    async with pool.connected(server.url("crm")) as connection:
        assert await connection.fetchval("select to_regnamespace('reactor')") is None
    by_hand = [line.strip() for line in caught.value.hint.splitlines()[1:]]
    assert "create role reactor_owner nologin;" in by_hand
    for statement in by_hand:
        await admin.execute(statement)
    assert len((await as_app(server)).applied) == len(sqlfiles.load())
    assert (await as_app(server)).applied == []


@pytest.mark.parametrize("attribute", ["createrole", "nocreaterole"])
async def test_what_is_to_be_run_by_hand_is_enough_where_the_database_is_an_administrators(fresh, attribute):
    server, admin = fresh
    await admin.execute(f"alter role app {attribute}")
    await admin.execute("alter database crm owner to postgres")
    async with pool.connected(server.url("crm")) as connection:
        with pytest.raises(MissingPrivilege) as caught:
            await as_app(server)
        assert await connection.fetchval("select to_regnamespace('reactor')") is None
        for statement in caught.value.hint.splitlines()[1:]:
            await connection.execute(statement)
    assert len((await as_app(server)).applied) == len(sqlfiles.load())
    async with pool.connected(server.url("crm")) as connection:
        await connection.execute("revoke create on schema public from app, reactor_owner")
    assert (await as_app(server)).applied == []


async def test_a_role_that_may_not_create_in_the_database_is_told_so(fresh):
    server, admin = fresh
    await admin.execute("alter database crm owner to postgres")
    await admin.execute("alter role app createrole")
    with pytest.raises(MissingPrivilege) as caught:
        await as_app(server)
    assert 'grant create on database "crm" to "app";' in caught.value.hint


async def test_what_is_anothers_in_the_schema_is_named_with_what_gives_it_to_its_owner(fresh):
    server, admin = fresh
    await admin.execute("alter role app createrole")
    await as_app(server)
    async with pool.connected(server.url("crm")) as connection:
        await connection.execute("create function reactor.strange() returns int language sql return 1")
        await connection.execute("alter schema reactor owner to postgres")
        with pytest.raises(MissingPrivilege, match="schema reactor holds what is another's") as caught:
            await as_app(server)
        by_hand = caught.value.hint.splitlines()[1:]
        assert "  alter routine reactor.strange() owner to reactor_owner;" in by_hand
        for statement in by_hand:
            await connection.execute(statement)
    assert (await as_app(server)).applied == []


async def test_an_owner_that_was_renamed_is_no_backup_to_restore(fresh):
    server, admin = fresh
    await admin.execute("alter role app createrole")
    await as_app(server)
    await admin.execute("alter role reactor_owner rename to crm_automation")
    with pytest.raises(MigrationError, match="schema reactor belongs to crm_automation") as caught:
        await as_app(server)
    await admin.execute(caught.value.hint.splitlines()[-1])
    assert (await as_app(server)).applied == []


async def test_a_database_that_takes_no_writes_is_up_to_date_or_is_told_apart(fresh):
    server, admin = fresh
    await admin.execute("alter role app createrole")
    await admin.execute("alter database crm set default_transaction_read_only = on")
    with pytest.raises(MigrationError, match="the database takes no writes"):
        await as_app(server)
    await admin.execute("alter database crm reset default_transaction_read_only")
    await as_app(server)
    await admin.execute("alter database crm set default_transaction_read_only = on")
    report = await as_app(server)
    assert (report.applied, report.watches, report.protected) == ([], [], [])
