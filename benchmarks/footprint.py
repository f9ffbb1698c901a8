"""What a job costs the server from start to end: WAL, commits, dead tuples; and what an old snapshot does."""

import argparse
import asyncio

import asyncpg

from benchmarks.backlog import claim_costs, waiting
from benchmarks.harness import SLOW, Arena
from benchmarks.results import Results, percentile
from reactor.db import pool

_SPENT = """
select pg_current_wal_insert_lsn() - '0/0'::pg_lsn as wal, d.xact_commit as commits,
    (select sum(n_tup_upd + n_tup_del) from pg_stat_user_tables) as dead
from pg_stat_database d where datname = current_database()
"""


async def footprint(
    ring: Arena, contenders: list[str], options: argparse.Namespace, results: Results
) -> None:
    """20,000 jobs put in the way the documents advise for many, and drained by one worker."""
    jobs = max(2000, int(20_000 * options.scale) // 2000 * 2000)
    for contender in contenders:
        if options.turn and contender != "reactor":
            continue  # counts hardly differ from turn to turn
        try:
            await _spend(
                ring, contender, jobs // 4 if contender in SLOW and jobs >= 20_000 else jobs, results
            )
        except RuntimeError as error:
            results.fail("WAL, bytes a job", contender, str(error))
    if "reactor" in contenders:
        for label, pinned in (("no old snapshot", False), ("an old snapshot", True)):
            await _under_snapshot(ring, jobs, pinned, label, results)


async def _spend(ring: Arena, contender: str, jobs: int, results: Results) -> None:
    async with ring.database() as url:
        await ring.call(contender, "setup", url)
        admin = await asyncpg.connect(url)
        await admin.execute("checkpoint")
        await asyncio.sleep(1.5)  # what setup did reaches the statistics
        before = await admin.fetchrow(_SPENT)
        await ring.call(contender, "fill", url, str(jobs), "100")
        await ring.call(contender, "drain", url, str(jobs))
        await asyncio.sleep(1.5)
        after = await admin.fetchrow(_SPENT)
        await admin.close()
        assert before is not None
        assert after is not None
        for name, key in (
            ("WAL, bytes a job", "wal"),
            ("commits a job", "commits"),
            ("dead tuples a job", "dead"),
        ):
            results.note(name, contender, float(after[key] - (before[key] or 0)) / jobs)


async def _under_snapshot(ring: Arena, jobs: int, pinned: bool, label: str, results: Results) -> None:
    """Nothing that is finished can be cleaned away while a transaction as old as the backlog is open."""
    async with ring.database() as url:
        await ring.call("reactor", "setup", url)
        keeper = await asyncpg.connect(url)
        if pinned:
            await keeper.execute("begin isolation level repeatable read; select count(*) from reactor.events")
        await ring.call("reactor", "fill", url, str(jobs), "100")
        result = await ring.call("reactor", "drain", url, str(jobs))
        results.note(f"drain under {label}, jobs/s", "reactor", jobs / result["seconds"])
        async with pool.connected(url, name="bench") as connection:
            await waiting(connection, 20)
            costs = await claim_costs(connection, 100)
        results.note(
            f"claim of 8 tenants after it, under {label}, p99, ms", "reactor", percentile(costs, 0.99)
        )
        await keeper.close()
