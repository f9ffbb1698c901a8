"""One replica's work on one database: wires the engine and the upkeep together, starts and drains them.

    listener → wakeup → claimer → dispatcher → runner (in a scope) → settler

Connections: one listens; a few are the engine's own (claim, settle, heartbeat, lead, timer, jobs); and
one for each slot is a handler's. The last two are separate pools, so that handlers that hold every
connection stop neither heartbeat nor settling.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from contextlib import AsyncExitStack
from datetime import timedelta
from functools import partial
from importlib.metadata import version
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import anyio
import anyio.lowlevel
import structlog
from anyio.abc import TaskStatus

from reactor.bell import Bell
from reactor.db import calls
from reactor.db.borrow import PATIENCE as ANSWER_SECONDS
from reactor.db.borrow import borrow, warm
from reactor.db.pool import Pool, Pooler, name_database
from reactor.db.replica_pools import OWN_CONNECTIONS, home, open_pools, refused
from reactor.engine.caller import Caller
from reactor.engine.caps import Caps
from reactor.engine.claimer import Claimer
from reactor.engine.dispatcher import Dispatcher
from reactor.engine.drain import Drain, UntilDrain
from reactor.engine.judge import Judge
from reactor.engine.listener import Listener
from reactor.engine.outcome import describe
from reactor.engine.peers import Peers
from reactor.engine.run import Limits, Run, Segment
from reactor.engine.runner import Runner
from reactor.engine.settler import Settler
from reactor.engine.silence import Silence
from reactor.engine.wakeup import Pace, poll_seconds
from reactor.engine.watchdog import Watchdog
from reactor.handlers import HandlerSet, Job
from reactor.health import Health
from reactor.settings import Settings
from reactor.telemetry import names
from reactor.upkeep.canary import Canary
from reactor.upkeep.duties import Duties
from reactor.upkeep.heartbeat import PATIENCE, Heartbeat
from reactor.upkeep.leader import Leader
from reactor.upkeep.rotation import Rotation

if TYPE_CHECKING:
    from reactor.telemetry.spans import Spans

log = structlog.get_logger("reactor.replica")


class Replica:
    """Made by the app for each database; :meth:`run` is its life, :meth:`drain` its orderly end."""

    def __init__(
        self,
        *,
        dsn: str,
        listen_dsn: str,
        settings: Settings,
        handlers: HandlerSet,
        jobs: Sequence[Job],
        resources: Any,
        spans: "Spans | None",
    ) -> None:
        self._dsn = dsn
        self._database = name_database(dsn)
        self._listen_dsn = listen_dsn
        self._settings = settings
        self._canary = Canary(
            every=settings.canary,
            database=self._database,
            is_busy=lambda: not self._dispatcher.has_spare,
        )
        self._handlers = self._canary.added_to(handlers)
        self._jobs = jobs
        self._resources = resources
        self._spans = spans
        self._name = settings.replica
        self._process = uuid4().hex
        self._lease = settings.lease
        self._slot = 0
        self._work_bell = Bell()
        self._timer_bell = Bell()
        self._drain_asked = asyncio.Event()
        #: until it has its connections and its place in the fleet
        self._start = anyio.CancelScope()
        self._hurry = asyncio.Event()
        #: whether a handler was cut short because somebody was in a hurry
        self.was_cut_short = False
        self._pace = Pace(settings.notify)
        self._started = False
        self._look_at: Callable[[], Health] = lambda: Health(database=self._database)
        self._active: Callable[[], Iterable[Run]] = tuple

    @property
    def settings(self) -> Settings:
        """What it was made with."""
        return self._settings

    @property
    def health(self) -> Health:
        """How it is at this moment."""
        return self._look_at()

    def drain(self) -> None:
        """Stop claiming, finish or hand over what is in flight, release, end. Returns at once."""
        self._drain_asked.set()
        self._start.cancel()

    def hurry(self) -> None:
        """Drain as if its time were over: what is in flight is cut short and given back. Returns at once."""
        self.was_cut_short = self.was_cut_short or bool(self.in_hand)
        self.drain()
        self._hurry.set()

    def put_off(self) -> None:
        """Its database is away, and will be tried again: the process has started, and is not ready."""
        self._look_at = lambda: Health(
            database=self._database, started=True, draining=self._drain_asked.is_set()
        )

    async def is_asked_to_drain(self, *, within: float) -> bool:
        """Wait for that, so many seconds at most."""
        with anyio.move_on_after(within):
            await self._drain_asked.wait()
        return self._drain_asked.is_set()

    @property
    def in_hand(self) -> list[dict[str, Any]]:
        """Which handlers run at this moment, for which events. May be asked by any thread."""
        return [run.described for run in list(self._active()) if run.calling_since]

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Until drained, which cuts a start short. Raises ConnectError or NotMigrated when it cannot start at
        all."""
        settings = self._settings
        async with AsyncExitStack() as stack:
            with anyio.CancelScope() as self._start, refused(self._dsn):
                if self._drain_asked.is_set():
                    self._start.cancel()
                pools = await open_pools(
                    stack,
                    self._dsn,
                    name=self._name,
                    pooler=settings.pooler,
                    own=OWN_CONNECTIONS,
                    handlers=settings.pool_size or settings.concurrency,
                )
                await self._enlist(pools.own)
            if self._start.cancelled_caught:
                log.info(names.REPLICA_STOPPED, replica=self._name)
                task_status.started()
                return
            await self._live(pools.own, pools.handlers, pools.pooler, task_status)

    async def _live(self, own: Pool, handlers: Pool, pooler: Pooler, status: TaskStatus[None]) -> None:
        settings = self._settings
        gated = self._handlers.gated_types
        settler = Settler(
            own,
            batch=settings.batch_size,
            lease=self._lease,
            gated=gated,
            released=lambda: claimer.released(),
        )
        self._settler = settler
        caps, peers = Caps(self._handlers), Peers(own, self._work_bell.ring)
        limits = Limits(settings.batch_size, settings.max_attempts, settings.max_interruptions)
        judge = self._judge = Judge(self._handlers, limits)
        self._caller = Caller(
            settler=settler,
            handlers=self._handlers,
            judge=judge,
            caps=caps,
            resources=self._resources,
            is_draining=lambda: dispatcher.draining,
            is_handled_elsewhere=peers.handle,
            spans=self._spans,
        )
        runner = Runner(
            pool=handlers,
            shares_sessions=pooler == "transaction",
            settler=settler,
            caller=self._caller,
            judge=judge,
            limits=limits,
            may_keep=lambda: dispatcher.has_spare,
            is_alone=lambda: dispatcher.has_one,
            is_draining=lambda: dispatcher.draining,
            no_connection=lambda: dispatcher.pause(),
        )
        dispatcher = Dispatcher(
            slots=settings.concurrency, work=runner.work, settling=lambda: len(settler.settling)
        )
        self._dispatcher = dispatcher
        self._active = lambda: dispatcher.active

        heartbeat: Heartbeat[Run] = Heartbeat(
            pool=own,
            handlers=handlers,
            replica=self._name,
            process=self._process,
            lease=self._lease,
            runs=lambda: [*dispatcher.held(), *settler.settling],
            lost=self._lost,
            enlist=lambda: self._enlist(own),
        )
        listener = Listener(
            self._listen_dsn,
            name=self._name,
            database=self._database,
            on_work=self._work_bell.ring,
            on_timer=self._timer_bell.ring,
            on_gate=self._on_gate,
            home=None if self._listen_dsn == self._dsn else lambda: home(own),
        )
        self._look_at = lambda: Health(
            database=self._database,
            started=self._started,
            connected=heartbeat.answered,
            listening=listener.healthy,
            pooled=listener.pooled,
            leading=self._duties.leading,
            draining=self._drain_asked.is_set(),
            starved=dispatcher.is_starved,
            silence=self._canary.silence,
            runs=len(dispatcher.active),
            peers=list(heartbeat.peers),
        )
        rotation = Rotation(pool=own, dead_rows=settings.rotate_dead_rows)
        claimer = Claimer(
            pool=own,
            dispatcher=dispatcher,
            bell=self._work_bell,
            pace=self._pace,
            replica=self._name,
            process=self._process,
            slot=lambda: self._slot,
            peers=lambda: heartbeat.peers,
            listener_healthy=lambda: listener.healthy,
            batch=settings.batch_size,
            lease=self._lease,
            poll=settings.poll,
            gated=gated,
            free=lambda: peers.withheld(caps.free(dispatcher.waiting)),
            took=rotation.claimed,
        )

        self._duties = Duties(
            pool=own,
            settings=settings,
            jobs=self._jobs,
            replica=self._name,
            database=self._database,
            resources=self._resources,
            spans=self._spans,
            bell=self._timer_bell,
            rotation=rotation,
            listening=lambda: listener.healthy,
            at_most=lambda: timedelta(
                seconds=poll_seconds(
                    settings.poll_seconds, mode=settings.notify, listener_healthy=lambda: listener.healthy
                )
            ),
        )
        leader = Leader(
            pool=own,
            replica=self._name,
            process=self._process,
            database=self._database,
            lease=self._lease,
            duties=self._duties.run,
        )
        async with anyio.create_task_group() as group:
            self._group = group
            group.start_soon(heartbeat.run, name="heartbeat")
            for n in (1, 2):
                group.start_soon(settler.run, name=f"settler {n}")
            for n in range(settings.concurrency):
                dispatcher.start_worker(group, f"worker {n + 1}")
            group.start_soon(
                Watchdog(runs=lambda: dispatcher.active, give_up=self._give_up).run, name="watchdog"
            )
            group.start_soon(Silence(pool=own, runs=lambda: dispatcher.active).run, name="silence")
            abandon = partial(settler.abandon, interrupted=False, reason=None)
            group.start_soon(dispatcher.hand_back, abandon, name="hand back")
            group.start_soon(warm, handlers, name="warm")
            claiming, leading = await UntilDrain.within(group), await UntilDrain.within(group)
            claiming.group.start_soon(claimer.run, name="claimer")
            await claimer.head_start()
            if settings.notify != "off":
                claiming.group.start_soon(listener.run, name="listener")
            leading.group.start_soon(leader.run, name="leader")
            claiming.group.start_soon(self._canary.run, own, name="canary")
            await heartbeat.beat()
            self._started = True
            handles = sorted(self._handlers.by_type)
            log.info(names.REPLICA_STARTED, replica=self._name, slot=self._slot, handles=handles)
            status.started()
            await self._drain_asked.wait()
            dispatcher.draining = True
            self._caller.end_segments()
            log.info(names.REPLICA_DRAINING, runs=len(dispatcher.held()))
            drain = Drain(
                own,
                handlers,
                settler,
                dispatcher,
                claiming,
                leading,
                self._work_bell,
                replica=self._name,
                process=self._process,
                hurry=self._hurry,
            )
            await drain.run(settings.drain_seconds)
            group.cancel_scope.cancel()
        log.info(names.REPLICA_STOPPED, replica=self._name)

    async def _enlist(self, own: Pool) -> None:
        async with asyncio.timeout(ANSWER_SECONDS), borrow(own) as connection, connection.transaction():
            name = await calls.free_name(connection, self._name, self._process)
            if name != self._name:
                log.warning(
                    names.REPLICA_RENAMED,
                    replica=name,
                    hint=f"a live process is called {self._name}: give each its own REACTOR_REPLICA, or none",
                )
                if self._slot:
                    # While we were cut off another took our name, and everybody here knows us by it.
                    self.drain()
                    return
                self._name = name
            self._slot = await calls.enlist(
                connection,
                self._name,
                patience=self._lease * PATIENCE,
                version=version("reactor"),
                info={
                    "concurrency": self._settings.concurrency,
                    "types": sorted(self._handlers.by_type),
                    "gated": self._handlers.gated_types,
                    "name": self._settings.replica,
                    "process": self._process,
                },
            )
        # The bit of a replica that was retired is cleared: whoever sleeps here must look and arm again.
        self._pace.armed = False
        self._work_bell.ring()

    def _on_gate(self) -> None:
        self._gate_opened()
        # A claim that began before the gate opened may be setting events aside just now.
        asyncio.get_running_loop().call_later(1.0, self._gate_opened)
        self._caller.end_segments()
        self._work_bell.ring()

    def _gate_opened(self) -> None:
        self._duties.gate_moved = True
        self._timer_bell.ring()

    def _lost(self, run: Run) -> None:
        """The heartbeat heard that a lease is gone."""
        if run.task is None:
            run.lost = True
            self._dispatcher.drop(run)
        elif run.calling_since:
            # In a handler; one that is settling will hear it from the fence.
            run.lost = True
            if not run.timed_out:  # then it has been cancelled already
                run.task.cancel()

    def _give_up(self, run: Run) -> None:
        """A handler ignores its cancellation: it can commit nothing more, and its event failed."""
        if run.scope is not None:
            run.scope.terminate()
        run.lost = True
        outcome = self._judge.given_up(run)
        segment = Segment(run, outcomes=[outcome] if outcome else [])
        self._group.start_soon(self._settle_given_up, segment, name="settle for a stuck handler")

    async def _settle_given_up(self, segment: Segment) -> None:
        try:
            await self._settler.settle(segment, more=False)
        except Exception as error:
            log.warning(
                names.RUN_LOST, run_id=str(segment.run.run_id), **describe(error, segment.run.handler)
            )
