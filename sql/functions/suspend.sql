--! requires: now, abandon, ring_timer
-- Gives back leases of runs that the database refused to settle, as reactor.abandon() does, and lets nobody have a tenant
-- for a while with which that has happened before: else it would be claimed, handled and refused again at once, for ever
-- and without a pause. Called by the settler.
--
-- The pause is a lease of nobody's, so that whoever asks who holds the tenant is told; it ends as every lease does that
-- ran out. It doubles with the interruptions of what was in flight.
create or replace function reactor.suspend(p_tenants uuid[], p_runs uuid[], p_reason text) returns int
language plpgsql security definer set search_path = ''
-- Shorter than its caller's patience, who will try again: the server must not go on waiting when nobody waits for it.
set lock_timeout = '5s'
as $$
declare
    v_tenants uuid[];
    v_pauses interval[];
    v_count int;
    v_now timestamptz;
begin
    select array_agg(x.tenant_id), array_agg(x.pause) into v_tenants, v_pauses
    from (
        select f.tenant_id,
            least(interval '30 seconds', interval '0.1 second' * power(2, least(max(e.interruptions), 20))) as pause
        from unnest(p_tenants, p_runs) as g (tenant_id, run_id)
        join reactor.in_flight f on f.tenant_id = g.tenant_id and f.run_id = g.run_id
        join reactor.events e on e.id = any (f.ids)
        group by f.tenant_id
        having max(e.interruptions) > 0) x;
    v_count := reactor.abandon(p_tenants, p_runs, true, p_reason);
    -- None: they were settled all the same, or are another's by now.
    if v_count > 0 and v_tenants is not null then
        v_now := reactor.now();
        insert into public.agent_tenant_locks (tenant_id, locked_at, expires_at, lock_holder)
        select t.tenant_id, v_now, v_now + t.pause, 'nobody: the database refused to settle its events'
        from unnest(v_tenants, v_pauses) as t (tenant_id, pause)
        -- Nobody who holds the tenant is waited for.
        where exists (select from public.tenants o where o.id = t.tenant_id for key share skip locked)
        order by t.tenant_id
        on conflict (tenant_id) do nothing;
        perform reactor.ring_timer(v_now + (select min(p.pause) from unnest(v_pauses) as p (pause)));
    end if;
    return v_count;
end;
$$;

revoke all on function reactor.suspend(uuid[], uuid[], text) from public;
grant execute on function reactor.suspend(uuid[], uuid[], text) to reactor;
