"""A rolling deploy as Kubernetes does it, with `reactor run` as processes and the settings of the manifests.

Bookings are made all the while. A replica is asked to end, one is killed, one stands still with its node; at
each step the probes say what Kubernetes would act on, and in the end each booking was handled once.
"""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx2
import pytest

from reactor.db import pool
from tests.conftest import Server
from tests.deploy.manifests import FOLDER, only, settings_file, written
from tests.operators import as_role, login
from tests.processes import without_settings

SHOP = """
import asyncio
from pathlib import Path
from reactor import Reactor

app = Reactor()

async def enter(event, ctx):
    await ctx.db.execute(
        "insert into public.ledger (tenant_id, event_id) values ($1, $2)", ctx.tenant_id, event.id
    )

@app.on("booking.made")
async def made(event, ctx):
    await enter(event, ctx)

@app.on("booking.held")
async def held(event, ctx):
    await enter(event, ctx)
    ctx.log.info("holding", id=event.id)
    while not Path(event.payload["until"]).exists():
        await asyncio.sleep(0.02)
"""
TABLES = """
    create table public.bookings (
        id uuid primary key default gen_random_uuid(), tenant_id uuid not null references public.tenants);
    create table public.ledger (
        id bigint generated always as identity, tenant_id uuid not null, event_id bigint not null);
    create index on public.ledger (event_id);
    select reactor.protect('public.ledger');
    select reactor.watch('public.bookings', 'booking.made');
"""
#: Seconds; 30 by default, which a test would have to wait for.
LEASE = 2


class Pod:
    """A replica, what it logs, and its probes as a kubelet asks them."""

    def __init__(self, process: asyncio.subprocess.Process, client: httpx2.AsyncClient) -> None:
        self.process = process
        self._client = client
        self.lines: list[dict[str, Any]] = []
        self._more = asyncio.Condition()
        self._reader = asyncio.create_task(self._read())

    async def _read(self) -> None:
        assert self.process.stderr is not None
        async for line in self.process.stderr:
            async with self._more:
                self.lines.append(json.loads(line) if line.startswith(b"{") else {"event": line.decode()})
                self._more.notify_all()
        async with self._more:
            self.lines.append({"event": "(ended)"})
            self._more.notify_all()

    def said(self, event: str, **fields: Any) -> dict[str, Any] | None:
        wanted = {"event": event, **fields}
        return next((line for line in self.lines if wanted.items() <= line.items()), None)

    async def says(self, event: str, **fields: Any) -> dict[str, Any]:
        async with asyncio.timeout(30), self._more:
            while (line := self.said(event, **fields)) is None:
                assert self.said("(ended)") is None, f"it ended without {event}: {self.lines}"
                await self._more.wait()
        return line

    async def probe(self, name: str) -> int | None:
        """The status; None when nobody answers, or not in time."""
        answer = await self.ask(name)
        return None if answer is None else answer.status_code

    async def ask(self, name: str) -> httpx2.Response | None:
        address = (await self.says("http_listening"))["address"].replace("0.0.0.0", "127.0.0.1")
        deployment = only(written(FOLDER / "base"), "Deployment")
        (container,) = deployment["spec"]["template"]["spec"]["containers"]
        path = container[f"{name}Probe"]["httpGet"]["path"]
        try:
            return await self._client.get(f"{address}{path}", timeout=1.0)
        except httpx2.TransportError:
            return None

    async def becomes(self, name: str, status: int) -> None:
        async with asyncio.timeout(30):
            while await self.probe(name) != status:
                await asyncio.sleep(0.02)

    def send(self, number: signal.Signals) -> None:
        os.kill(self.process.pid, number)

    async def ends(self) -> int:
        async with asyncio.timeout(30):
            return await self.process.wait()


class Rollout:
    """Pods that are started one by one, and bookings that are made all the while."""

    def __init__(
        self, stack: AsyncExitStack, urls: tuple[str, str], conn: pool.Connection, folder: Path
    ) -> None:
        """``urls``: the replicas' and the application's."""
        self._stack, self._folder = stack, folder
        self._url, self._app_url = urls
        self._client = httpx2.AsyncClient()
        stack.push_async_callback(self._client.aclose)
        self.conn = conn
        self.pods: list[Pod] = []
        self.booked = 0

    async def start(self) -> Pod:
        """As a Deployment does: the next step waits until it is ready."""
        environment = {
            **without_settings(),
            **settings_file(FOLDER / "base" / "settings.env"),
            "REACTOR_DATABASE_URL": self._url,
            "REACTOR_DASHBOARD_TOKEN": "a-token-for-the-test",
            # One machine has one port 8080.
            "REACTOR_HTTP_PORT": "0",
            "REACTOR_LEASE_SECONDS": str(LEASE),
        }
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "reactor", "run", "--app", "shop:app"),
            cwd=self._folder,
            env=environment,
            stderr=asyncio.subprocess.PIPE,
        )
        pod = Pod(process, self._client)
        self._stack.push_async_callback(self._remove, pod)
        self.pods.append(pod)
        await pod.becomes("startup", 200)
        await pod.becomes("readiness", 200)
        return pod

    async def _remove(self, pod: Pod) -> None:
        if pod.process.returncode is None:
            pod.process.kill()
            await pod.process.wait()
        await pod._reader

    async def hold(self, tenant: UUID, name: str) -> tuple[Pod, int, Path]:
        """An event in the middle of whose handler somebody is: who, its id, and the file that lets it end."""
        until = self._folder / name
        event = await self.conn.fetchval(
            "select reactor.emit($1, 'booking.held', $2)", tenant, {"until": str(until)}
        )
        waiting = [
            asyncio.create_task(pod.says("holding", id=event))
            for pod in self.pods
            if pod.process.returncode is None
        ]
        done, rest = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for task in rest:
            task.cancel()
        assert done
        (holder,) = [pod for pod in self.pods if pod.said("holding", id=event)]
        return holder, event, until

    async def book(self, tenants: list[UUID], stop: asyncio.Event) -> None:
        """The application, on a connection of its own."""
        async with pool.connected(self._app_url, name="shop") as shop:
            while not stop.is_set():
                await shop.execute(
                    "insert into public.bookings (tenant_id) select unnest($1::uuid[])", tenants
                )
                self.booked += len(tenants)
                await asyncio.sleep(0.03)

    async def until(self, query: str, *arguments: Any) -> None:
        async with asyncio.timeout(30):
            while not await self.conn.fetchval(query, *arguments):
                await asyncio.sleep(0.02)

    async def goes_on(self) -> None:
        """What is booked from now on is handled, whoever is missing."""
        last = await self.conn.fetchval("select coalesce(max(event_id), 0) from public.ledger")
        await self.until("select count(*) > 50 from public.ledger where event_id > $1", last)

    async def handled(self, event: int) -> None:
        await self.until("select count(*) = 1 from reactor.history where id = $1", event)


@pytest.fixture
async def rollout(
    server: Server, database_url: str, conn: pool.Connection, tmp_path: Path
) -> AsyncIterator[Rollout]:
    login(server, "rollout_replica", "in role reactor")
    (tmp_path / "shop.py").write_text(SHOP)
    await conn.execute(TABLES)
    async with AsyncExitStack() as stack:
        yield Rollout(stack, (as_role(database_url, "rollout_replica"), database_url), conn, tmp_path)
    server.admin("drop role rollout_replica")


@asynccontextmanager
async def bookings(rollout: Rollout, tenants: list[UUID]) -> AsyncIterator[None]:
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(rollout.book(tenants, stop))
        try:
            yield
        finally:
            stop.set()


@pytest.mark.slow
async def test_a_rolling_deploy_loses_no_booking_and_handles_none_twice(rollout: Rollout) -> None:
    conn = rollout.conn
    tenants = [
        await conn.fetchval("insert into public.tenants (name) values ($1) returning id", f"T{n}")
        for n in range(6)
    ]
    first, second = await asyncio.gather(rollout.start(), rollout.start())
    async with bookings(rollout, tenants[:5]):
        await rollout.goes_on()

        # The new version's first pod is ready: an old one is asked to end, in the middle of a handler.
        holder, event, until = await rollout.hold(tenants[5], "released")
        assert holder in (first, second)
        await rollout.start()
        holder.send(signal.SIGTERM)
        await holder.says("replica_draining")
        answer = await holder.ask("readiness")
        assert answer is not None
        assert answer.status_code == 503
        assert "draining" in answer.text
        assert await holder.probe("liveness") == 200
        assert await holder.probe("startup") == 200
        await rollout.goes_on()
        assert holder.process.returncode is None
        until.touch()
        assert await holder.ends() == 0
        assert holder.said("replica_stopped")
        await rollout.handled(event)

        # The next one is killed, as when its grace is over or its node is gone: its lease runs out.
        await rollout.start()
        holder, event, until = await rollout.hold(tenants[5], "killed")
        holder.send(signal.SIGKILL)
        await holder.ends()
        until.touch()
        await rollout.goes_on()
        await rollout.handled(event)

        # One stands still, with its node: the kubelet would see no answer, the others go on with its tenant.
        await rollout.start()
        holder, event, until = await rollout.hold(tenants[5], "frozen")
        holder.send(signal.SIGSTOP)
        assert await holder.probe("liveness") is None
        until.touch()
        await rollout.goes_on()
        await rollout.handled(event)
        holder.send(signal.SIGCONT)
        await holder.becomes("liveness", 200)
        await holder.becomes("readiness", 200)
        await rollout.goes_on()

    await rollout.until("select count(*) = 0 from reactor.events where event_type like 'booking.%'")
    left = [pod for pod in rollout.pods if pod.process.returncode is None]
    for pod in left:
        pod.send(signal.SIGTERM)
    assert [await pod.ends() for pod in left] == [0] * len(left)

    assert await conn.fetchval("select count(*) from public.bookings") == rollout.booked
    counts = await conn.fetchrow(
        "select count(*) as entries, count(distinct event_id) as events from public.ledger"
    )
    assert counts is not None
    assert counts["entries"] == counts["events"] == rollout.booked + 3
    assert await conn.fetchval("select count(*) from reactor.dead_events") == 0
    outcomes = await conn.fetch("select outcome, count(*) from reactor.history group by 1")
    assert {row["outcome"] for row in outcomes} == {"handled"}
