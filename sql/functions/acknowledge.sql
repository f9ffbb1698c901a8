--! requires: now, bury
-- The acknowledgement itself, without the fence: handled events go to the history, the others' verdicts are
-- carried out. Called by reactor.settle() and reactor.checkpoint(), which fence after it.
create or replace function reactor.acknowledge(
    p_tenants uuid[], p_runs uuid[], p_done bigint[], p_verdicts jsonb
) returns void
language plpgsql security definer set search_path = ''
set enable_seqscan = off
set plan_cache_mode = force_generic_plan
as $$
declare
    -- Types are qualified: temporary ones of a handler's, which may run code, come first on an empty search_path.
    v_finished int;
    v_now constant pg_catalog.timestamptz := reactor.now();
begin
    if cardinality(p_done) > 0 then
        with gone as (
            delete from reactor.events e where e.id = any (p_done) returning e.*
        )
        insert into reactor.history (
            id, event_id, tenant_id, event_type, subject_id, payload, priority, attempts, interruptions, created_at,
            finished_at, outcome, run_id, errors, traceparent, cause_id, depth)
        select g.id, g.event_id, g.tenant_id, g.event_type, g.subject_id, g.payload, g.priority, g.attempts,
            g.interruptions, g.created_at, v_now, 'handled', r.run_id, g.errors, g.traceparent, g.cause_id, g.depth
        from gone g
        left join unnest(p_tenants, p_runs) as r (tenant_id, run_id) on r.tenant_id = g.tenant_id;
        get diagnostics v_finished = row_count;
        -- Only the holder of the lease takes events out, so a missing one means another run has it.
        if v_finished <> cardinality(p_done) then
            raise exception 'the lease was lost: % of % events were settled by another run',
                cardinality(p_done) - v_finished, cardinality(p_done)
                using errcode = 'RX001', detail = coalesce((
                    select string_agg(r.run_id::pg_catalog.text, ',')
                    from unnest(p_tenants, p_runs) as r (tenant_id, run_id)
                    where not exists (
                        select from public.agent_tenant_locks l
                        where l.tenant_id = r.tenant_id and l.run_id = r.run_id and l.expires_at > reactor.now())), '');
        end if;
    end if;
    if p_verdicts is not null then
        perform reactor.bury(p_tenants, p_runs, p_verdicts);
    end if;
end;
$$;

revoke all on function reactor.acknowledge(uuid[], uuid[], bigint[], jsonb) from public;
