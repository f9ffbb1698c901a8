"""The end of ``reactor run``: after the drain's time, or a second signal, whatever will not end."""

import signal
import time
from pathlib import Path
from typing import Any

import pytest

from tests.processes import Running, replica

STUBBORN = """
import anyio, asyncio, os, time
from reactor import Reactor

app = Reactor()

async def swallow(ctx):
    ctx.log.info("inside")
    while True:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            pass

async def thread(ctx):
    ctx.log.info("inside")
    await anyio.to_thread.run_sync(time.sleep, 300)

async def forgotten_thread(ctx):
    ctx.log.info("inside")
    await asyncio.to_thread(time.sleep, 300)

async def slow_to_end(ctx):
    ctx.log.info("inside")
    try:
        await asyncio.sleep(300)
    finally:
        ctx.log.info("cleaning")
        await asyncio.sleep(0.2)

async def block(ctx):
    ctx.log.info("inside")
    time.sleep(300)

HOW = {f.__name__: f for f in (swallow, thread, forgotten_thread, slow_to_end, block)}

@app.on("stuck")
async def stuck(event, ctx):
    await HOW[event.payload["how"]](ctx)

@app.every("1s", name="stubborn")
async def job(ctx):
    if how := os.environ.get("STUBBORN_JOB"):
        await HOW[how](ctx)
"""

#: Seconds: far less than what is waited for in there, and enough for a machine that is busy.
SOON = 20


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "stubborn.py").write_text(STUBBORN)
    return tmp_path


async def ends(running: Running, with_signal: int) -> tuple[int, float]:
    """Its exit code, and the seconds that it took."""
    began = time.monotonic()
    code = await running.end(with_signal)
    return code, time.monotonic() - began


def named(line: dict[str, Any]) -> tuple[str, int, str]:
    """Which handler, event and tenant a line of the log is about."""
    return line["handler"], line["event_id"], line["tenant_id"]


async def emit(conn, how: str) -> None:
    tenant = await conn.fetchval("insert into public.tenants (name) values ('Acme') returning id")
    await conn.execute("select reactor.emit($1, 'stuck', jsonb_build_object('how', $2::text))", tenant, how)


@pytest.mark.parametrize("how", ["swallow", "thread", "forgotten_thread"])
async def test_a_handler_that_will_not_end_ends_with_the_process_soon_after_the_drains_time(
    folder, conn, operator_url, how
):
    settings = {"REACTOR_DRAIN_SECONDS": "0.5", "REACTOR_LEASE_SECONDS": "300"}
    async with replica(folder, operator_url, "--app", "stubborn:app", **settings) as running:
        await running.says("replica_started")
        await emit(conn, how)
        await running.says("inside")
        code, seconds = await ends(running, signal.SIGTERM)
    assert (code, seconds < SOON) == (4, True)
    assert running.events[-1] == "process_ended_hard"
    event = await conn.fetchrow("select id, tenant_id from reactor.events where event_type = 'stuck'")
    (cut,) = running.about("run_cut_short")
    assert named(cut) == ("stubborn.stuck", event["id"], str(event["tenant_id"]))
    assert await conn.fetchval("select count(*) from public.agent_tenant_locks") == 0
    assert await conn.fetchval("select count(*) from reactor.replicas") == 0
    assert await conn.fetchval("select interruptions from reactor.events where event_type = 'stuck'") == 1


@pytest.mark.parametrize("how", ["swallow", "thread"])
async def test_a_job_that_will_not_end_ends_with_it_too(folder, conn, operator_url, how):
    settings = {"REACTOR_DRAIN_SECONDS": "0.5", "STUBBORN_JOB": how}
    async with replica(folder, operator_url, "--app", "stubborn:app", **settings) as running:
        await running.says("inside")
        code, seconds = await ends(running, signal.SIGTERM)
    assert (code, seconds < SOON) == (4, True)
    assert "job_left_behind" in running.events
    assert not await conn.fetchval("select exists (select from reactor.leadership where expires_at > now())")


@pytest.mark.parametrize("how", ["swallow", "thread"])
async def test_a_second_signal_ends_it_though_the_drain_has_long_to_go(folder, conn, operator_url, how):
    async with replica(folder, operator_url, "--app", "stubborn:app", REACTOR_DRAIN_SECONDS="300") as running:
        await running.says("replica_started")
        await emit(conn, how)
        await running.says("inside")
        running.process.send_signal(signal.SIGTERM)
        await running.says("replica_draining")
        code, seconds = await ends(running, signal.SIGTERM)
    assert (code, seconds < SOON) == (4, True)


async def test_a_handler_that_blocks_the_event_loop_ends_with_it_too(folder, conn, operator_url):
    async with replica(folder, operator_url, "--app", "stubborn:app", REACTOR_DRAIN_SECONDS="0.5") as running:
        await running.says("replica_started")
        await emit(conn, "block")
        await running.says("inside")
        code, seconds = await ends(running, signal.SIGTERM)
    assert (code, seconds < SOON) == (4, True)
    event = await conn.fetchrow("select id, tenant_id from reactor.events where event_type = 'stuck'")
    (ended,) = running.about("process_ended_hard")
    assert [named(run) for run in ended["runs"]] == [("stubborn.stuck", event["id"], str(event["tenant_id"]))]


async def test_a_second_signal_gives_back_what_a_handler_that_heeds_it_had(folder, conn, operator_url):
    (folder / "patient.py").write_text(
        "import asyncio\nfrom reactor import Reactor\napp = Reactor()\n"
        "@app.on('stuck')\nasync def stuck(event, ctx):\n    ctx.log.info('inside')\n"
        "    await asyncio.sleep(300)\n"
    )
    settings = {"REACTOR_DRAIN_SECONDS": "300", "REACTOR_LEASE_SECONDS": "300"}
    async with replica(folder, operator_url, "--app", "patient:app", **settings) as running:
        await running.says("replica_started")
        await emit(conn, "")
        await running.says("inside")
        running.process.send_signal(signal.SIGINT)
        await running.says("replica_draining")
        code, seconds = await ends(running, signal.SIGINT)
    assert (code, seconds < SOON) == (4, True)
    assert await conn.fetchval("select count(*) from public.agent_tenant_locks") == 0
    assert await conn.fetchval("select count(*) from reactor.replicas") == 0
    event = await conn.fetchrow("select id, tenant_id, interruptions from reactor.events")
    assert event["interruptions"] == 1
    (cut,) = running.about("run_cut_short")
    assert named(cut) == ("patient.stuck", event["id"], str(event["tenant_id"]))
    assert "patient.py:7 stuck" in cut["where"][-1]
    assert running.events[-1] == "replica_stopped"


async def test_a_second_signal_when_nothing_is_in_hand_ends_it_with_0(folder, conn, operator_url):
    settings = {"REACTOR_DRAIN_SECONDS": "300", "STUBBORN_JOB": "slow_to_end"}
    async with replica(folder, operator_url, "--app", "stubborn:app", **settings) as running:
        await running.says("inside")
        running.process.send_signal(signal.SIGTERM)
        await running.says("cleaning")
        code, seconds = await ends(running, signal.SIGTERM)
    assert (code, seconds < SOON) == (0, True)
    assert await conn.fetchval("select count(*) from reactor.replicas") == 0
    assert [cut["job"] for cut in running.about("job_cut_short")] == ["stubborn"]
