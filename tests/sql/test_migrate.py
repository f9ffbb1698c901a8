"""The migration runner: what it runs, when it refuses, and that it may run anywhere at any time."""

import asyncio
import shutil
from pathlib import Path

import asyncpg
import pytest

from reactor.db import migrate, pool, releases, sqlfiles
from reactor.errors import MigrationError, NotMigrated


def connector(url: str):
    return lambda: pool.connect(url, name="reactor migrate")


def files(folder: Path, **texts: str) -> list[sqlfiles.SqlFile]:
    """SQL files made of keyword arguments, e.g. ``schema_0001_a="create table …"``."""
    for kind in sqlfiles.KINDS:
        (folder / kind).mkdir(exist_ok=True)
    for name, text in texts.items():
        kind, stem = name.split("_", 1)
        (folder / kind / f"{stem}.sql").write_text(text)
    return sqlfiles.load(folder)


async def names(url: str) -> list[str]:
    async with pool.connected(url) as connection:
        return sorted(await migrate.applied(connection))


@pytest.fixture(params=["18", "15"])
def any_database_url(request, server, empty_database_url):
    """An empty database on the newest server, and one on the oldest that is supported."""
    if request.param == "18":
        yield empty_database_url
        return
    old = request.getfixturevalue("pg15")
    name = old.create()
    yield old.url(name)
    old.drop(name)


async def test_all_files_apply_to_an_empty_database(any_database_url):
    report = await migrate.migrate(connector(any_database_url))
    assert [step.name for step in report.applied] == [file.name for file in sqlfiles.load()]
    assert await names(any_database_url) == sorted(file.name for file in sqlfiles.load())
    async with pool.connected(any_database_url) as connection:
        await migrate.check_migrated(connection)


async def test_the_second_time_is_a_no_op(any_database_url):
    await migrate.migrate(connector(any_database_url))
    async with pool.connected(any_database_url) as connection:
        before = await connection.fetch("select * from reactor.migrations order by name")
        report = await migrate.migrate(connector(any_database_url))
        assert report.applied == []
        assert await connection.fetch("select * from reactor.migrations order by name") == before


async def test_five_at_once_apply_each_file_once(any_database_url):
    reports = await asyncio.gather(*(migrate.migrate(connector(any_database_url)) for _ in range(5)))
    applied = [step.name for report in reports for step in report.applied]
    assert sorted(applied) == sorted(file.name for file in sqlfiles.load())


async def test_two_databases_of_one_server_can_be_migrated_at_once(server):
    databases = [server.create() for _ in range(3)]
    try:
        await asyncio.gather(*(migrate.migrate(connector(server.url(name))) for name in databases))
        for name in databases:
            assert await names(server.url(name))
    finally:
        for name in databases:
            server.drop(name)


async def test_each_versioned_file_alone_may_run_again(any_database_url):
    await migrate.migrate(connector(any_database_url))
    async with pool.connected(any_database_url) as connection:
        await connection.execute("delete from reactor.migrations")
    report = await migrate.migrate(connector(any_database_url))
    assert len(report.applied) == len(sqlfiles.load())


async def test_everything_in_the_schema_belongs_to_its_owner(any_database_url):
    await migrate.migrate(connector(any_database_url))
    async with pool.connected(any_database_url) as connection:
        strangers = await connection.fetch("""
            select c.relname as name, pg_get_userbyid(c.relowner) as owner from pg_class c
            where c.relnamespace = 'reactor'::regnamespace and pg_get_userbyid(c.relowner) <> 'reactor_owner'
            union all
            select p.proname, pg_get_userbyid(p.proowner) from pg_proc p
            where p.pronamespace = 'reactor'::regnamespace and pg_get_userbyid(p.proowner) <> 'reactor_owner'
            union all
            select nspname, pg_get_userbyid(nspowner) from pg_namespace
            where nspname = 'reactor' and pg_get_userbyid(nspowner) <> 'reactor_owner'
        """)
        assert [tuple(row) for row in strangers] == []
        assert await connection.fetchval(
            "select has_table_privilege('reactor', 'reactor.migrations', 'select')"
        )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "create table public.b ();\n\n-- why\ndo $$ begin\nraise 'no' using hint='do so'; end$$;",
            "schema/0002_b.sql, line 4: no",
        ),
        (
            "create table public.b (a_id bigint\n  references public.a (id));",
            'schema/0002_b.sql, line 1: foreign key constraint "b_a_id_fkey" cannot be implemented (Key',
        ),
        ("select 1;\nselect\n  nothing;", 'schema/0002_b.sql, line 3: column "nothing" does not exist'),
    ],
)
async def test_a_failure_names_its_line_and_what_comes_next(any_database_url, tmp_path, text, said):
    broken = files(tmp_path, schema_0001_a="create table public.a (id uuid primary key);", schema_0002_b=text)
    with pytest.raises(MigrationError) as caught:
        await migrate.migrate(connector(any_database_url), files=broken)
    assert caught.value.message.startswith(said)
    first, *rest = caught.value.hint.split("\n")
    assert first == (
        "nothing of this file was applied; mend this and run `reactor migrate` again, it goes on from here"
    )
    assert rest == (["do so"] if "do so" in text else [])
    assert await names(any_database_url) == ["schema/0001_a"]
    async with pool.connected(any_database_url) as connection:
        assert await connection.fetchval("select to_regclass('public.b')") is None


async def test_a_failure_outside_of_a_transaction_says_what_stays(empty_database_url, tmp_path):
    broken = files(
        tmp_path,
        schema_0001_a="--! no-transaction\ncreate table if not exists public.a (id int);\n\n"
        "create index concurrently on public.a (nothing);",
    )
    with pytest.raises(MigrationError, match=r"0001_a\.sql, line 4: column") as caught:
        await migrate.migrate(connector(empty_database_url), files=broken)
    assert caught.value.hint.startswith("what this file did before that line stays")
    files(
        tmp_path,
        schema_0001_a="--! no-transaction\ncreate table if not exists public.a (id int);\n\n"
        "create index concurrently on public.a (id);",
    )
    report = await migrate.migrate(connector(empty_database_url), files=sqlfiles.load(tmp_path))
    assert [step.name for step in report.applied] == ["schema/0001_a"]


async def test_a_changed_function_runs_again_and_a_changed_table_is_refused(empty_database_url, tmp_path):
    first = files(
        tmp_path,
        schema_0001_a="create table public.a (id int);",
        functions_f="create or replace function public.f() returns int language sql return 1;",
    )
    await migrate.migrate(connector(empty_database_url), files=first)
    second = files(
        tmp_path, functions_f="create or replace function public.f() returns int language sql return 2;"
    )
    report = await migrate.migrate(connector(empty_database_url), files=second)
    assert [step.name for step in report.applied] == ["functions/f"]
    async with pool.connected(empty_database_url) as connection:
        assert await connection.fetchval("select public.f()") == 2
        third = files(tmp_path, schema_0001_a="create table public.a (id bigint);")
        with pytest.raises(MigrationError, match=r"schema/0001_a\.sql was edited after it was applied"):
            await migrate.plan(connection, third)
    with pytest.raises(MigrationError, match=r"schema/0001_a\.sql was edited"):
        await migrate.migrate(connector(empty_database_url), files=third)


def test_line_ends_of_a_checkout_are_no_edit(tmp_path):
    unix = sqlfiles.SqlFile("schema", "0001_a", "select 1;\nselect 2;\n")
    windows = sqlfiles.SqlFile("schema", "0001_a", "select 1;  \r\nselect 2;\r\n\r\n")
    assert unix.checksum == windows.checksum
    assert unix.checksum != sqlfiles.SqlFile("schema", "0001_a", "select 1;\nselect 3;\n").checksum


async def test_a_failing_file_leaves_nothing_half_done(empty_database_url, tmp_path):
    broken = files(
        tmp_path,
        schema_0001_a="create table public.a (id int);",
        schema_0002_b="create table public.b (id int);\ninsert into public.b values ('x');",
        schema_0003_c="create table public.c (id int);",
    )
    with pytest.raises(MigrationError, match=r"schema/0002_b\.sql, line 2: invalid input syntax"):
        await migrate.migrate(connector(empty_database_url), files=broken)
    assert await names(empty_database_url) == ["schema/0001_a"]
    async with pool.connected(empty_database_url) as connection:
        assert await connection.fetchval("select to_regclass('public.b')") is None
    mended = files(tmp_path, schema_0002_b="create table public.b (id int);")
    report = await migrate.migrate(connector(empty_database_url), files=mended)
    assert [step.name for step in report.applied] == ["schema/0002_b", "schema/0003_c"]


async def test_a_file_outside_of_a_transaction_can_build_an_index_concurrently(empty_database_url, tmp_path):
    wanted = files(
        tmp_path,
        schema_0001_a="create table public.a (id int);",
        schema_0002_b="--! no-transaction\n"
        "drop index concurrently if exists public.a_id;\n"
        "create index concurrently a_id on public.a (id); -- the end\n",
    )
    reports = await asyncio.gather(
        *(migrate.migrate(connector(empty_database_url), files=wanted) for _ in range(3))
    )
    assert sorted(s.name for r in reports for s in r.applied) == ["schema/0001_a", "schema/0002_b"]
    async with pool.connected(empty_database_url) as connection:
        assert await connection.fetchval(
            "select indisvalid from pg_index where indexrelid = 'public.a_id'::regclass"
        )


async def test_an_old_snapshot_of_the_application_holds_up_no_migration(empty_database_url):
    async with (
        pool.connected(empty_database_url) as application,
        application.transaction(isolation="repeatable_read"),
    ):
        await application.fetchval("select count(*) from pg_class")
        async with asyncio.timeout(60):
            report = await migrate.migrate(connector(empty_database_url))
    assert report.applied


async def test_a_lock_held_by_the_application_is_waited_out_in_short_tries(empty_database_url, tmp_path):
    first = files(tmp_path, schema_0001_a="create table public.a (id int);")
    await migrate.migrate(connector(empty_database_url), files=first)
    second = files(tmp_path, schema_0002_b="alter table public.a add column note text;")
    async with (
        pool.connected(empty_database_url) as application,
        pool.connected(empty_database_url) as witness,
    ):
        transaction = application.transaction()
        await transaction.start()
        await application.execute("select * from public.a")  # a lock that ALTER TABLE conflicts with
        work = asyncio.create_task(
            migrate.migrate(connector(empty_database_url), files=second, lock_timeout_ms=50)
        )
        async with asyncio.timeout(20):
            # Tries are seen to end: while the application holds its lock, nobody queues behind ours for long.
            for wanted in (True, False, True):
                while await is_waiting(witness) is not wanted:
                    await asyncio.sleep(0.005)
            assert not work.done()
            await transaction.commit()
            report = await work
    assert [step.name for step in report.applied] == ["schema/0002_b"]


async def is_waiting(witness: asyncpg.Connection) -> bool:
    return await witness.fetchval(
        "select exists (select from pg_locks where relation = 'public.a'::regclass and not granted)"
    )


async def test_a_database_that_is_newer_than_the_program_is_left_alone(empty_database_url, tmp_path):
    newer = files(
        tmp_path,
        schema_0001_a="create table public.a (id int);",
        schema_0002_b="create table public.b (id int);",
        functions_f="create or replace function public.f() returns int language sql return 2;",
    )
    await migrate.migrate(connector(empty_database_url), files=newer)
    (tmp_path / "schema/0002_b.sql").unlink()
    older = files(
        tmp_path,
        functions_f="create or replace function public.f() returns int language sql return 1;",
        functions_gone="create or replace function public.gone() returns int language sql return 1;",
    )
    report = await migrate.migrate(connector(empty_database_url), files=older)
    assert (report.applied, report.newer) == ([], ["schema/0002_b"])
    async with pool.connected(empty_database_url) as connection:
        assert await connection.fetchval("select public.f()") == 2


async def test_functions_are_replaced_all_at_once(empty_database_url, tmp_path):
    function = "create or replace function public.{name}() returns int language sql return {n};"
    first = {f"functions_{name}": function.format(name=name, n=1) for name in "fg"}
    await migrate.migrate(connector(empty_database_url), files=files(tmp_path, **first))
    waiting = "select pg_advisory_xact_lock(1);\n"
    second = {f"functions_{name}": function.format(name=name, n=2) for name in "fg"}
    changed = files(tmp_path, **second | {"functions_g": waiting + second["functions_g"]})
    both = "select array[public.f(), public.g()]"
    async with pool.connected(empty_database_url) as witness, asyncio.TaskGroup() as group:
        await witness.execute("select pg_advisory_lock(1)")
        migration = group.create_task(migrate.migrate(connector(empty_database_url), files=changed))
        async with asyncio.timeout(20):
            while not await witness.fetchval(
                "select exists (select from pg_locks "
                "where locktype = 'advisory' and objid = 1 and not granted)"
            ):
                await asyncio.sleep(0.005)
        assert await witness.fetchval(both) == [1, 1]
        await witness.execute("select pg_advisory_unlock(1)")
        assert [step.name for step in (await migration).applied] == ["functions/f", "functions/g"]
        assert await witness.fetchval(both) == [2, 2]

    third = {f"functions_{name}": function.format(name=name, n=3) for name in "fg"}
    broken = files(tmp_path, **third | {"functions_g": "\n\nselect public.nothing();"})
    with pytest.raises(MigrationError, match=r"functions/g.sql, line 3: function public.nothing") as caught:
        await migrate.migrate(connector(empty_database_url), files=broken)
    assert caught.value.hint.startswith("no function was replaced; mend this and run `reactor migrate` again")
    async with pool.connected(empty_database_url) as witness:
        assert await witness.fetchval(both) == [2, 2]


class Program:
    """A program of which each build has its own text of function f, and migrates the same database.

    A build is named by its release, and what tells it from the others of that: ``1.0``, ``1.0 fixed``.
    """

    def __init__(self, url, folder):
        self.url, self.folder = url, folder

    def files(self, build, **more):
        text = f"create or replace function public.f() returns text language sql return '{build}';"
        (self.folder / build).mkdir(exist_ok=True)
        return files(self.folder / build, functions_f=text, **more)

    async def migrate(self, build, *, back=False, **more):
        return await migrate.migrate(
            connector(self.url), files=self.files(build, **more), release=build.split()[0], back=back
        )

    async def starts(self, build):
        """Whether a replica of it does."""
        found = self.files(build)
        noted = releases.build(found, build.split()[0])
        async with pool.connected(self.url) as connection:
            return not migrate.compare(found, await noted_in(connection), noted)[0]

    async def there(self):
        async with pool.connected(self.url) as connection:
            return await connection.fetchval("select public.f()")


async def noted_in(connection):
    return {
        row["name"]: row["checksum"] for row in await connection.fetch("select * from reactor.migrations")
    }


@pytest.fixture
def program(empty_database_url, tmp_path):
    return Program(empty_database_url, tmp_path)


async def test_what_a_later_release_replaced_is_left_to_it(program):
    await program.migrate("0.9.0")
    assert (await program.migrate("0.10.0")).newer == []
    report = await program.migrate("0.9.0")
    assert (report.applied, report.newer) == ([], ["release/0.10.0-1"])
    assert await program.there() == "0.10.0"
    assert (await program.migrate("0.10.0")).applied == []
    assert [step.name for step in (await program.migrate("0.10.1")).applied] == ["functions/f"]


async def test_an_older_replica_starts_beside_a_later_releases_functions(database_url, monkeypatch):
    """Its own are others, and which of the two is newer the texts do not say."""
    changed = "update reactor.migrations set checksum = 'changed' where name = 'functions/settle'"
    async with pool.connected(database_url) as connection:
        await connection.execute(changed)
        with pytest.raises(NotMigrated, match="functions/settle is pending"):
            await migrate.check_migrated(connection)
        await connection.execute(
            "insert into reactor.migrations (name, checksum, duration_ms) values ('release/999.0', '', 0)"
        )
        await migrate.check_migrated(connection)
        assert await migrate.newer(connection) == ["release/999.0"]
        await connection.execute("delete from reactor.migrations where name = 'schema/0207_dead_in_order'")
        with pytest.raises(NotMigrated, match="schema/0207_dead_in_order is pending"):
            await migrate.check_migrated(connection)


async def test_the_way_back_is_asked_for_and_ends_where_the_tables_differ(program):
    await program.migrate("1.0")
    await program.migrate("1.1")
    report = await program.migrate("1.0", back=True)
    assert ([step.name for step in report.applied], report.newer) == (["functions/f"], [])
    assert await program.there() == "1.0"
    # Forwards again, as at the first time.
    assert [step.name for step in (await program.migrate("1.1")).applied] == ["functions/f"]

    await program.migrate("1.2", schema_0001_a="create table public.a (id int);")
    with pytest.raises(MigrationError, match="there is no way back: the database has schema/0001_a"):
        await program.migrate("1.1", back=True)
    assert await program.there() == "1.2"
    assert (await program.migrate("1.1")).newer == ["release/1.2-1", "schema/0001_a"]


async def test_of_two_builds_of_one_release_the_one_that_was_here_before_is_the_older(program):
    await program.migrate("1.0")
    assert [step.name for step in (await program.migrate("1.0 next")).applied] == ["functions/f"]
    report = await program.migrate("1.0")
    assert (report.applied, report.newer) == ([], ["release/1.0-2"])
    assert await program.there() == "1.0 next"
    assert await program.starts("1.0")
    assert await program.starts("1.0 next")
    # One that was never here is the latest.
    assert not await program.starts("1.0 fixed")
    assert (await program.migrate("1.0 fixed")).newer == []
    assert (await program.migrate("1.0")).newer == ["release/1.0-2", "release/1.0-3"]
    assert (await program.migrate("1.0 next")).newer == ["release/1.0-3"]
    assert (await program.migrate("0.9")).newer == ["release/1.0-1", "release/1.0-2", "release/1.0-3"]
    # Those of a later release come after all of them.
    assert (await program.migrate("1.1")).newer == []
    assert (await program.migrate("1.0 of another branch")).newer == ["release/1.1-1"]
    assert await program.there() == "1.1"


async def test_the_way_back_to_an_earlier_build_of_the_same_release(program):
    for build in ("1.0", "1.0 next", "1.0 fixed"):
        await program.migrate(build)
    report = await program.migrate("1.0 next", back=True)
    assert ([step.name for step in report.applied], report.newer) == (["functions/f"], [])
    assert await program.there() == "1.0 next"
    assert (await program.migrate("1.0")).newer == ["release/1.0-2"]
    # What was gone back from is as if it had never been here.
    assert not await program.starts("1.0 fixed")
    assert [step.name for step in (await program.migrate("1.0 fixed")).applied] == ["functions/f"]
    assert (await program.migrate("1.0 fixed")).applied == []


async def test_two_builds_of_one_release_at_once_leave_the_functions_of_the_one_that_counts(program):
    await program.migrate("1.0")
    for round_ in range(6):
        one, other = f"1.0 left {round_}", f"1.0 right {round_}"
        await asyncio.gather(program.migrate(one), program.migrate(other), program.migrate("1.0"))
        (latest,) = [build for build in (one, other) if not (await program.migrate(build)).newer]
        assert await program.there() == latest
        assert await program.starts(one)
        assert await program.starts(other)
        assert await program.starts("1.0")


async def test_a_later_release_that_comes_while_an_older_one_migrates_has_the_last_word(program):
    await program.migrate("1.0")
    function = "create or replace function public.f() returns text language sql return 'older';"
    async with (
        pool.connected(program.url) as lock,
        pool.connected(program.url) as witness,
        asyncio.TaskGroup() as group,
    ):
        # The older one has seen what is pending, and its function waits for the table before it.
        transaction = lock.transaction()
        await transaction.start()
        await lock.execute("create table public.b (id int)")
        older = group.create_task(
            program.migrate("1.1", schema_0001_b="create table public.b (id int);", functions_g=function)
        )
        async with asyncio.timeout(20):
            while not await witness.fetchval("select exists (select from pg_locks where not granted)"):
                await asyncio.sleep(0.005)
        await witness.execute(
            "insert into reactor.migrations (name, checksum, duration_ms) values ('release/1.2', '', 0)"
        )
        await transaction.rollback()
        assert [step.name for step in (await older).applied] == ["schema/0001_b"]
    assert await program.there() == "1.0"


def test_repeatable_files_run_after_those_that_they_require(tmp_path):
    found = files(
        tmp_path,
        functions_a="--! requires: c, b\nselect 1;",
        functions_b="--! requires: c\nselect 1;",
        functions_c="select 1;",
        triggers_a="--! requires: a\nselect 1;",
    )
    assert [file.name for file in found] == ["functions/c", "functions/b", "functions/a", "triggers/a"]


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ({"functions_a": "--! requires: b", "functions_b": "--! requires: a"}, "requires itself: a → b → a"),
        ({"functions_a": "--! requires: nothing"}, "requires 'nothing', which does not exist"),
        ({"functions_a": "--! no-transactions"}, "unknown header '--! no-transactions'"),
        ({"schema_1_a": "select 1"}, "its name must be NNNN_lower_case.sql"),
        (
            {"schema_0001_a": "select 1", "schema_0001_b": "select 1"},
            "two versioned files have the number 0001",
        ),
    ],
)
def test_a_mistake_in_the_files_themselves_is_named(tmp_path, texts, message):
    with pytest.raises(MigrationError, match=message):
        files(tmp_path, **texts)


async def test_what_is_pending_is_told_without_changing_anything(empty_database_url):
    async with pool.connected(empty_database_url) as connection:
        pending = await migrate.plan(connection)
        assert [item.file.name for item in pending] == [file.name for file in sqlfiles.load()]
        assert await connection.fetchval("select to_regnamespace('reactor')") is None
        with pytest.raises(NotMigrated, match="no schema reactor yet"):
            await migrate.check_migrated(connection)


async def test_a_database_that_is_older_than_the_program_is_refused_by_name(database_url):
    async with pool.connected(database_url) as connection:
        await connection.execute(
            "update reactor.migrations set checksum = 'old' where name = 'functions/emit'"
        )
        with pytest.raises(NotMigrated, match="functions/emit is pending"):
            await migrate.check_migrated(connection)


def test_the_checkout_and_a_copy_of_the_package_find_the_same_files(tmp_path):
    shutil.copytree(sqlfiles.sql_dir(), tmp_path / "sql")
    assert sqlfiles.load(tmp_path / "sql") == sqlfiles.load()
