"""How long it took after each fault until events were handled again.

The limits below hold for a fault by itself. In a proof faults meet: the replica that takes over is killed in
its turn, the server crashes meanwhile. So it is told apart which recoveries met another fault, one that hit
the server or a replica that held the probe's tenant, and only the others are measured against the limit.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import asyncpg

from tests.failure.monkey import Fault

#: Seconds, beside the lease where that has to run out first.
_LIMITS = {
    "kill -9": 2.0,
    "stopped past its lease": 2.0,
    "listener backend ended": 2.0,
    "half-open connections": 15.0,
    "server crash": 5.0,
}
_AFTER_LEASE = {"kill -9", "stopped past its lease"}
_WHOLE_SERVER = {"server crash", "server read-only", "connection slots full", "poison event"}


def limit(kind: str, lease: float) -> float | None:
    """What a recovery may take at most, in seconds; None where nothing was promised."""
    own = _LIMITS.get(kind)
    return None if own is None else own + (lease if kind in _AFTER_LEASE else 0)


@dataclass(frozen=True, slots=True)
class Recovery:
    """Of one fault: that of its slowest probe."""

    fault: Fault
    seconds: float
    #: no other fault was at work on the server, or on a replica that held the tenant
    alone: bool
    #: the probe
    subject: UUID
    #: a probe went to a tenant whose lease the victim held when it was hit, and which then ran out
    waited_for_lease: bool


async def recoveries(connection: asyncpg.Connection, faults: Sequence[Fault]) -> list[Recovery]:
    """From the moment of the fault (or its end) to the commit of the probes' effects."""
    await connection.execute(
        "create index if not exists proof_leases_at on public.proof_leases (tenant_id, at)"
    )
    rows = await connection.fetch(
        "select e.subject, e.tenant_id, pg_xact_commit_timestamp(e.xmin) as at "
        "from public.proof_effects e join public.proof_source s on s.subject = e.subject "
        "where s.writer = -1 and e.kind = s.kind"
    )
    handled = {row["subject"]: (row["at"], row["tenant_id"], row["subject"]) for row in rows}
    slowest: list[tuple[Fault, datetime, datetime, UUID, UUID]] = []
    for fault in faults:
        found = [handled[subject] for subject in fault.probes if subject in handled]
        if found and fault.healed is not None:
            slowest.append((fault, fault.healed, *max(found)))
    lasted = [(fault, fault.began, max(at, fault.over or at)) for fault, _, at, _, _ in slowest]
    made = []
    for fault, healed, at, tenant, subject in slowest:
        meanwhile = [
            other for other, began, ended in lasted if other is not fault and began <= at and ended >= healed
        ]
        holders: set[str] = {fault.victim} if fault.victim else set()
        if meanwhile:
            held = await connection.fetch(
                "select distinct l.holder from public.proof_leases l "
                "where l.tenant_id = $1 and l.what = 'taken' and l.at <= $3 and not exists ("
                "select from public.proof_leases e "
                "where e.run_id = l.run_id and e.what = 'ended' and e.at < $2)",
                tenant,
                healed,
                at,
            )
            holders |= {row["holder"] for row in held}
        met = any(other.kind in _WHOLE_SERVER or other.victim in holders for other in meanwhile)
        waited = await connection.fetchval(
            "select exists (select from public.proof_source s "
            "join public.proof_leases l on l.tenant_id = s.tenant_id and l.what = 'taken' "
            "join public.proof_leases e on e.run_id = l.run_id and e.what = 'ended' "
            "join public.agent_autonomous_runs r on r.id = l.run_id "
            "where s.subject = any($1) and l.holder = $2 and l.at <= $3 and e.at > $3 "
            "and r.status = 'timeout')",
            fault.probes,
            fault.victim,
            healed,
        )
        seconds = (at - healed) / timedelta(seconds=1)
        made.append(Recovery(fault, seconds, not met, subject, bool(waited)))
    return made


def by_kind(found: Sequence[Recovery], *, alone: bool = False) -> dict[str, list[float]]:
    """Seconds of each kind of fault; with ``alone``, of those that met no other one."""
    kinds: dict[str, list[float]] = {}
    for one in found:
        if one.alone or not alone:
            kinds.setdefault(one.fault.kind, []).append(one.seconds)
    return kinds


async def stories(
    connection: asyncpg.Connection, found: Sequence[Recovery], faults: Sequence[Fault], lease: float
) -> list[list[str]]:
    """What happened to the tenants of the slowest probes: leases, and faults, while they waited.

    Those that are over their limit without an excuse come first.
    """

    def excess(one: Recovery) -> tuple[bool, float]:
        promised = limit(one.fault.kind, lease)
        return (one.alone and promised is not None and one.seconds > promised, one.seconds)

    told = []
    for one in sorted(found, key=excess, reverse=True)[:8]:
        fault = one.fault
        row = await connection.fetchrow(
            "select e.tenant_id, e.interruptions, h.created_at, pg_xact_commit_timestamp(e.xmin) as at "
            "from public.proof_effects e join reactor.history h on h.id = e.event_id "
            "where e.subject = $1",
            one.subject,
        )
        if row is None:
            continue
        leases = await connection.fetch(
            "select l.at, concat_ws(' ', l.holder, l.what, r.status, r.error_message) "
            "from public.proof_leases l left join public.agent_autonomous_runs r on r.id = l.run_id "
            "where l.tenant_id = $1 and l.at between $2::timestamptz - interval '5 s' and $3 order by l.at",
            row["tenant_id"],
            row["created_at"],
            row["at"],
        )
        met = [
            (other.began, f"fault: {other.kind} {other.victim} {other.detail}")
            for other in faults
            if row["created_at"] <= other.began <= row["at"]
        ]
        story: list[tuple[datetime, str]] = sorted([*((lease[0], lease[1]) for lease in leases), *met])
        told.append(
            [
                f"probe of {fault.kind} {fault.victim} {fault.detail}{'' if one.alone else ', with others'}",
                f"{row['created_at']:%T.%f} written",
                *(f"{at:%T.%f} {what}" for at, what in story),
                f"{row['at']:%T.%f} handled after {row['interruptions']} interruptions",
            ]
        )
    return told
