"""A migration that dies after any of its statements: older replicas start, and the next migration ends it."""

import asyncio
from contextlib import suppress
from pathlib import Path

import asyncpg

from reactor.db import migrate, pool, releases, sqlfiles
from reactor.db.pool import Connection
from reactor.errors import ReactorError

FUNCTION = "create or replace function public.{name}() returns int language sql return {n};"
OLDER = {
    "schema/0001_a": "create table public.a (id int);",
    "functions/f": FUNCTION.format(name="f", n=1),
    "functions/g": FUNCTION.format(name="g", n=1),
    "triggers/t": "select 1;",
}
NEWER = OLDER | {
    "schema/0002_b": "create table public.b (id int); insert into public.a values (1);",
    "schema/0003_c": "--! no-transaction\n"
    "drop index concurrently if exists public.a_id;\n"
    "create index concurrently a_id on public.a (id);\n",
    "functions/f": FUNCTION.format(name="f", n=2),
    "functions/g": FUNCTION.format(name="g", n=2),
    "functions/h": FUNCTION.format(name="h", n=2),
    "triggers/t": "select 2;",
}


def files(texts: dict[str, str], folder: Path) -> list[sqlfiles.SqlFile]:
    for kind in sqlfiles.KINDS:
        (folder / kind).mkdir(exist_ok=True, parents=True)
    for name, text in texts.items():
        (folder / f"{name}.sql").write_text(text)
    return sqlfiles.load(folder)


class Dying:
    """Opens connections, all of which are cut when so many statements have been carried out on them."""

    def __init__(self, url: str, after: int) -> None:
        self.url, self.left = url, after
        self.connections: list[Connection] = []

    async def __call__(self) -> Connection:
        connection = await pool.connect(self.url, name="reactor migrate")
        self.connections.append(connection)
        connection.add_query_logger(self._count)
        return connection

    def _count(self, _: object) -> None:
        self.left -= 1
        if self.left == 0:
            for connection in self.connections:
                connection.terminate()


async def test_after_any_statement(empty_database_url: str, tmp_path: Path) -> None:
    older, newer = files(OLDER, tmp_path / "older"), files(NEWER, tmp_path / "newer")
    both = "select array[public.f(), public.g()]"
    after = 0
    async with pool.connected(empty_database_url) as witness:
        while True:
            after += 1
            await witness.execute(
                "drop schema if exists reactor cascade; drop schema public cascade; create schema public"
            )
            await migrate.migrate(lambda: pool.connect(empty_database_url), files=older)
            dying = Dying(empty_database_url, after)
            with suppress(ReactorError, asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
                async with asyncio.timeout(60):
                    await migrate.migrate(dying, files=newer)
            if dying.left > 0:
                break
            # Its session may be about to end still, and holds its locks until then.
            async with asyncio.timeout(60):
                while await witness.fetchval(
                    "select exists (select from pg_stat_activity where datname = current_database()"
                    " and pid <> pg_backend_pid() and backend_type = 'client backend')"
                ):
                    await asyncio.sleep(0.001)
            found = {
                r["name"]: r["checksum"] for r in await witness.fetch("select * from reactor.migrations")
            }
            assert migrate.compare(older, found, releases.build(older))[0] == [], after
            assert await witness.fetchval(both) in ([1, 1], [2, 2])
            report = await migrate.migrate(lambda: pool.connect(empty_database_url), files=newer)
            assert report.newer == []
            assert await witness.fetchval(both) == [2, 2]
            assert await witness.fetchval("select count(*) from public.a") == 1
            assert await witness.fetchval(
                "select indisvalid from pg_index where indexrelid = 'public.a_id'::regclass"
            )
            noted = await witness.fetch("select name from reactor.migrations where name like 'release/%'")
            assert len(noted) == 2
            assert (await migrate.migrate(lambda: pool.connect(empty_database_url), files=older)).newer
    assert after > 40
