"""Faults of the whole server, and strangers at work in it."""

import asyncio

import asyncpg

from reactor.db.borrow import LOST
from tests.failure.monkey import Fault, Monkey


async def crash_server(monkey: Monkey, fault: Fault) -> None:
    """SIGKILL of the postmaster, a moment of nothing, a restart with crash recovery."""
    if monkey.server.locked():
        return
    async with monkey.server:
        await monkey.fleet.crash_server()
        await asyncio.sleep(monkey.chance.uniform(0, 1))
        await monkey.fleet.start_server()
        (await monkey.fleet.connect()).terminate()
        await monkey.probe(fault)


async def read_only(monkey: Monkey, fault: Fault) -> None:
    """Every transaction is read-only for a while, as after a failover to a standby."""
    if monkey.server.locked():
        return
    async with monkey.server:
        await monkey.ask("alter system set default_transaction_read_only = on")
        await monkey.ask("select pg_reload_conf()")
        await asyncio.sleep(monkey.chance.uniform(0.5, 3))
        while not await monkey.ask("select 1 as fine"):
            await asyncio.sleep(0.1)
        await monkey.ask("alter system reset default_transaction_read_only")
        await monkey.ask("select pg_reload_conf()")
        await monkey.probe(fault)


async def fill_slots(monkey: Monkey, fault: Fault) -> None:
    """Strangers take every connection that the server has left; some of the fleet's are ended as well."""
    if monkey.server.locked():
        return
    async with monkey.server:
        strangers: list[asyncpg.Connection] = []
        try:
            for _ in range(150):
                try:
                    strangers.append(await asyncpg.connect(monkey.fleet.url_for("proof_writer"), timeout=5))
                except LOST:
                    break
            fault.detail = f"{len(strangers)} connections taken"
            await monkey.ask(
                "select pg_terminate_backend(pid) from (select pid from pg_stat_activity "
                "where datname = 'proof' and usename = 'proof_replica' order by random() limit 4) x"
            )
            await asyncio.sleep(monkey.chance.uniform(0.5, 3))
        finally:
            for connection in strangers:
                connection.terminate()
        await monkey.probe(fault)


async def outsider(monkey: Monkey, fault: Fault) -> None:
    """Somebody else takes a tenant's lock through acquire_tenant_lock() and gives it back after a while."""
    tenant = monkey.chance.choice(monkey.fleet.tenants)
    run = None
    for _ in range(50):
        rows = await monkey.ask("select public.acquire_tenant_lock($1, 'outsider', 1) as run", tenant)
        run = rows[0]["run"] if rows else None
        if run is not None:
            break
        await asyncio.sleep(0.02)
    if run is None:
        fault.detail = "never got it"
        return
    await asyncio.sleep(monkey.chance.uniform(0.1, 2))
    for _ in range(200):
        rows = await monkey.ask("select public.release_tenant_lock($1, $2) as released", tenant, run)
        if rows:
            fault.detail = "released" if rows[0]["released"] else "lost"
            break
        await asyncio.sleep(0.05)
    await monkey.probe(fault, [tenant])


async def long_reader(monkey: Monkey, fault: Fault) -> None:
    """A REPEATABLE READ snapshot pins vacuum. If it has read the outbox, that cannot be rewritten either."""
    table = monkey.chance.choice(["reactor.events", "public.tenants", "public.tenants"])
    fault.detail = table
    try:
        connection = await monkey.fleet.connect(patience=1)
    except LOST:
        return
    try:
        await connection.execute("begin isolation level repeatable read read only")
        await connection.fetchval(f"select count(*) from {table}")
        await monkey.probe(fault)
        await asyncio.sleep(monkey.chance.uniform(3, 15))
        await connection.fetchval("select count(*) from public.proof_source")
    except LOST:
        pass
    finally:
        connection.terminate()


async def rotate(monkey: Monkey, fault: Fault) -> None:
    """The outbox is rewritten again and again, as the leader does it: in its term, but with no reason."""
    done = []
    for _ in range(monkey.chance.randint(1, 5)):
        done += await monkey.ask(
            "select r.outcome, r.live from reactor.leadership l, reactor.rotate(l.term, 0, 100000) r"
        )
        await asyncio.sleep(monkey.chance.uniform(0, 0.2))
    rotated = [row["live"] for row in done if row["outcome"] == "rotated"]
    monkey.rotations += len(rotated)
    if rotated:
        fault.detail = f"{len(rotated)} times, with up to {max(rotated)} events"
        await monkey.probe(fault)
