"""What a probe measures: the recovery, and nothing that its tenant did before."""

import random
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID

import asyncpg
import pytest

from tests import servers
from tests.failure import fleet as fleets
from tests.failure.fleet import Fleet
from tests.failure.monkey import Fault, Monkey
from tests.failure.recovery import Recovery, recoveries

_TAKE = "select public.acquire_tenant_lock($1, 'r0-1', 1)"
_FAULT = "select clock_timestamp()"
# As a replica would: the effect of each probe that nobody handled yet.
_HANDLE = """
    insert into public.proof_effects
        (subject, tenant_id, kind, event_id, run_id, replica, attempts, interruptions)
    select s.subject, s.tenant_id, s.kind, 0, gen_random_uuid(), 'r1-1', 0, 0
    from public.proof_source s on conflict do nothing
"""


@pytest.fixture
async def fleet(tmp_path: Path) -> AsyncIterator[Fleet]:
    """The proof's database, on a server that need not be durable, and no replica that would interfere."""
    with servers.running(settings=fleets.SERVER) as server:
        yield await fleets.found(server, tmp_path, tenants=4, settings={})


@pytest.fixture
async def conn(fleet: Fleet) -> AsyncIterator[asyncpg.Connection]:
    made = await fleet.connect()
    yield made
    await made.close()


def monkey(fleet: Fleet) -> Monkey:
    return Monkey(fleet, random.Random(1), lease=3)


async def test_a_probe_that_must_find_its_tenant_idle_goes_where_nobody_writes_and_no_run_is(
    fleet: Fleet, conn: asyncpg.Connection
) -> None:
    assert len(set(fleet.tenants) | set(fleet.reserved)) == 4 + len(fleet.reserved)
    ours = monkey(fleet)
    first, second = await ours.idle(), await ours.idle()
    assert not set(first) & set(second)
    upcoming = fleet.reserved[6:8]
    await conn.execute(_TAKE, upcoming[0])
    await conn.execute("select reactor.emit($1, 'proof.row')", upcoming[1])
    assert await ours.idle() == fleet.reserved[8:10]


async def test_it_is_known_whether_a_probe_waited_for_the_end_of_the_victims_lease(
    fleet: Fleet, conn: asyncpg.Connection
) -> None:
    async def recovered(tenants: list[UUID]) -> Recovery:
        """A fault now, its probes, the end of all leases that are left, and the probes' effects."""
        fault = Fault(1, "kill -9", await conn.fetchval(_FAULT), victim="r0-1")
        await Monkey(fleet, random.Random(1), lease=3).probe(fault, tenants)
        await conn.execute("update public.agent_tenant_locks set expires_at = clock_timestamp()")
        await conn.execute("select reactor.rescue()")
        await conn.execute(_HANDLE)
        (found,) = await recoveries(conn, [fault])
        await conn.execute("truncate public.proof_source, public.proof_effects, public.proof_leases")
        assert found.alone
        return found

    one, two = fleet.tenants[:2]
    await conn.execute(_TAKE, one)
    assert (await recovered([one, two])).waited_for_lease

    # Another tenant's lease is none of its business,
    await conn.execute(_TAKE, one)
    assert not (await recovered([two])).waited_for_lease

    # nor one that ended as it should, or before the fault.
    run = await conn.fetchval(_TAKE, one)
    await conn.execute("select public.release_tenant_lock($1, $2)", one, run)
    assert not (await recovered([one])).waited_for_lease
