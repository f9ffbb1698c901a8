"""Faults of processes: of replicas, and of the receivers outside."""

import asyncio
import signal
from datetime import UTC, datetime
from uuid import UUID

from tests.failure.monkey import Fault, Monkey


async def kill_nine(monkey: Monkey, fault: Fault) -> None:
    """SIGKILL, and a new replica at once."""
    slot = monkey.victim(fault)
    if slot is None:
        return
    held = await monkey.freeze(fault, slot)
    if held is None:
        return
    slot.expected_end = True
    monkey.fleet.signal(slot, signal.SIGKILL)
    fault.healed = datetime.now(UTC)
    await monkey.probe(fault, held)


async def stop_past_lease(monkey: Monkey, fault: Fault) -> None:
    """SIGSTOP until the leases have run out and been taken over, then SIGCONT."""
    slot = monkey.victim(fault) if monkey.may_trouble() else None
    if slot is None:
        return
    held = await monkey.freeze(fault, slot)
    if held is None:
        return
    process, slot.troubled = slot.process, True
    try:
        await monkey.probe(fault, held)
        await asyncio.sleep(monkey.lease * monkey.chance.uniform(1.2, 2.5))
        if slot.process is process:
            monkey.fleet.signal(slot, signal.SIGCONT)
    finally:
        slot.troubled = False


async def jump_clock(monkey: Monkey, fault: Fault) -> None:
    """A replica's wall clock is set an hour forward or back."""
    slot = monkey.victim(fault)
    if slot is None:
        return
    monkey.fleet.signal(slot, monkey.chance.choice([signal.SIGUSR1, signal.SIGUSR2]))
    await monkey.probe(fault, await monkey.held_by(slot))


async def deploy(monkey: Monkey, fault: Fault) -> None:
    """SIGTERM; a new replica starts when the old one has drained. One that does not within 30 s is killed."""
    slot = monkey.victim(fault)
    if slot is None or slot.process is None:
        return
    process = slot.process
    held = await monkey.held_by(slot)
    slot.expected_end = True
    monkey.fleet.signal(slot, signal.SIGTERM)
    await monkey.probe(fault, held)
    try:
        async with asyncio.timeout(30):
            await process.wait()
        fault.detail = f"exit code {process.returncode}"
    except TimeoutError:
        fault.detail = "did not drain"
        process.kill()


async def poison(monkey: Monkey, fault: Fault) -> None:
    """An event that kills every process that handles it, until it is dead."""
    tenant = monkey.chance.choice(monkey.fleet.tenants)
    subject = UUID(int=monkey.chance.getrandbits(128), version=4)
    monkey.probes += 1
    rows = await monkey.ask(
        "insert into public.proof_source (subject, tenant_id, writer, n, kind) "
        "values ($1, $2, -1, $3, 'poison') returning subject",
        subject,
        tenant,
        monkey.probes,
    )
    if rows:
        await monkey.probe(fault)


async def kill_receiver(monkey: Monkey, fault: Fault) -> None:
    """SIGKILL of the web server or the mail server outside; it is back within a second or two."""
    free = [r for r in monkey.fleet.receivers.all if r.kind not in monkey.troubled_receivers]
    if not free:
        return
    receiver = monkey.chance.choice(free)
    fault.detail = receiver.kind
    monkey.troubled_receivers.add(receiver.kind)
    try:
        await receiver.kill()
        await asyncio.sleep(monkey.chance.uniform(0, 1))
        await receiver.start()
        await receiver.answers()
        await monkey.probe(fault, kind=_PROBES[receiver.kind])
    finally:
        monkey.troubled_receivers.discard(receiver.kind)


async def stop_receiver(monkey: Monkey, fault: Fault) -> None:
    """SIGSTOP of the web server or the mail server outside: it takes connections, and says nothing."""
    free = [r for r in monkey.fleet.receivers.all if r.kind not in monkey.troubled_receivers]
    if not free:
        return
    receiver = monkey.chance.choice(free)
    fault.detail = receiver.kind
    monkey.troubled_receivers.add(receiver.kind)
    try:
        receiver.signal(signal.SIGSTOP)
        await asyncio.sleep(monkey.chance.uniform(0.5, 4))
    finally:
        receiver.signal(signal.SIGCONT)
        monkey.troubled_receivers.discard(receiver.kind)
    await monkey.probe(fault, kind=_PROBES[receiver.kind])


#: The kind of row whose handler reaches a receiver.
_PROBES = {"http": "call", "smtp": "mail"}
