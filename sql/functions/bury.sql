--! requires: now, ring_timer, alert_dead
-- Carries out what a handler's failure decided, event by event: retry later, interrupted, dead or
-- discarded. Called by reactor.settle(); see there for the shape of p_verdicts.
--
-- The backoff is exponential with full jitter, on the server's clock: uniform between 0 and
-- min(1 hour, 2^attempts seconds) ("Exponential Backoff And Jitter", AWS Architecture Blog, 2015).
-- An event keeps its last 20 errors while it lives. It dies under its own id, unless an older dead event has that: a
-- database that was replicated logically has the rows of its origin and counts from 1.
create or replace function reactor.bury(p_tenants uuid[], p_runs uuid[], p_verdicts jsonb) returns void
language plpgsql security definer set search_path = ''
set enable_seqscan = off
as $$
declare
    -- Types are qualified: temporary ones of a handler's, which may run code, come first on an empty search_path.
    v_due pg_catalog.timestamptz;
    v_dead bigint[];
begin
    with retried as (
        update reactor.events e
        set
            attempts = e.attempts + (v.verdict = 'retry' and coalesce(v.counts, true))::int,
            interruptions = e.interruptions + (v.verdict = 'interrupted')::int,
            available_at = reactor.now() + coalesce(
                make_interval(secs => v.delay),
                make_interval(secs => greatest(0.05, random() * least(3600, power(2, least(e.attempts, 20) + 1))))),
            errors = case when v.error is null then e.errors else (
                select coalesce(jsonb_agg(x.value order by x.n), '[]')
                from (
                    select o.value, o.n from jsonb_array_elements(e.errors || (v.error || jsonb_build_object(
                        'at', reactor.now(), 'run_id', p_runs[array_position(p_tenants, e.tenant_id)]))) with ordinality as o (value, n)
                    order by o.n desc limit 20) x) end
        from jsonb_to_recordset(p_verdicts) as v (id bigint, verdict pg_catalog.text, delay pg_catalog.float8, counts boolean, error pg_catalog.jsonb)
        where e.id = v.id and v.verdict in ('retry', 'interrupted') and e.tenant_id = any (p_tenants)
        returning e.available_at
    )
    select min(r.available_at) into v_due from retried r;
    if v_due is not null then
        perform reactor.ring_timer(v_due);
    end if;

    with gone as (
        delete from reactor.events e
        using jsonb_to_recordset(p_verdicts) as v (id bigint, verdict pg_catalog.text, reason pg_catalog.text, counts boolean, error pg_catalog.jsonb)
        where e.id = v.id and v.verdict = 'discard' and e.tenant_id = any (p_tenants)
        returning e.*, v.reason
    )
    insert into reactor.history (
        id, event_id, tenant_id, event_type, subject_id, payload, priority, attempts, interruptions, created_at,
        finished_at, outcome, reason, run_id, errors, traceparent, cause_id, depth)
    select g.id, g.event_id, g.tenant_id, g.event_type, g.subject_id, g.payload, g.priority, g.attempts,
        g.interruptions, g.created_at, reactor.now(), 'discarded', g.reason,
        p_runs[array_position(p_tenants, g.tenant_id)], g.errors, g.traceparent, g.cause_id, g.depth
    from gone g;

    with gone as (
        delete from reactor.events e
        using jsonb_to_recordset(p_verdicts) as v (id bigint, verdict pg_catalog.text, reason pg_catalog.text, counts boolean, error pg_catalog.jsonb)
        where e.id = v.id and v.verdict = 'dead' and e.tenant_id = any (p_tenants)
        returning e.*, v.reason, coalesce(v.counts, true) as counts, v.error
    ),
    dead as (
        insert into reactor.dead_events (
            id, event_id, tenant_id, event_type, subject_id, payload, priority, attempts, interruptions, created_at,
            died_at, reason, run_id, errors, traceparent, cause_id, depth, dedup_key)
        select case when exists (select from reactor.dead_events o where o.id = g.id)
                then (select max(o.id) from reactor.dead_events o) + nextval('reactor.events_id_seq'::pg_catalog.regclass) else g.id end,
            g.event_id, g.tenant_id, g.event_type, g.subject_id, g.payload, g.priority,
            g.attempts + g.counts::int, g.interruptions, g.created_at, reactor.now(), g.reason,
            p_runs[array_position(p_tenants, g.tenant_id)],
            case when g.error is null then g.errors else g.errors || (g.error || jsonb_build_object(
                'at', reactor.now(), 'run_id', p_runs[array_position(p_tenants, g.tenant_id)])) end,
            g.traceparent, g.cause_id, g.depth, g.dedup_key
        from gone g
        returning id
    )
    select array_agg(d.id) into v_dead from dead d;
    if v_dead is not null then
        perform reactor.alert_dead(v_dead);
    end if;
end;
$$;

revoke all on function reactor.bury(uuid[], uuid[], jsonb) from public;
