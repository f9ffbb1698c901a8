"""The committed dump is what sql/ makes: a change to the schema shows in review."""

from pathlib import Path

import pytest

from reactor.db import pool
from tools import schema_dump

DUMP = Path(__file__).parents[2] / "sql" / "schema.dump.sql"


async def test_the_committed_dump_is_the_schema_that_all_files_make(server, template, database_url):
    if server.own is None:
        pytest.skip("needs the binaries of the embedded server")
    async with pool.connected(database_url) as connection:
        partitions = await schema_dump.partitions(connection)
        name = await connection.fetchval("select current_database()")
    actual = schema_dump.dump(server.own, partitions, name)
    assert actual == DUMP.read_text(), "run `make schema-dump` and commit the result with the change"
