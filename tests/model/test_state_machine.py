"""The real SQL functions under orders that nobody thought of: hypothesis interleaves three replicas, an
outsider and the clock, and a model in Python says what each call must answer.

Transactions are held open across steps: a run may have written, and even passed the fence, before the clock
moves and another one claims.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import TypeVar
from uuid import UUID

import asyncpg
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.model.believed import REPLICAS, TENANTS, Believed, Lease, Work
from tests.model.protocol import LEASE, Replica, Stage, staged

T = TypeVar("T")
who = st.integers(0, REPLICAS - 1)
which = st.integers(0, TENANTS - 1)


class Protocol(Believed, RuleBasedStateMachine):
    """The machine. Its database is emptied before each history, not made anew."""

    loop: asyncio.AbstractEventLoop
    stage: Stage
    replicas: list[Replica]
    tenants: list[UUID]

    def __init__(self) -> None:
        RuleBasedStateMachine.__init__(self)
        Believed.__init__(self)
        self.do(self._clear())
        self.do(self.stage.clock.stop())

    def do(self, call: Awaitable[T]) -> T:
        async def bounded() -> T:
            async with asyncio.timeout(20):
                return await call

        return self.loop.run_until_complete(bounded())

    async def _clear(self) -> None:
        for replica in self.replicas:
            await replica.connection.execute("rollback")
        await self.stage.admin.execute(
            "truncate public.effects, reactor.events, reactor.history, reactor.dead_events; "
            "delete from public.agent_tenant_locks; delete from public.agent_autonomous_runs; "
            "delete from public.agent_alerts"
        )
        await self.stage.admin.execute("truncate reactor.events")

    # What can happen.

    @rule(tenant=which, priority=st.sampled_from([0, 0, 0, -1, 5]))
    def emit(self, tenant: int, priority: int) -> None:
        id_ = self.do(self.stage.emit(self.tenants[tenant], priority=priority))
        self.events[tenant][id_] = (priority, 0, 0)

    @precondition(lambda self: any(n not in self.working for n in range(REPLICAS)))
    @rule(number=who, batch=st.integers(1, 3), data=st.data())
    def claim(self, number: int, batch: int, data: st.DataObject) -> None:
        if number in self.working:
            return
        rows = self.do(self.replicas[number].claim(tenants=1, batch=batch))
        if not rows:
            careful = self.has_marked(number)
            for left in range(TENANTS):
                waits = careful and self.is_marked(left)
                assert self.live(left) or not self.events[left] or waits, "work was left lying"
            return
        tenant = self.tenants.index(rows[0]["tenant_id"])
        assert self.live(tenant) is None, "a lease was taken before its time was over"
        assert not (self.has_marked(number) and self.is_marked(tenant)), "two that may kill at once"
        if tenant in self.leases:
            self.mark_takeover(tenant)
        suspects = any(interruptions for _, interruptions, _ in self.events[tenant].values())
        expected = self.in_order(tenant)[: 1 if suspects else batch]
        assert [row["id"] for row in rows] == expected
        for row in rows:
            assert self.events[tenant][row["id"]] == (row["priority"], row["interruptions"], row["attempts"])
        run = rows[0]["run_id"]
        self.leases[tenant] = Lease(run, number, self.now + LEASE, expected)
        self.working[number] = Work(tenant, run, rows)

    @rule(number=who)
    def handle(self, number: int) -> None:
        work = self.working.get(number)
        if work is None or work.written:
            return
        # Another run's handler may have written the same event and not ended: then we would wait for it.
        if any(w.written and w.tenant == work.tenant for n, w in self.working.items() if n != number):
            return
        if any(row["id"] in self.handled for row in work.rows):
            assert not self.holds(work), "an event was handled by a run that has no lease"
            with pytest.raises(asyncpg.UniqueViolationError):
                self.do(self._handle(number, work))
            self.do(self.replicas[number].rollback())
            del self.working[number]
            return
        self.do(self._handle(number, work))
        work.written = True

    async def _handle(self, number: int, work: Work) -> None:
        await self.replicas[number].begin()
        for row in work.rows:
            await self.replicas[number].handle(row)

    @rule(number=who, more=st.booleans(), commit=st.sampled_from([True, True, True, False]))
    def settle(self, number: int, more: bool, commit: bool) -> None:
        work = self.working.get(number)
        if work is None or not work.written:
            return
        del self.working[number]
        replica = self.replicas[number]
        if not self.holds(work):
            with pytest.raises(asyncpg.PostgresError) as lost:
                self.do(replica.settle(work.rows, more=more))
            assert lost.value.sqlstate == "RX001"
            self.do(replica.rollback())
            return
        following = self.do(replica.settle(work.rows, more=more))
        if not commit:
            self.do(replica.rollback())
            return
        self.do(replica.commit())
        done = [row["id"] for row in work.rows]
        for id_ in done:
            del self.events[work.tenant][id_]
        self.handled.update(done)
        left = self.in_order(work.tenant)
        if more and left:
            suspects = any(interruptions for _, interruptions, _ in self.events[work.tenant].values())
            expected = left[: 1 if suspects else 10]
            assert [row["id"] for row in following] == expected
            self.leases[work.tenant] = Lease(work.run, number, self.now + LEASE, expected)
            self.working[number] = Work(work.tenant, work.run, following)
        else:
            assert following == []
            del self.leases[work.tenant]

    @rule(number=who, failed=st.sampled_from(["retry", "dead", "discard"]))
    def settle_as_failed(self, number: int, failed: str) -> None:
        """The first event failed, the rest are handled; nothing was written. Retries come after an hour."""
        work = self.working.get(number)
        if work is None or work.written:
            return
        del self.working[number]
        first = work.rows[0]["id"]
        verdict = {"id": first, "verdict": failed, "reason": "a test", "delay": 3600.0, "counts": True}
        call = self.replicas[number].settle(work.rows, scoped=False, verdicts=[verdict])
        if not self.holds(work):
            with pytest.raises(asyncpg.PostgresError) as lost:
                self.do(call)
            assert lost.value.sqlstate == "RX001"
            return
        self.do(call)
        for row in work.rows:
            del self.events[work.tenant][row["id"]]
        del self.leases[work.tenant]

    @rule(number=who)
    def checkpoint(self, number: int) -> None:
        work = self.working.get(number)
        if work is None or not work.written:
            return
        replica = self.replicas[number]
        if self.holds(work):
            self.do(replica.checkpoint(work.rows[0]))
        else:
            with pytest.raises(asyncpg.PostgresError) as lost:
                self.do(replica.checkpoint(work.rows[0]))
            assert lost.value.sqlstate == "RX001"
            del self.working[number]
        # What was written goes with the transaction; the test of its commit is settle's.
        self.do(replica.rollback())
        work.written = False

    @rule(number=who)
    def die(self, number: int) -> None:
        """The connection is gone, and the transaction with it; the lease stays until it runs out."""
        work = self.working.pop(number, None)
        if work is not None and work.written:
            self.do(self.replicas[number].rollback())

    @rule(number=who, interrupted=st.booleans())
    def abandon(self, number: int, interrupted: bool) -> None:
        work = self.working.pop(number, None)
        if work is None:
            return
        replica = self.replicas[number]
        if work.written:
            self.do(replica.rollback())
        lease = self.leases.get(work.tenant)
        mine = lease is not None and lease.run == work.run
        assert self.do(replica.abandon(work.rows[0], interrupted=interrupted)) == int(mine)
        if lease is not None and mine:
            del self.leases[work.tenant]
            for id_ in lease.in_flight if interrupted else []:
                priority, interruptions, attempts = self.events[work.tenant][id_]
                self.events[work.tenant][id_] = (priority, interruptions + 1, attempts)

    @rule(number=who)
    def beat(self, number: int) -> None:
        work = self.working.get(number)
        if work is None or work.written:
            return
        lost = self.do(self.replicas[number].beat(work.rows[0]))
        if self.holds(work):
            assert lost == set()
            self.leases[work.tenant].expires = self.now + LEASE
        else:
            assert lost == {work.run}

    @rule(seconds=st.sampled_from([1, 12, 31, 70]))
    def time_passes(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)
        self.do(self.stage.clock.advance(timedelta(seconds=seconds)))

    @rule()
    def sweep(self) -> None:
        ended = self.do(self.stage.admin.fetch("select tenant_id from reactor.rescue()"))
        expected = {t for t, lease in self.leases.items() if lease.expires <= self.now}
        assert {self.tenants.index(row["tenant_id"]) for row in ended} == expected
        for tenant in expected:
            self.mark_takeover(tenant)

    @rule(tenant=which)
    def outsider_takes(self, tenant: int) -> None:
        run = self.do(
            self.stage.admin.fetchval(
                "select public.acquire_tenant_lock($1, 'outsider', 1)", self.tenants[tenant]
            )
        )
        assert (run is None) == (self.live(tenant) is not None)
        if run is not None:
            if tenant in self.leases:
                self.mark_takeover(tenant)
            self.leases[tenant] = Lease(run, -1, self.now + timedelta(minutes=1))
            self.outside[tenant] = run

    @rule(tenant=which)
    def outsider_releases(self, tenant: int) -> None:
        run = self.outside.pop(tenant, None)
        if run is None:
            return
        released = self.do(
            self.stage.admin.fetchval("select public.release_tenant_lock($1, $2)", self.tenants[tenant], run)
        )
        lease = self.leases.get(tenant)
        assert released == (lease is not None and lease.run == run)
        if released:
            del self.leases[tenant]

    # What is always true.

    @invariant()
    def the_locks_are_as_the_model_says(self) -> None:
        held = self.do(self.stage.holders())
        assert {self.tenants.index(t): run for t, run in held.items()} == {
            t: lease.run for t, lease in self.leases.items()
        }

    @invariant()
    def no_event_is_lost_and_every_effect_is_acknowledged(self) -> None:
        row = self.do(
            self.stage.admin.fetchrow(
                "select array(select id from reactor.events where available_at is null) as ready, "
                "array(select event from public.effects) as effects"
            )
        )
        assert row is not None
        assert set(row["ready"]) == {id_ for events in self.events for id_ in events}
        assert set(row["effects"]) == self.handled


@pytest.fixture
def machine(database_url: str) -> Iterator[Callable[[], Protocol]]:
    """A class of machines on a database of the test's own, with a loop that outlives each of them."""
    loop = asyncio.new_event_loop()
    stack = AsyncExitStack()
    try:
        stage = loop.run_until_complete(stack.enter_async_context(staged(database_url)))
        # A dead event raises an alert, which is an event of its own: not of this model.
        loop.run_until_complete(stage.admin.execute("alter table public.agent_alerts disable trigger user"))

        class OnStage(Protocol):
            pass

        OnStage.loop = loop
        OnStage.stage = stage
        OnStage.replicas = [loop.run_until_complete(stage.replica()) for _ in range(REPLICAS)]
        OnStage.tenants = [loop.run_until_complete(stage.tenant()) for _ in range(TENANTS)]
        yield OnStage
    finally:
        loop.run_until_complete(stack.aclose())
        loop.close()


@pytest.mark.slow
def test_the_protocol_answers_as_its_model_says_in_any_order(machine: Callable[[], Protocol]) -> None:
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=60,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
