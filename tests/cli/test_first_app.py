"""docs/first-app.md, from an empty database to its end: all of it is run, in its order."""

import asyncio
import re
import shlex
import signal
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path

import asyncpg
import pytest

from reactor.db.odd_values import EPOCH
from reactor.db.statements import split
from reactor.telemetry import words
from tests.operators import Cli
from tests.processes import Running, replica

PAGE = (Path(__file__).parents[2] / "docs" / "first-app.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
#: What is different on every machine.
LEFT_OUT = ("docker run ", "export REACTOR_DATABASE_URL=")
#: All that telemetry.words says of a time: ``now``, ``850 ms``, ``1.1 s``, ``2 min 5 s ago``, ``in 20 s``.
TIME = re.compile(r"(in )?\d+(\.\d+)? (ms|s|min|h|d)\b( \d+ (s|min|h)\b)?( ago)?|\bnow\b")


def like(text: str) -> str:
    """Numbers and times differ from run to run, and how wide a column is."""
    return " ".join(TIME.sub("N", text).split())


@pytest.mark.parametrize("seconds", [0, 0.4, 1.1, 9.96, 41, 60, 61.5, 125, 3_700, 90_061])
def test_every_time_that_the_page_may_meet_is_passed_over(seconds: float) -> None:
    """The machine decides whether it reads ``41 s`` or ``1.1 s``."""
    now = EPOCH
    then, due = now - timedelta(seconds=seconds), now + timedelta(seconds=seconds)
    assert like(f"handled {words.ago(then, now)}, after {words.lasting(seconds)}.") == "handled N, after N."
    assert like(f"due {words.ago(due, now)}.") == "due N."


async def settled(conn: asyncpg.Connection) -> None:
    """Wait until what the page talks about has become of the invoices' events."""
    async with asyncio.timeout(60):
        while await conn.fetchval("select count(*) from reactor.events where event_type = 'invoice.created'"):
            await asyncio.sleep(0.05)


async def test_the_first_application_does_what_its_page_says(
    empty_database_url: str, cli: Cli, tmp_path: Path
) -> None:
    conn = await asyncpg.connect(empty_database_url)
    number, said, rows, ran = 0, "", [], []
    async with AsyncExitStack() as stack:
        running: Running | None = None
        for kind, text in BLOCKS:
            if running is not None:
                await settled(conn)
                # A handler's death is written with its last settlement; the page asks for it by number.
                number = await conn.fetchval("select max(id) from reactor.dead_events") or number
            match kind:
                case "sql":
                    for _, statement in split(text):
                        rows = await conn.fetch(statement)
                    if rows and "event_type" in rows[0]:
                        number = rows[0]["id"]
                case "python":
                    (tmp_path / text.splitlines()[0].removeprefix("# ")).write_text(text)
                case "text":
                    assert like(text) in like(said)
                case "sh":
                    for line in text.splitlines():
                        if line.startswith(LEFT_OUT):
                            continue
                        program, *words = shlex.split(line.replace("ID", str(number)))
                        assert program == "reactor"
                        ran.append(" ".join(words[:2]))
                        if words[0] == "run":
                            running = await stack.enter_async_context(
                                replica(tmp_path, empty_database_url, *words[1:])
                            )
                            await running.says("replica_started")
                            continue
                        if running is not None:
                            await settled(conn)
                        answer = await asyncio.to_thread(cli, *words, url=empty_database_url)
                        assert answer.code == 0, answer
                        said = answer.out
                case _:
                    raise AssertionError(f"a block of {kind}")

        assert running is not None
        assert await running.end(signal.SIGTERM) == 0
        assert running.events.count("reminded") == 2
    assert (ran[0], ran[-1], len(ran)) == ("migrate", "doctor", 10)
    assert await conn.fetchval("select count(*) from invoices where reminded_at is not null") == 2
    assert await conn.fetchval("select count(*) from reactor.dead_events") == 0
    await conn.close()
