"""Prints the schema that sql/ makes in an empty database, as pg_dump sees it on the embedded server.

`make schema-dump` writes it to sql/schema.dump.sql, where a change to the schema can be read in
review; a test holds the two together. Partitions are left out: their names and bounds follow the
calendar.
"""

import asyncio
import os
import re
import subprocess
import sys

from reactor.db import embedded, migrate, pool
from reactor.db.binaries import run_as, server_account

_PARTITIONS = """
select c.oid::regclass::text from pg_class c where c.relispartition and c.relkind in ('r', 'p') order by 1
"""


async def main() -> None:
    """Starts a server, migrates, dumps."""
    async with embedded.running(settings=embedded.FAST) as server:
        await migrate.migrate(lambda: pool.connect(server.url()))
        async with pool.connected(server.url()) as connection:
            sys.stdout.write(await asyncio.to_thread(dump, server, await partitions(connection)))


async def partitions(connection: pool.Connection) -> list[str]:
    """The names of all partitions."""
    return [row[0] for row in await connection.fetch(_PARTITIONS)]


def dump(server: embedded.EmbeddedServer, without: list[str], dbname: str = "postgres") -> str:
    """The normalized text of pg_dump."""
    command = [str(server.bin_dir / "pg_dump"), "--schema-only", "--no-comments", server.url(dbname)]
    command += [f"--exclude-table={name}" for name in without]
    done = subprocess.run(
        command,
        check=True,
        capture_output=True,
        text=True,
        cwd="/",
        env={"PATH": os.environ.get("PATH", ""), "LC_ALL": "C"},
        **run_as(server_account()),
    )
    return normalize(done.stdout)


def normalize(text: str) -> str:
    """Without what differs from one run or minor version to the next, and without function bodies.

    Those are read in sql/functions; here are their signatures, rights and settings.
    """
    text = re.sub(r"^    AS (\$\w*\$).*?\1;$", "    AS '…';", text, flags=re.MULTILINE | re.DOTALL)
    text = re.sub(
        r"^    BEGIN ATOMIC$.*?^END;$", "    BEGIN ATOMIC … END;", text, flags=re.MULTILINE | re.DOTALL
    )
    # As they were made, which another test of the same server may have done in another order.
    text = re.sub(
        r"^(CREATE POLICY .*? TO )([\w, ]+?)(?= USING| WITH|;)",
        lambda found: found[1] + ", ".join(sorted(found[2].split(", "))),
        text,
        flags=re.MULTILINE,
    )
    text = re.sub(r"^    RETURN .*?;$", "    RETURN …;", text, flags=re.MULTILINE | re.DOTALL)
    lines = [
        line
        for line in text.splitlines()
        if not line.startswith(("--", "\\restrict", "\\unrestrict", "SET ", "SELECT pg_catalog.set_config"))
    ]
    return re.sub(r"\n{2,}", "\n\n", "\n".join(lines)).strip() + "\n"


if __name__ == "__main__":
    asyncio.run(main())
