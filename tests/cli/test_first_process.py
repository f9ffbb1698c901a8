"""The first process of a container: signals that it has no handler for do nothing to it."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from reactor.db import pool

#: A process in a namespace of its own, in which it is number 1.
ALONE = [
    "unshare",
    "--fork",
    "--pid",
    "--kill-child",
    *([] if os.getuid() == 0 else ["--user", "--map-root-user"]),
]


def can_be_first() -> bool:
    if shutil.which("unshare") is None:
        return False
    done = subprocess.run([*ALONE, "sh", "-c", "test $$ = 1"], capture_output=True, timeout=20)
    return done.returncode == 0


async def test_a_migration_that_waits_ends_with_sigterm_also_as_the_first_process(
    empty_database_url: str,
) -> None:
    if not can_be_first():
        pytest.skip("this machine gives no process a namespace of its own (unshare --pid)")
    async with (
        pool.connected(empty_database_url, name="test") as conn,
        conn.transaction(),
    ):
        # As another migration has it for as long as it takes.
        await conn.execute("select pg_advisory_xact_lock(7305793124086427)")
        outer = await asyncio.create_subprocess_exec(
            *ALONE,
            sys.executable,
            "-m",
            "reactor",
            "migrate",
            env={**os.environ, "REACTOR_DATABASE_URL": empty_database_url},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        try:
            async with asyncio.timeout(30):
                async with pool.connected(empty_database_url, name="looking") as looking:
                    while not await looking.fetchval(
                        "select count(*) > 0 from pg_stat_activity where datname = current_database() "
                        "and application_name = 'reactor migrate' and query like '%advisory_xact_lock%'"
                    ):
                        await asyncio.sleep(0.02)
                inner = int(Path(f"/proc/{outer.pid}/task/{outer.pid}/children").read_text())
                os.kill(inner, signal.SIGTERM)
                assert await outer.wait() == 128 + signal.SIGTERM
        finally:
            if outer.returncode is None:
                outer.kill()
                await outer.wait()
