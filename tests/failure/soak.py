"""A long transaction pins the vacuum horizon while events pass: ``python -m tests.failure.soak --rate 500``.

One replica, and a REPEATABLE READ reader that keeps its snapshot open. Finished events stay in the outbox as
dead rows that vacuum may not remove, and claims walk over them, until the leader rewrites the outbox. Prints,
minute by minute before, during and after, how long a claim takes, how long an event waits, how often the
outbox was rewritten, and how large it is. ``--rotate-dead-rows 0`` shows what it would be without that.
"""

import argparse
import asyncio
import json
import random
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any
from uuid import UUID

from rich.console import Console
from rich.table import Table

from reactor import Context, Event, Reactor
from reactor.db import calls, embedded, pool
from reactor.db.migrate import migrate
from reactor.testing import running
from tests.failure.report import percentile
from tests.failure.writer import tenants_of

app = Reactor()
#: In the report, around the table.
BEGIN, END = "<!-- soak -->", "<!-- end of soak -->"
_HEAD = (
    *("minute", "claims", "p50, ms", "p99, ms", "handled", "waited p50, ms", "p99, ms", "longest, ms"),
    *("rotations", "dead rows", "MB"),
)
#: The writer makes so many transactions a second.
_BEATS = 50


@app.on("soak.event")
async def handle(event: Event[Any], ctx: Context) -> None:
    """Nothing: what is measured is the way of the event."""


@dataclass(slots=True)
class Minute:
    """What was measured in a stretch of time. Milliseconds; sizes in MB."""

    phase: str
    claims: int
    claim_p50: float
    claim_p99: float
    handled: int
    waited_p50: float
    waited_p99: float
    waited_most: float
    dead_rows: int
    megabytes: float
    rotations: int


@dataclass(slots=True)
class Clock:
    """Every claim's duration, in seconds, since it was last emptied."""

    claims: list[float] = field(default_factory=list)

    def time(self, claim: Callable[..., Any]) -> Callable[..., Any]:
        async def timed(*arguments: Any, **options: Any) -> Any:
            began = perf_counter()
            try:
                return await claim(*arguments, **options)
            finally:
                self.claims.append(perf_counter() - began)

        return timed


async def soak(
    minutes: int, rate: int, tenants: int, *, length: float = 60, rotate_dead_rows: int | None = None
) -> list[Minute]:
    """One minute before, ``minutes`` pinned, two after. ``length``: seconds of such a minute."""
    chosen = {} if rotate_dead_rows is None else {"rotate_dead_rows": rotate_dead_rows}
    settings = {"autovacuum_naptime": "10s", "shared_buffers": "128MB", "max_wal_size": "2GB"}
    clock = Clock()
    found: list[Minute] = []
    everybody = tenants_of(tenants)
    async with embedded.running(settings=settings) as server:
        async with pool.connected(server.url()) as admin:
            await admin.execute("create database soak")
        url = server.url("soak")
        await migrate(lambda: pool.connect(url, name="soak"))
        async with pool.connected(url, name="soak") as conn, pool.connected(url, name="reader") as reader:
            await conn.executemany(
                "insert into public.tenants (id, name) values ($1, 'soak')",
                [(tenant,) for tenant in everybody],
            )
            claim = calls.claim
            calls.claim = clock.time(claim)
            try:
                async with running(app, url, **chosen), asyncio.TaskGroup() as group:
                    writer = group.create_task(_write(url, rate, everybody))
                    for minute in range(-1, minutes + 2):
                        if minute == 0:
                            await reader.execute("begin isolation level repeatable read read only")
                            # Of any table but the outbox: a reader that holds that leaves no way out.
                            await reader.fetchval("select count(*) from public.tenants")
                        elif minute == minutes:
                            await reader.execute("commit")
                        phase = "before" if minute < 0 else "pinned" if minute < minutes else "after"
                        found.append(await _measure(conn, clock, phase, length))
                    writer.cancel()
            finally:
                calls.claim = claim
    return found


async def _write(url: str, rate: int, tenants: Sequence[UUID]) -> None:
    """A few events at a time, for tenants at random, at an even pace."""
    loop = asyncio.get_running_loop()
    few = max(1, rate // _BEATS)
    async with pool.connected(url, name="writer") as conn:
        due = loop.time()
        while True:
            await conn.execute(
                "select reactor.emit(t, 'soak.event') from unnest($1::uuid[]) as t",
                random.choices(tenants, k=few),
            )
            due += 1 / _BEATS
            await asyncio.sleep(max(0.0, due - loop.time()))


async def _measure(conn: pool.Connection, clock: Clock, phase: str, length: float) -> Minute:
    clock.claims.clear()
    began = await conn.fetchval("select clock_timestamp()")
    rotations = await conn.fetchval("select rotations from reactor.rotation")
    await asyncio.sleep(length)
    claims = clock.claims or [0.0]
    row = await conn.fetchrow(
        "select count(*) as handled, "
        "coalesce(percentile_cont(array[0.5, 0.99, 1]) within group (order by extract(epoch from "
        "finished_at - created_at)), '{0,0,0}') as waited, "
        "(select n_dead_tup from pg_stat_all_tables where relid = 'reactor.events'::regclass) as dead, "
        "pg_total_relation_size('reactor.events') / 1e6 as size, "
        "(select rotations from reactor.rotation) as rotations "
        "from reactor.history where event_type = 'soak.event' and finished_at > $1",
        began,
    )
    assert row is not None
    return Minute(
        phase=phase,
        claims=len(clock.claims),
        claim_p50=1000 * percentile(claims, 0.5),
        claim_p99=1000 * percentile(claims, 0.99),
        handled=row["handled"],
        waited_p50=1000 * row["waited"][0],
        waited_p99=1000 * row["waited"][1],
        waited_most=1000 * row["waited"][2],
        dead_rows=row["dead"],
        megabytes=float(row["size"]),
        rotations=row["rotations"] - rotations,
    )


def publish(report: Path, found: Sequence[Minute]) -> None:
    """The report is written by hand but for the table between its two marks."""
    lines = [
        f"| {' | '.join(_HEAD)} |",
        "| --- |" + " ---: |" * (len(_HEAD) - 1),
    ]
    for number, one in enumerate(found):
        name = f"{one.phase}, {number}" if one.phase == "pinned" else one.phase
        lines.append(
            f"| {name} | {one.claims:,} | {one.claim_p50:.1f} | {one.claim_p99:.1f} | {one.handled:,} "
            f"| {one.waited_p50:.1f} | {one.waited_p99:.1f} | {one.waited_most:.0f} | {one.rotations} "
            f"| {one.dead_rows:,} | {one.megabytes:.1f} |"
        )
    before, rest = report.read_text().split(BEGIN)
    _, after = rest.split(END)
    report.write_text("\n".join([f"{before}{BEGIN}", "", *lines, "", f"{END}{after}"]))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.failure.soak", description=__doc__)
    parser.add_argument("--minutes", type=int, default=5, help="how long the snapshot is held (5)")
    parser.add_argument("--rate", type=int, default=500, help="events a second (500)")
    parser.add_argument("--tenants", type=int, default=200)
    parser.add_argument("--length", type=float, default=60, help="seconds of a minute, for a quick look (60)")
    parser.add_argument("--rotate-dead-rows", type=int, help="REACTOR_ROTATE_DEAD_ROWS; 0: never")
    parser.add_argument("--publish", metavar="FILE", help="put the table into this report, docs/proof.md")
    parser.add_argument("--json", metavar="FILE", help="write the result here as well")
    chosen = parser.parse_args()
    found = asyncio.run(
        soak(
            chosen.minutes,
            chosen.rate,
            chosen.tenants,
            length=chosen.length,
            rotate_dead_rows=chosen.rotate_dead_rows,
        )
    )
    table = Table(
        *("minute", "claims", "p50", "p99", "handled", "waited p50", "p99", "most", "rotations", "dead rows"),
        "MB",
    )
    for one in found:
        table.add_row(
            one.phase,
            f"{one.claims:,}",
            f"{one.claim_p50:.1f}",
            f"{one.claim_p99:.1f}",
            f"{one.handled:,}",
            f"{one.waited_p50:.1f}",
            f"{one.waited_p99:.1f}",
            f"{one.waited_most:.1f}",
            f"{one.rotations:,}",
            f"{one.dead_rows:,}",
            f"{one.megabytes:.1f}",
        )
    Console(width=110).print(table)
    if chosen.publish:
        publish(Path(chosen.publish), found)
    if chosen.json:
        Path(chosen.json).write_text(json.dumps([asdict(one) for one in found], indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
