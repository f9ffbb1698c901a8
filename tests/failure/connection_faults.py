"""Faults of connections: backends that are ended, and a network that loses, delays and forgets."""

import asyncio
from datetime import UTC, datetime

from tests.failure.monkey import Fault, Monkey


async def _terminate(monkey: Monkey, fault: Fault, suffix: str, limit: int) -> None:
    """End backends of a replica; those of open handler transactions carry the name of their run instead."""
    slot = monkey.victim(fault)
    if slot is None:
        return
    held = await monkey.held_by(slot)
    ended = await monkey.ask(
        "select pg_terminate_backend(pid) from (select pid from pg_stat_activity "
        "where datname = 'proof' and (application_name = $1 or $3 and application_name in ("
        "select 'reactor run ' || run_id from public.agent_tenant_locks where lock_holder = $4)) "
        "order by random() limit $2) x",
        slot.name + suffix,
        limit,
        suffix == " handlers",
        slot.name,
    )
    fault.detail = f"{len(ended)} backends"
    if ended:
        fault.healed = datetime.now(UTC)
        # Who only lost its listener goes on with its runs, so a held tenant would tell how long those take.
        await monkey.probe(fault, await monkey.idle() if suffix == " listener" else held)


async def end_listener(monkey: Monkey, fault: Fault) -> None:
    """pg_terminate_backend of the listening connection."""
    await _terminate(monkey, fault, " listener", 1)


async def end_handlers(monkey: Monkey, fault: Fault) -> None:
    """pg_terminate_backend of handlers' connections, those in a transaction included."""
    await _terminate(monkey, fault, " handlers", 20)


async def end_engine(monkey: Monkey, fault: Fault) -> None:
    """pg_terminate_backend of the engine's own connections: claim, settle, heartbeat."""
    await _terminate(monkey, fault, "", monkey.chance.choice([1, 20]))


async def end_leader(monkey: Monkey, fault: Fault) -> None:
    """pg_terminate_backend of every connection of the replica that leads."""
    rows = await monkey.ask("select leader from reactor.leadership")
    if not rows or rows[0]["leader"] is None:
        return
    fault.victim = rows[0]["leader"]
    ended = await monkey.ask(
        "select pg_terminate_backend(pid) from pg_stat_activity where datname = 'proof' "
        "and application_name like $1 || '%'",
        fault.victim,
    )
    fault.detail = f"{len(ended)} backends"
    if ended:
        await monkey.probe(fault)


async def half_open(monkey: Monkey, fault: Fault) -> None:
    """All connections of a replica stay open for it and carry nothing ever again; new ones work."""
    slot = monkey.victim(fault, proxied=True) if monkey.may_trouble() else None
    if slot is None or slot.proxy is None:
        return
    held = await monkey.held_by(slot)
    silent = monkey.chance.random() < 0.5
    fault.detail = "the server hears nothing" if silent else "the server's ends are closed"
    slot.proxy.forget_open(close_upstream=not silent)
    fault.healed = datetime.now(UTC)
    # Its runs are stuck, and so are the tenants that it held; the others must not notice.
    await monkey.probe(fault, [*held[:3], *await monkey.idle()])


async def black_hole(monkey: Monkey, fault: Fault) -> None:
    """Nothing passes between a replica and the server, then all of it does."""
    slot = monkey.victim(fault, proxied=True) if monkey.may_trouble() else None
    if slot is None or slot.proxy is None:
        return
    held = await monkey.held_by(slot)
    slot.troubled = slot.proxy.black_hole = True
    slot.proxy.hold_open()
    try:
        await monkey.probe(fault, held)
        await asyncio.sleep(monkey.chance.uniform(0.5, 3 * monkey.lease))
    finally:
        slot.proxy.black_hole = slot.troubled = False
        slot.proxy.resume_open()


async def reset(monkey: Monkey, fault: Fault) -> None:
    """Every connection of a replica is cut, and new ones are refused for a moment."""
    slot = monkey.victim(fault, proxied=True) if monkey.may_trouble() else None
    if slot is None or slot.proxy is None:
        return
    held = await monkey.held_by(slot)
    slot.proxy.refuse = True
    slot.proxy.reset_open()
    try:
        await asyncio.sleep(monkey.chance.uniform(0, 0.5))
    finally:
        slot.proxy.refuse = False
    await monkey.probe(fault, held)


async def slow_network(monkey: Monkey, fault: Fault) -> None:
    """Every packet of a replica takes 20 to 200 ms longer."""
    slot = monkey.victim(fault, proxied=True) if monkey.may_trouble() else None
    if slot is None or slot.proxy is None:
        return
    slot.troubled = True
    slot.proxy.delay = monkey.chance.uniform(0.01, 0.1)
    try:
        await monkey.probe(fault, await monkey.held_by(slot))
        await asyncio.sleep(monkey.chance.uniform(1, 4))
    finally:
        slot.proxy.delay = 0
        slot.troubled = False
