--! requires: now, ring
-- Gives leases back without acknowledging anything. Called by the settler when a connection was lost
-- in the middle (p_interrupted: what was in flight was cut short by the infrastructure, and is counted
-- as such), and by the drain for events that were not begun (not counted at all).
--
-- Safe when the outcome of a commit is unknown: if it did commit, the lease is gone and so are the
-- events, and nothing happens here.
create or replace function reactor.abandon(
    p_tenants uuid[], p_runs uuid[], p_interrupted boolean, p_reason text default null
) returns int
language plpgsql security definer set search_path = ''
-- Shorter than its caller's patience, who will try again: the server must not go on waiting when nobody waits for it.
set lock_timeout = '5s'
as $$
declare
    v_runs uuid[];
    v_events bigint[];
begin
    with gone as (
        delete from public.agent_tenant_locks l
        using (
            select k.id from public.agent_tenant_locks k
            where k.tenant_id = any (p_tenants) and k.run_id = any (p_runs)
            order by k.tenant_id
            for update) o
        where l.id = o.id
        returning l.tenant_id, l.run_id
    )
    select array_agg(g.run_id),
        (select array_agg(i.id)
         from gone g2
         join reactor.in_flight f on f.tenant_id = g2.tenant_id and f.run_id = g2.run_id
         cross join unnest(f.ids) as i (id))
    into v_runs, v_events
    from gone g;

    if p_interrupted then
        -- Ready again at once, since nobody failed: a pause would let the tenant's later events overtake it.
        update reactor.events e
        set
            interruptions = e.interruptions + 1,
            errors = case when jsonb_array_length(e.errors) < 20 then e.errors else e.errors - 0 end
                || jsonb_build_object(
                    'at', reactor.now(), 'kind', 'interrupted', 'error', p_reason,
                    'run_id', p_runs[array_position(p_tenants, e.tenant_id)])
        -- A settlement that is on its way has locked them, and waits for the lease, which is gone: it will be refused.
        where e.id = any (array(
            select w.id from reactor.events w where w.id = any (v_events) for update skip locked));
    end if;

    update public.agent_autonomous_runs r
    set
        status = case when p_interrupted then 'failed' else 'completed' end,
        phase = case when p_interrupted then 'failed' else 'completed' end,
        completed_at = reactor.now(),
        -- It may have begun at any time: a tenant's users may write their own runs.
        duration_ms = case when isfinite(r.started_at) then
            least(extract(epoch from greatest(reactor.now() - r.started_at, interval '0')) * 1000, 2147483647)::int end,
        error_message = coalesce(r.error_message, p_reason)
    where r.id = any (v_runs) and r.tenant_id = any (p_tenants) and r.status = 'running';

    perform reactor.ring();
    return coalesce(cardinality(v_runs), 0);
end;
$$;

revoke all on function reactor.abandon(uuid[], uuid[], boolean, text) from public;
grant execute on function reactor.abandon(uuid[], uuid[], boolean, text) to reactor;
