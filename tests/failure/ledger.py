"""The ledger: what the database says happened, against what must have happened. Every count must be zero."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import asyncpg

#: Kinds whose events wait or fail on purpose, so that others may overtake them.
_EXCUSED = "('flaky', 'later', 'probe', 'child', 'poison', 'call', 'mail')"

# Each query returns (tenant_id, subject, detail) of what is wrong.
CHECKS: dict[str, str] = {
    "lost": """
        select s.tenant_id, s.subject, format('%s, number %s of writer %s', s.kind, s.n, s.writer)
        from public.proof_source s
        where s.kind <> 'poison'
            and not exists (
                select from public.proof_effects e where e.subject = s.subject and e.kind = s.kind)
            and not exists (select from reactor.dead_events d where d.subject_id = s.subject)
            and not exists (
                select from reactor.events w
                where w.subject_id = s.subject and w.event_type in ('proof.row', 'proof.batch'))
        union all
        select s.tenant_id, s.subject, 'the event that this one caused'
        from public.proof_source s
        where s.kind = 'chain'
            and exists (
                select from public.proof_effects e where e.subject = s.subject and e.kind = 'chain')
            and not exists (
                select from public.proof_effects e where e.subject = s.subject and e.kind = 'child')
            and not exists (
                select from reactor.dead_events d
                where d.subject_id = s.subject and d.event_type = 'proof.child')
            and not exists (
                select from reactor.events w
                where w.subject_id = s.subject and w.event_type = 'proof.child')
        union all
        select e.tenant_id, e.subject_id, 'still in the outbox: ' || e.event_type
        from reactor.events e where e.event_type like 'proof.%'
        union all
        select s.tenant_id, s.subject, 'poisonous, and not found out'
        from public.proof_source s
        where s.kind = 'poison'
            and not exists (select from reactor.dead_events d where d.subject_id = s.subject)
            and not exists (select from reactor.events w where w.subject_id = s.subject)
        """,
    "dead": """
        select d.tenant_id, d.subject_id, d.reason || ': ' || d.errors::text
        from reactor.dead_events d
        where not exists (
            select from public.proof_source s where s.subject = d.subject_id and s.kind = 'poison')
        """,
    "doubled": """
        select v.tenant_id, v.subject, v.detail from public.proof_violations v where v.kind = 'doubled'
        union all
        select min(h.tenant_id::text)::uuid, min(h.subject_id::text)::uuid,
            format('event %s is %s times in the history', h.id, count(*))
        from reactor.history h group by h.id having count(*) > 1
        union all
        select d.tenant_id, d.subject_id, 'dead, and handled as well'
        from reactor.dead_events d join reactor.history h on h.id = d.id
        """,
    "out of nothing": """
        select e.tenant_id, e.subject, format('an effect of event %s, whose writer rolled back', e.event_id)
        from public.proof_effects e
        where not exists (select from public.proof_source s where s.subject = e.subject)
        """,
    "stale": """
        with life as (
            select l.run_id,
                max(pg_xact_commit_timestamp(l.xmin)) filter (where l.what = 'taken') as taken,
                max(pg_xact_commit_timestamp(l.xmin)) filter (where l.what = 'ended') as ended
            from public.proof_leases l group by l.run_id
        ),
        written as (
            select e.tenant_id, e.subject, e.run_id, 'effect' as what, pg_xact_commit_timestamp(e.xmin) as at
            from public.proof_effects e
            union all
            select i.tenant_id, i.subject, i.run_id, 'intent', pg_xact_commit_timestamp(i.xmin)
            from public.proof_intents i
            union all
            select h.tenant_id, h.subject_id, h.run_id, 'acknowledgement', pg_xact_commit_timestamp(h.xmin)
            from reactor.history h where h.event_type like 'proof.%'
        )
        select w.tenant_id, w.subject,
            format('%s of run %s committed %s, its lease lasted from %s to %s',
                w.what, w.run_id, w.at, l.taken, l.ended)
        from written w left join life l on l.run_id = w.run_id
        where l.taken is null or w.at < l.taken or w.at > l.ended
        union all
        select e.tenant_id, e.subject, format('effect by run %s, acknowledged by run %s', e.run_id, h.run_id)
        from public.proof_effects e join reactor.history h on h.id = e.event_id
        where h.run_id is distinct from e.run_id
        """,
    "out of order": f"""
        select o.tenant_id, o.subject, format('event %s after event %s', o.event_id, o.before)
        from (
            select e.tenant_id, e.subject, e.event_id,
                lag(e.event_id) over (partition by e.tenant_id order by e.position) as before
            from public.proof_effects e
            join public.proof_source s on s.subject = e.subject
            where e.kind not in {_EXCUSED} and e.attempts = 0 and not s.delayed and s.after_subject is null
        ) o
        where o.before > o.event_id
        union all
        select a.tenant_id, a.subject, 'handled before the more urgent event of the same transaction'
        from public.proof_source s
        join public.proof_effects a on a.subject = s.subject
        join public.proof_effects b on b.subject = s.after_subject
        where a.position < b.position and b.attempts = 0
        """,
    "overlapping runs": """
        select l.tenant_id, null::uuid,
            format('run %s was ended at %s, its lease lasted until %s', l.run_id, l.at, l.expires_at)
        from public.proof_leases l
        join public.agent_autonomous_runs r on r.id = l.run_id
        where l.what = 'ended' and r.status = 'timeout' and l.at < l.expires_at
        union all
        select o.tenant_id, null, format('run %s began before the run before it had ended', o.run_id)
        from (
            select l.tenant_id, l.run_id, l.what, pg_xact_commit_timestamp(l.xmin) as at,
                lag(l.what) over w as before
            from public.proof_leases l
            window w as (partition by l.tenant_id order by pg_xact_commit_timestamp(l.xmin), l.at)
        ) o
        where o.before = o.what
        """,
    "cross-tenant": """
        select v.tenant_id, v.subject, v.detail from public.proof_violations v where v.kind = 'cross-tenant'
        union all
        select e.tenant_id, e.subject, format('an effect for a subject of tenant %s', s.tenant_id)
        from public.proof_effects e join public.proof_source s on s.subject = e.subject
        where e.tenant_id <> s.tenant_id
        union all
        select s.tenant_id, s.subject, 'changed by another tenant''s handler'
        from public.proof_source s where s.kind = 'stolen'
        """,
    "not sent": """
        select e.tenant_id, e.subject, format('%s was handled, and nothing arrived', e.kind)
        from public.proof_effects e
        where e.kind in ('call', 'mail')
            and not exists (
                select from public.proof_arrivals a
                where a.subject = e.subject and a.answer in ('ok', 'late')
                    and a.channel = case e.kind when 'call' then 'http' else 'smtp' end)
        """,
    "sent under another key": """
        select s.tenant_id, a.subject, format('keys %s', string_agg(distinct a.key, ', '))
        from public.proof_arrivals a
        left join public.proof_source s on s.subject = a.subject
        left join public.proof_effects e on e.subject = s.subject and e.kind = s.kind
        left join reactor.history h on h.id = e.event_id
        group by s.tenant_id, a.subject
        having count(distinct a.key) > 1 or bool_or(a.key <> h.event_id::text)
        """,
    "sent out of nothing": """
        select null::uuid, a.subject, format('%s for a row that is not there', a.channel)
        from public.proof_arrivals a
        where not exists (select from public.proof_source s where s.subject = a.subject)
        union all
        select null, a.subject, 'an email without a committed intent'
        from public.proof_arrivals a
        where a.channel = 'smtp'
            and not exists (select from public.proof_intents i where i.subject = a.subject)
        """,
    "left behind": """
        select l.tenant_id, null::uuid, format('a lease of %s until %s', l.lock_holder, l.expires_at)
        from public.agent_tenant_locks l
        union all
        select r.tenant_id, null, format('run %s is still %s', r.id, r.status)
        from public.agent_autonomous_runs r
        where r.status = 'running'
        """,
}


@dataclass(slots=True)
class Ledger:
    """Counts and, for what is wrong, the first few cases of each."""

    events: int = 0
    effects: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    cases: dict[str, list[str]] = field(default_factory=dict)
    interrupted: int = 0
    retried: int = 0
    takeovers: int = 0
    runs: int = 0
    poisoned: int = 0
    #: of the outbox, and events that they wrote again
    rotations: int = 0
    kept: int = 0
    #: of events that reach outside the database: how many, what arrived, and what arrived again — in all, and
    #: after a yes that no receiver took back
    outside: int = 0
    arrived: int = 0
    repeated: int = 0
    repeated_after_yes: int = 0

    @property
    def is_clean(self) -> bool:
        return not any(self.counts.values())


async def read(connection: asyncpg.Connection, confirmed: Mapping[int, int]) -> Ledger:
    """Count everything. Nothing may be running any more."""
    ledger = Ledger()
    await connection.execute("set jit = off")
    for name, query in CHECKS.items():
        rows = await connection.fetch(query)
        ledger.counts[name] = len(rows)
        ledger.cases[name] = [f"tenant {r[0]} subject {r[1]}: {r[2]}" for r in rows[:5]]
    for writer, number in confirmed.items():
        if not await connection.fetchval(
            "select exists (select from public.proof_source where writer = $1 and n = $2)", writer, number
        ):
            ledger.counts["lost"] += 1
            ledger.cases["lost"].append(f"number {number} of writer {writer} was confirmed and is not there")
    row = await connection.fetchrow(
        "select (select count(*) from reactor.history where event_type like 'proof.%') "
        " + (select count(*) from reactor.dead_events) as events, "
        "(select count(*) from public.proof_effects) as effects, "
        "(select count(*) from reactor.history where interruptions > 0) as interrupted, "
        "(select count(*) from reactor.history where attempts > 0) as retried, "
        "(select count(*) from public.agent_autonomous_runs where status = 'timeout') as takeovers, "
        "(select count(*) from public.proof_leases where what = 'taken') as runs, "
        "(select count(*) from public.proof_source where kind = 'poison') as poisoned, "
        "(select count(*) from public.proof_effects where kind in ('call', 'mail')) as outside, "
        "(select rotations from reactor.rotation) as rotations, (select kept from reactor.rotation) as kept, "
        "a.* from (select count(*) as arrived, count(*) - count(distinct subject) as repeated, "
        "count(*) filter (where position > first_yes) as repeated_after_yes from ("
        "select subject, position, min(position) filter (where answer in ('ok', 'late')) "
        "over (partition by subject) as first_yes from public.proof_arrivals) x) a"
    )
    assert row is not None
    for name, value in row.items():
        setattr(ledger, name, value)
    return ledger
