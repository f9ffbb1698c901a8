--! requires: now, ring_timer
-- Carries out what a handler's failure decided, event by event: retry later, interrupted, dead or
-- discarded. Called by reactor.settle(); see there for the shape of p_verdicts.
--
-- The backoff is exponential with full jitter, on the server's clock: uniform between 0 and
-- min(1 hour, 2^attempts seconds) ("Exponential Backoff And Jitter", AWS Architecture Blog, 2015).
-- An event keeps its last 20 errors while it lives.
create or replace function reactor.bury(p_tenants uuid[], p_runs uuid[], p_verdicts jsonb) returns void
language plpgsql security definer set search_path = ''
set enable_seqscan = off
as $$
declare
    v_due timestamptz;
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
        from jsonb_to_recordset(p_verdicts) as v (id bigint, verdict text, delay float8, counts boolean, error jsonb)
        where e.id = v.id and v.verdict in ('retry', 'interrupted') and e.tenant_id = any (p_tenants)
        returning e.available_at
    )
    select min(r.available_at) into v_due from retried r;
    if v_due is not null then
        perform reactor.ring_timer(v_due);
    end if;

    with gone as (
        delete from reactor.events e
        using jsonb_to_recordset(p_verdicts) as v (id bigint, verdict text, reason text, counts boolean, error jsonb)
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
        using jsonb_to_recordset(p_verdicts) as v (id bigint, verdict text, reason text, counts boolean, error jsonb)
        where e.id = v.id and v.verdict = 'dead' and e.tenant_id = any (p_tenants)
        returning e.*, v.reason, coalesce(v.counts, true) as counts, v.error
    ),
    dead as (
        insert into reactor.dead_events (
            id, event_id, tenant_id, event_type, subject_id, payload, priority, attempts, interruptions, created_at,
            died_at, reason, run_id, errors, traceparent, cause_id, depth, dedup_key)
        select g.id, g.event_id, g.tenant_id, g.event_type, g.subject_id, g.payload, g.priority,
            g.attempts + g.counts::int, g.interruptions, g.created_at, reactor.now(), g.reason,
            p_runs[array_position(p_tenants, g.tenant_id)],
            case when g.error is null then g.errors else g.errors || (g.error || jsonb_build_object(
                'at', reactor.now(), 'run_id', p_runs[array_position(p_tenants, g.tenant_id)])) end,
            g.traceparent, g.cause_id, g.depth, g.dedup_key
        from gone g
        returning id, tenant_id, event_type, reason
    )
    -- One alert an hour for a tenant and event type, however many die. The death of an alert's
    -- delivery raises none: it would be delivered the same way. Of a canary the tenant is to know nothing.
    insert into public.agent_alerts (tenant_id, alert_type, severity, message, metadata, created_at)
    select d.tenant_id, 'dead_event', 'critical',
        format('%s event%s of type %s cannot be handled: %s', count(*), case when count(*) > 1 then 's' else '' end,
            d.event_type, min(d.reason)),
        jsonb_build_object('event_type', d.event_type, 'event_ids', jsonb_agg(d.id)), reactor.now()
    from dead d
    where d.event_type not like 'alert.%' and d.event_type <> 'reactor.canary' and not exists (
        select from public.agent_alerts a
        where a.tenant_id = d.tenant_id and a.alert_type = 'dead_event'
            and a.metadata ->> 'event_type' = d.event_type
            and a.created_at > reactor.now() - interval '1 hour')
    group by d.tenant_id, d.event_type;
end;
$$;

revoke all on function reactor.bury(uuid[], uuid[], jsonb) from public;
