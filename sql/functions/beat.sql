--! requires: now
-- A replica's heartbeat: extends the leases of its runs, says it is alive, and hears which runs are
-- lost and who else lives. Called by upkeep/heartbeat a few times a lease. Commits without waiting
-- for the disk, like a claim.
--
-- p_process    what it enlisted with as its own; a replica whose name another process has is no peer of itself
create or replace function reactor.beat(
    p_replica text, p_tenants uuid[], p_runs uuid[], p_lease interval, p_patience interval, p_process text default null
) returns table (lost uuid[], peers text[])
language plpgsql security definer set search_path = ''
as $$
begin
    perform set_config('synchronous_commit', 'off', true);
    -- One that was cut off for so long that another took its bit of the doorbell is not seen: it enlists anew.
    update reactor.replicas r
    set seen_at = reactor.now(), patience = p_patience
    where r.replica = p_replica and (p_process is null or r.info ->> 'process' is not distinct from p_process) and not exists (
        select from reactor.replicas o
        where o.slot = r.slot and o.slot <= 61 and o.replica <> r.replica and o.seen_at > reactor.now() - o.patience);

    with ordered as (
        select l.id, l.run_id
        from public.agent_tenant_locks l
        where l.tenant_id = any (p_tenants) and l.run_id = any (p_runs) and l.expires_at > reactor.now()
        order by l.tenant_id
        -- One that is being settled is held by its own transaction; the others must not wait for that.
        for update skip locked
    )
    update public.agent_tenant_locks l
    set expires_at = greatest(l.expires_at, reactor.now() + p_lease)
    from ordered o
    where l.id = o.id;

    lost := array(
        select r.run_id from unnest(p_tenants, p_runs) as r (tenant_id, run_id)
        where not exists (
            select from public.agent_tenant_locks l
            where l.tenant_id = r.tenant_id and l.run_id = r.run_id and l.expires_at > reactor.now()));

    peers := array(
        select r.replica from reactor.replicas r
        where r.seen_at > reactor.now() - r.patience
            and (r.replica <> p_replica or p_process is null or r.info ->> 'process' is not distinct from p_process)
        order by r.replica);
    return next;
end;
$$;

revoke all on function reactor.beat(text, uuid[], uuid[], interval, interval, text) from public;
grant execute on function reactor.beat(text, uuid[], uuid[], interval, interval, text) to reactor;
