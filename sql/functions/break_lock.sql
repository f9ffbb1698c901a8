--! requires: now, ring, abandon
-- Takes a lease away from whoever holds it: p_id is the tenant's, the run's or the lock's. The run fails, what
-- it had in flight counts as interrupted and is tried again; whatever the holder still does cannot be committed.
-- Called by `reactor locks release`.
--
-- With p_force false a lease that a live replica holds stays, and broken is false.
create or replace function reactor.break_lock(p_id uuid, p_reason text, p_force boolean default false)
returns table (tenant_id uuid, run_id uuid, lock_holder text, in_flight int, broken boolean)
language plpgsql security definer set search_path = ''
as $$
#variable_conflict use_column
begin
    select l.tenant_id, l.run_id, l.lock_holder,
        coalesce(cardinality(f.ids), 0),
        p_force or l.expires_at <= reactor.now() or not exists (
            select from reactor.replicas r
            where r.replica = l.lock_holder and r.seen_at > reactor.now() - r.patience)
    into tenant_id, run_id, lock_holder, in_flight, broken
    from public.agent_tenant_locks l
    left join reactor.in_flight f on f.tenant_id = l.tenant_id and f.run_id = l.run_id
    where p_id in (l.tenant_id, l.run_id, l.id)
    -- A tenant's users may write another's ids into their own lease.
    order by l.tenant_id = p_id desc, exists (
        select from public.agent_autonomous_runs r
        where r.id = p_id and r.id = l.run_id and r.tenant_id = l.tenant_id) desc
    limit 1;
    if not found then
        return;
    end if;
    if broken then
        broken := reactor.abandon(array[tenant_id], array[run_id], true, p_reason) = 1;
        if run_id is null then
            -- Its run was deleted, so there is nothing to fail.
            delete from public.agent_tenant_locks l where l.tenant_id = break_lock.tenant_id and l.run_id is null;
            broken := found;
            perform reactor.ring();
        end if;
    end if;
    return next;
end;
$$;

revoke all on function reactor.break_lock(uuid, text, boolean) from public;
grant execute on function reactor.break_lock(uuid, text, boolean) to reactor;
