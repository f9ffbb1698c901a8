"""How many tenants are in hand: never more than there are slots for, and no slot idle while one waits."""

import asyncio
import gc
import uuid
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from reactor.engine.dispatcher import Dispatcher
from reactor.engine.run import Run
from reactor.telemetry import metrics


def rows(*tenants: int) -> list[Any]:
    return [
        {"tenant_id": uuid.UUID(int=n), "run_id": uuid.UUID(int=1000 + n), "id": n, "interruptions": 0}
        for n in tenants
    ]


async def turn() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_slots_bound_what_runs_and_the_rest_waits_in_order() -> None:
    started: list[int] = []
    gates: dict[int, asyncio.Event] = {}

    async def work(run: Run) -> None:
        number = run.tenant_id.int
        started.append(number)
        gates[number] = asyncio.Event()
        await gates[number].wait()

    dispatcher = Dispatcher(slots=2, work=work, settling=lambda: 0)
    workers = [asyncio.create_task(dispatcher.run("worker")) for _ in range(2)]
    try:
        assert dispatcher.room == 2
        assert dispatcher.has_spare
        dispatcher.start(rows(1, 1, 2, 3), 200)
        await turn()
        assert started == [1, 2]
        assert not dispatcher.has_spare
        assert dispatcher.room == 0
        assert {run.tenant_id.int for run in dispatcher.held()} == {1, 2, 3}
        gates[1].set()
        await turn()
        assert started == [1, 2, 3]
        for gate in gates.values():
            gate.set()
        await turn()
        assert dispatcher.is_idle
    finally:
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)


async def test_the_metric_counts_the_leases_of_all_databases_of_the_process() -> None:
    def counted() -> float:
        return metrics.REGISTRY.get_sample_value("reactor_runs_active") or 0.0

    go = asyncio.Event()

    async def work(run: Run) -> None:
        await go.wait()

    gc.collect()  # what other tests left
    before = counted()
    here, there = (Dispatcher(slots=1, work=work, settling=lambda: 0) for _ in range(2))
    here.start(rows(1, 2), 200)
    there.start(rows(3), 200)
    assert counted() == before + 3
    workers = [asyncio.create_task(dispatcher.run("worker")) for dispatcher in (here, there)]
    await turn()
    assert counted() == before + 3
    go.set()
    await turn()
    assert counted() == before
    for worker in workers:
        worker.cancel()
    await asyncio.gather(*workers, return_exceptions=True)


async def test_a_tenant_is_alone_until_another_comes_while_it_is_there() -> None:
    dispatcher = Dispatcher(slots=2, work=lambda run: asyncio.sleep(0), settling=lambda: 0)
    dispatcher.start(rows(1), 200)
    assert dispatcher.has_one
    dispatcher.start(rows(2), 200)
    assert not dispatcher.has_one
    dispatcher.take_waiting(longer_than=0)
    dispatcher.start(rows(1), 200)
    assert not dispatcher.has_one, "not so soon"


async def test_runs_that_wait_too_long_are_given_back_and_lost_ones_dropped() -> None:
    async def work(run: Run) -> None:
        raise AssertionError("no worker was started")

    dispatcher = Dispatcher(slots=1, work=work, settling=lambda: 0)
    dispatcher.start(rows(1, 2, 3), 200)
    assert dispatcher.take_waiting(60) == []
    dispatcher.drop(dispatcher.held()[1])
    assert [run.tenant_id.int for run in dispatcher.take_waiting(0)] == [1, 3]
    assert dispatcher.is_idle


async def test_whoever_was_given_back_keeps_no_later_one_from_its_worker() -> None:
    started: list[int] = []

    async def work(run: Run) -> None:
        started.append(run.tenant_id.int)

    dispatcher = Dispatcher(slots=2, work=work, settling=lambda: 0)
    dispatcher.start(rows(1, 2, 3), 200)
    dispatcher.take_waiting(0)
    workers = [asyncio.create_task(dispatcher.run("worker")) for _ in range(2)]
    try:
        await turn()
        assert started == []
        for n in (4, 5, 6, 7):
            dispatcher.start(rows(n), 200)
        await turn()
        assert started == [4, 5, 6, 7]
        dispatcher.start(rows(8), 200)
        dispatcher.drop(dispatcher.held()[0])
        dispatcher.start(rows(9), 200)
        await turn()
        assert started == [4, 5, 6, 7, 9]
    finally:
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)


async def test_a_drain_and_a_jam_of_settlements_leave_no_room() -> None:
    async def work(run: Run) -> None: ...

    jam = 0
    dispatcher = Dispatcher(slots=4, work=work, settling=lambda: jam)
    assert dispatcher.room == 4
    jam = 2000
    assert dispatcher.room == 0
    jam = 0
    dispatcher.draining = True
    assert dispatcher.room == 0


async def test_quick_runs_are_claimed_ahead_within_bounds() -> None:
    async def work(run: Run) -> None: ...

    dispatcher = Dispatcher(slots=2, work=work, settling=lambda: 0)
    worker = asyncio.create_task(dispatcher.run("worker"))
    try:
        for n in range(1, 2000):
            dispatcher.start(rows(n), 200)
            await asyncio.sleep(0)
        await turn()
        assert 2 <= dispatcher.room <= 2 + 500
    finally:
        worker.cancel()
        await asyncio.gather(worker, return_exceptions=True)


async def test_how_far_ahead_is_known_after_a_few_runs_and_no_sooner() -> None:
    gates = [asyncio.Event() for _ in range(9)]

    async def work(run: Run) -> None:
        await gates[run.tenant_id.int].wait()

    dispatcher = Dispatcher(slots=8, work=work, settling=lambda: 0)
    workers = [asyncio.create_task(dispatcher.run("worker")) for _ in range(8)]
    try:
        dispatcher.start(rows(*range(1, 9)), 200)
        await turn()
        assert dispatcher.room == 0
        gates[1].set()
        await turn()
        assert dispatcher.room == 2, "a free slot, and one ahead for the one that ended at once"
        for gate in gates:
            gate.set()
        await turn()
        assert dispatcher.room == 8 + 8
    finally:
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)


async def test_of_long_lists_fewer_are_claimed_at_once() -> None:
    """What is in hand shall not be done before the claim is."""
    dispatcher = Dispatcher(slots=2, work=lambda run: asyncio.sleep(0), settling=lambda: 0)
    workers = [asyncio.create_task(dispatcher.run("worker")) for _ in range(2)]
    try:
        for n in range(1, 100):
            dispatcher.start(rows(n), 200)
            await turn()
        assert dispatcher.room > 20
        dispatcher.start(rows(*[100] * 200), 200)
        assert dispatcher.room == 3000 // 200
        dispatcher.start(rows(*[101] * 5000), 5000)
        assert dispatcher.room == 2, "its slots at least"
    finally:
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)


@given(batch=st.integers(1, 10_000), tenants=st.integers(0, 5_000))
def test_one_claim_brings_ten_thousand_events_at_most(batch: int, tenants: int) -> None:
    """However long the backlogs are, and always something for each tenant."""
    share = Dispatcher.share(batch, tenants)
    assert 1 <= share <= batch
    assert tenants * share <= max(10_000, tenants)
    assert share == batch or tenants * (share + 1) > 10_000


async def test_tenants_in_hand_whose_event_was_interrupted_before_are_told_until_their_runs_end() -> None:
    gate = asyncio.Event()

    async def work(run: Run) -> None:
        await gate.wait()

    dispatcher = Dispatcher(slots=1, work=work, settling=lambda: 0)
    worker = asyncio.create_task(dispatcher.run("worker"))
    try:
        marked = [row | {"interruptions": 1} for row in rows(1, 3)]
        dispatcher.start([marked[0], *rows(2), marked[1]], 200)
        await turn()
        assert [tenant.int for tenant in dispatcher.suspects()] == [1, 3]
        gate.set()
        await turn()
        assert dispatcher.suspects() == []
    finally:
        worker.cancel()
