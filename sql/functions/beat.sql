--! requires: now
-- A replica's heartbeat: extends the leases of its runs, says it is alive, and hears which runs are
-- lost and who else lives. Called by upkeep/heartbeat a few times a lease. Commits without waiting
-- for the disk, like a claim.
create or replace function reactor.beat(
    p_replica text, p_tenants uuid[], p_runs uuid[], p_lease interval, p_patience interval
) returns table (lost uuid[], peers text[])
language plpgsql security definer set search_path = ''
as $$
begin
    perform set_config('synchronous_commit', 'off', true);
    update reactor.replicas r
    set seen_at = reactor.now(), patience = p_patience
    where r.replica = p_replica;

    with ordered as (
        select l.id, l.run_id
        from public.agent_tenant_locks l
        where l.tenant_id = any (p_tenants) and l.run_id = any (p_runs) and l.expires_at > reactor.now()
        order by l.tenant_id
        for update
    ),
    extended as (
        update public.agent_tenant_locks l
        set expires_at = greatest(l.expires_at, reactor.now() + p_lease)
        from ordered o
        where l.id = o.id
        returning l.run_id
    )
    select array(select r.id from unnest(p_runs) as r (id) where not exists (
        select from extended e where e.run_id = r.id)) into lost;

    peers := array(
        select r.replica from reactor.replicas r where r.seen_at > reactor.now() - r.patience order by r.replica);
    return next;
end;
$$;

revoke all on function reactor.beat(text, uuid[], uuid[], interval, interval) from public;
grant execute on function reactor.beat(text, uuid[], uuid[], interval, interval) to reactor;
