"""What happens on the stage, one act after the other: the backlog, the live traffic, the orderly end."""

import asyncio
from dataclasses import dataclass, field
from time import monotonic
from typing import LiteralString

import anyio

from reactor.app import Reactor
from reactor.db.pool import Connection, Pool, connected
from reactor.demo.desks import Desk
from reactor.demo.hook import Hook
from reactor.demo.latency import Tracker
from reactor.demo.report import Report
from reactor.demo.screen import Scene
from reactor.demo.traffic import Traffic
from reactor.demo.verdict import idle_for_closed

_PATIENCE = 25.0
_TOGGLE = 20.0
_CHAOS = 6.0

_IDLE: LiteralString = """
select not exists (select from reactor.events where available_at is null)
    and not exists (select from public.agent_tenant_locks where expires_at > clock_timestamp())
"""
# Of a bounded run: nothing at all is left, and no clock is about to run out.
_FINISHED: LiteralString = """
select not exists (select from reactor.events)
    and not exists (select from public.agent_tenant_locks where expires_at > clock_timestamp())
    and not exists (
        select from public.engagement_clocks
        where is_compliant and next_touch_due < clock_timestamp() + interval '5 minutes')
"""
_SWITCH: LiteralString = "update public.tenants set is_active = $2, agent_enabled = $2 where id = $1"
_PARKED: LiteralString = """
select count(*) from reactor.events where tenant_id = $1 and available_at = 'infinity'
"""
_KILL: LiteralString = """
select pg_terminate_backend(pid) from pg_stat_activity
where application_name like '% listener' and datname = current_database()
"""


@dataclass(slots=True)
class Stage:
    """What the acts share."""

    app: Reactor
    scene: Scene
    report: Report
    tracker: Tracker
    monitor: Connection
    """A superuser's; one query at a time, by the acts."""
    admin_url: str
    clerks: Pool
    traffic: Traffic
    desks: list[Desk]
    stop: asyncio.Event
    bounded: bool
    seconds: float | None
    chaos: bool
    untouched: bool
    """Whether nobody ever switched on a tenant that is switched off now."""
    problems: list[str] = field(default_factory=list)

    def is_listening(self) -> bool:
        """Whether the replica's listener is connected."""
        return all(replica.health.listening for replica in self.app.replicas)

    async def becomes(self, *, listening: bool, within: float) -> bool:
        """Waits until the listener is connected, or is not."""
        deadline = monotonic() + within
        while monotonic() < deadline:
            if self.is_listening() is listening:
                return True
            await anyio.sleep(0.001)
        return False

    async def until(self, condition: LiteralString, *, within: float) -> bool:
        """Asks until the answer is true; false when it was not within so many seconds."""
        deadline = monotonic() + within
        while not await self.monitor.fetchval(condition):
            if monotonic() > deadline:
                return False
            await anyio.sleep(0.02)
        return True

    async def switch(self, desk: Desk, *, on: bool) -> None:
        """The operator switches a tenant on or off."""
        if on:
            waiting: int = await self.monitor.fetchval(_PARKED, desk.id)
            self.report.waited_for_tenants += waiting
            if self.untouched:
                self.problems += await idle_for_closed(self.monitor, [desk.id])
            note = f"{desk.name} is switched on: {waiting:,} events that waited go on"
        else:
            note = f"{desk.name} is switched off: its events wait from now on"
        async with self.clerks.acquire() as connection:
            await connection.execute(_SWITCH, desk.id, on)
        desk.open = on
        self.scene.say(note)

    def conclude(self, receiver: Hook) -> None:
        """Puts into the report what only the stage knows."""
        report = self.report
        report.latencies = self.tracker.by_kind
        report.traffic = self.traffic.done
        report.webhooks = receiver.genuine
        problems = [
            *self.problems,
            *(f"the application was refused: {text}" for text in self.traffic.refused),
        ]
        if receiver.forged:
            problems.append(f"{receiver.forged} webhooks had a wrong signature")
        if self.bounded and self.tracker.waiting:
            problems.append(f"{len(self.tracker.waiting)} writes of the application were never seen handled")
        report.verdict.problems[:0] = problems


async def settle_backlog(stage: Stage) -> None:
    """Everything that waited when the replica started."""
    stage.scene.doing = "working off the backlog"
    began = monotonic()
    before = await _finished_events(stage)
    if not await stage.until(_IDLE, within=_PATIENCE * 2):
        stage.problems.append(f"the backlog was not handled within {_PATIENCE * 2:.0f} s")
    seconds = monotonic() - began
    count = await _finished_events(stage) - before
    stage.report.backlog = count
    stage.report.seconds["backlog"] = seconds
    if count:
        stage.scene.say(
            f"Backlog of {count:,} events handled in {seconds:.1f} s, {count / seconds:,.0f} a second"
        )


async def go_live(stage: Stage) -> None:
    """The application works, until its time is over or somebody ends it."""
    stage.scene.doing = "live"
    with stage.report.timing("live"):
        async with anyio.create_task_group() as group:
            group.start_soon(_direct, stage, name="director")
            if stage.chaos:
                group.start_soon(_disturb, stage, name="chaos")
            await stage.traffic.run()
            group.cancel_scope.cancel()


async def drain(stage: Stage) -> None:
    """No new work; what there is gets finished, and the replica goes home."""
    stage.scene.doing = "finishing"
    with stage.report.timing("drain"):
        if stage.bounded and not stage.stop.is_set():
            for desk in stage.desks:
                if not desk.open:
                    await stage.switch(desk, on=True)
            await stage.until(_FINISHED, within=_PATIENCE)  # what is left, the verdict says
        else:
            await stage.until(_IDLE, within=5)
        await stage.tracker.look(stage.monitor)
        stage.app.drain()


async def _direct(stage: Stage) -> None:
    """What the operator does meanwhile: one of the tenants that are switched off is switched on, and off."""
    closed = [desk for desk in stage.desks if not desk.open]
    if stage.seconds is not None:
        await _pause(stage, stage.seconds * 0.4)
        if closed:
            await stage.switch(closed[0], on=True)
        await _pause(stage, stage.seconds * 0.6)
    while stage.seconds is None and not stage.stop.is_set():
        await _pause(stage, _TOGGLE)
        if closed and not stage.stop.is_set():
            await stage.switch(closed[0], on=not closed[0].open)
            stage.untouched = False
    stage.traffic.stop()


async def _pause(stage: Stage, seconds: float) -> None:
    with anyio.move_on_after(seconds):
        await stage.stop.wait()


async def _disturb(stage: Stage) -> None:
    """Ends the listener's connection now and then, as a failing network would."""
    async with connected(stage.admin_url, name="demo chaos") as connection:
        while True:
            await anyio.sleep(min(_CHAOS, (stage.seconds or _CHAOS) / 3))
            began = monotonic()
            await connection.execute(_KILL)
            await stage.becomes(listening=False, within=1)
            if not await stage.becomes(listening=True, within=10):
                stage.problems.append("the listener did not come back within 10 s")
            took = (monotonic() - began) * 1000
            stage.report.listener_kills.append(took)
            stage.scene.say(f"The listener's connection was killed; it was back after {took:,.0f} ms")


async def _finished_events(stage: Stage) -> int:
    count: int = await stage.monitor.fetchval("select count(*) from reactor.history")
    return count
