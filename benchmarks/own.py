"""What only we have: what the triggers cost the writers, and the deadline timer."""

import argparse
import asyncio
import os
import re
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from tempfile import NamedTemporaryFile
from typing import Any

from benchmarks import held
from benchmarks.harness import Arena
from benchmarks.results import Results, percentile
from reactor import Context, Event, Reactor, testing
from reactor.db import calls, migrate, pool
from reactor.db.binaries import find_binaries, server_account

_TABLES = """
create table plain (id uuid primary key default gen_random_uuid(), tenant_id uuid not null, body text);
create table notified (like plain including all);
create function notify_row() returns trigger language plpgsql as $$
begin perform pg_notify('rows', new.id::text); return null; end $$;
create trigger n after insert on notified for each row execute function notify_row();
create table outboxed (like plain including all);
create table outbox (
    id bigint generated always as identity primary key, tenant_id uuid, subject uuid,
    at timestamptz default clock_timestamp());
create function outbox_rows() returns trigger language plpgsql as $$
begin insert into outbox (tenant_id, subject) select tenant_id, id from new_rows; return null; end $$;
create trigger o after insert on outboxed referencing new table as new_rows
for each statement execute function outbox_rows();
create table dispatchable (like plain including all);
create table dispatched (
    id bigint generated always as identity primary key, event_id uuid not null default gen_random_uuid(),
    tenant_id uuid not null, event_type text not null, subject uuid, payload jsonb not null default '{}',
    at timestamptz not null default clock_timestamp());
create index on dispatched (tenant_id, id);
create function dispatch_rows() returns trigger language plpgsql security definer set search_path = '' as $$
begin
insert into public.dispatched (tenant_id, event_type, subject) select tenant_id, 'noop', id from new_rows;
return null; end $$;
create trigger o after insert on dispatchable referencing new table as new_rows
for each statement execute function dispatch_rows();
create table watched (like plain including all);
grant insert on plain, notified, outboxed, outbox, dispatchable, watched to authenticated;
"""

#: All but the last two digits of the fifty tenants' ids.
_TENANT = "00000000-0000-4000-8000-0000000000"


@asynccontextmanager
async def _database(ring: Arena) -> AsyncIterator[tuple[str, pool.Connection]]:
    async with ring.database() as url:
        await migrate.migrate(lambda: pool.connect(url))
        async with pool.connected(url, name="bench") as connection:
            yield url, connection


async def writers(ring: Arena, contenders: list[str], options: argparse.Namespace, results: Results) -> None:
    """Single-row INSERTs a second at 1, 8 and 32 clients, by what hangs on the table; and on a slow disk."""
    async with _database(ring) as (url, connection):
        await connection.execute(_TABLES)
        await connection.execute("select reactor.watch('watched', 'noop')")
        await connection.execute(
            f"insert into tenants (id, name, agent_enabled) select ('{_TENANT}' || n)::uuid, 't', true "
            "from generate_series(10, 59) n"
        )
        seconds = max(1, round(3 * options.scale))
        for clients in (1, 8, 32):
            for label, table, beside in _hanging(url):
                rate = await _beside(url, connection, table, beside, clients, seconds)
                results.note(f"writers, {clients} clients, inserts/s", label, rate)
        async with _slow_flush(connection):
            for label, table, beside in _hanging(url):
                rate = await _beside(url, connection, table, beside, 32, seconds)
                results.note("writers, 32 clients, a flush of 2 ms, inserts/s", label, rate)


def _hanging(url: str) -> Iterator[tuple[str, str, tuple[str, ...] | None]]:
    """What may hang on a table: its label, the table, and the process that works meanwhile."""
    yield "no trigger", "plain", None
    yield "outbox row", "outboxed", None
    yield "outbox row, least consumer", "outboxed", held.consumer(url)
    yield "outbox row a consumer can use", "dispatchable", None
    yield "row trigger with pg_notify", "notified", None
    yield "ours, nobody asleep", "watched", None
    yield "ours, reactor at work", "watched", held.replica(url)


@asynccontextmanager
async def _slow_flush(connection: pool.Connection) -> AsyncIterator[None]:
    """A disk of two milliseconds, as a network's is: who flushes waits for so long, and others may join."""
    for setting in ("commit_delay = 2000", "commit_siblings = 0"):
        await connection.execute(f"alter system set {setting}")
    await connection.execute("select pg_reload_conf()")
    try:
        yield
    finally:
        await connection.execute("alter system reset commit_delay")
        await connection.execute("alter system reset commit_siblings")
        await connection.execute("select pg_reload_conf()")


async def _beside(
    url: str,
    connection: pool.Connection,
    table: str,
    beside: tuple[str, ...] | None,
    clients: int,
    seconds: int,
) -> float:
    """Inserts a second into an outbox that is empty at first."""
    await connection.execute("truncate reactor.events, outbox, dispatched")
    await connection.execute("checkpoint")
    async with _at_work(beside):
        return await _write(url, table, clients, seconds)


@asynccontextmanager
async def _at_work(command: tuple[str, ...] | None) -> AsyncIterator[None]:
    """While a process beside us takes what the writers put in, if there is one."""
    if command is None:
        yield
        return
    async with held.held(*command) as worker:
        worker.begin()
        await worker.said("running")
        yield
        await worker.end()


async def _write(url: str, table: str, clients: int, seconds: int) -> float:
    """By pgbench: a client in C leaves the two cores to what is measured."""
    with NamedTemporaryFile("w", suffix=".sql") as script:
        script.write(
            "\\set n random(10, 59)\n"
            f"insert into {table} (tenant_id, body) values (('{_TENANT}' || :n)::uuid, 'text');\n"
        )
        script.flush()
        pgbench = find_binaries(None, server_account()) / "pgbench"
        process = await asyncio.create_subprocess_exec(
            *(pgbench, "--no-vacuum", "--protocol=prepared", f"--client={clients}", f"--time={seconds}"),
            *(f"--file={script.name}", url),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            # An application's role: a superuser's rights are looked up nowhere.
            env={**os.environ, "PGOPTIONS": "-c role=authenticated"},
        )
        out, err = await process.communicate()
    found = re.search(rb"tps = ([\d.]+)", out)
    if process.returncode or not found:
        raise RuntimeError(f"pgbench: {err.decode().strip()[-400:]}")
    return float(found[1])


async def deadlines(
    ring: Arena, contenders: list[str], options: argparse.Namespace, results: Results
) -> None:
    """How late a clock's handler begins, with a million clocks; and what a sweep costs at 10⁴, 10⁵, 10⁶."""
    for clocks in (10_000, 100_000, 1_000_000):
        async with _database(ring) as (url, connection):
            tenant = await _clocks(connection, max(100, int(clocks * options.scale)))
            costs = []
            term = await calls.lead(connection, "bench", timedelta(seconds=30))
            assert term is not None
            for _ in range(200):
                began = time.perf_counter()
                await calls.sweep(connection, term, 1000)
                costs.append((time.perf_counter() - began) * 1000)
            results.note(f"sweep, nothing due, {clocks:,} clocks, ms", "reactor", percentile(costs, 0.5))
            await connection.execute("update reactor.leadership set expires_at = '-infinity'")
            if clocks == 1_000_000:
                late = await _lateness(url, connection, tenant)
                for share in (0.5, 0.99):
                    name = f"deadline, 10⁶ clocks, late by p{share * 100:.0f}, ms"
                    results.note(name, "reactor", percentile(late, share))


async def _clocks(connection: Any, clocks: int) -> uuid.UUID:
    tenant: uuid.UUID = await connection.fetchval(
        "insert into tenants (name, agent_enabled) values ('t', true) returning id"
    )
    await connection.execute("alter table engagement_clocks disable trigger user")
    await connection.execute(
        "insert into clients (id, tenant_id, company_name) "
        "select gen_random_uuid(), $1, 'c' from generate_series(1, $2::int)",
        tenant,
        clocks + 200,
    )
    await connection.execute(
        "insert into engagement_clocks (tenant_id, client_id, next_touch_due) "
        "select tenant_id, id, now() + interval '1 day' + random() * interval '30 days' "
        "from clients limit $1",
        clocks,
    )
    await connection.execute("alter table engagement_clocks enable trigger user")
    await connection.execute("vacuum analyze engagement_clocks")
    return tenant


async def _lateness(url: str, connection: Any, tenant: uuid.UUID) -> list[float]:
    app = Reactor()
    late: list[float] = []
    due: dict[uuid.UUID, float] = {}

    @app.on("engagement.overdue")
    async def handle(event: Event, ctx: Context) -> None:
        late.append((time.time() - due[event.subject_id]) * 1000)

    clients = await connection.fetch(
        "select c.id from clients c where not exists ("
        "select from engagement_clocks e where e.client_id = c.id) limit 150"
    )
    async with testing.running(app, url):
        await asyncio.sleep(1)
        for row in clients:
            clock, at = await connection.fetchrow(
                "insert into engagement_clocks (tenant_id, client_id, next_touch_due) "
                "values ($1, $2, clock_timestamp() + interval '150 ms') "
                "returning id, extract(epoch from next_touch_due)::float8",
                tenant,
                row["id"],
            )
            due[clock] = at
            await asyncio.sleep(0.1)
        async with asyncio.timeout(20):
            while len(late) < len(clients):
                await asyncio.sleep(0.05)
    return late
