-- Rewrites agent_tenant_locks and reactor.in_flight as reactor.rotate() does the outbox, in the same transaction: a
-- lease leaves a dead row where an event does, and a claim passes those of its tenants.
--
-- p_live    with more leases than that they are left alone
-- Returns whether it did. False also when there is something of the application's that would notice: a trigger
-- of its own, or a publication. Raises lock_not_available when somebody holds them for longer than lock_timeout.
create or replace function reactor.rotate_leases(p_live int) returns boolean
language plpgsql security definer set search_path = ''
-- Each lease's foreign keys are checked as it is written again.
set plan_cache_mode = force_generic_plan
set enable_indexscan = on
set enable_seqscan = off
set jit = off
as $$
declare
    v_leases public.agent_tenant_locks[];
    v_notes reactor.in_flight[];
begin
    if exists (
            select from pg_catalog.pg_trigger t
            where t.tgrelid = 'public.agent_tenant_locks'::regclass and not t.tgisinternal)
        or exists (
            select from pg_catalog.pg_publication_tables p
            where (p.schemaname = 'public' and p.tablename = 'agent_tenant_locks')
                or (p.schemaname = 'reactor' and p.tablename = 'in_flight')) then
        return false;
    end if;
    lock table public.agent_tenant_locks, reactor.in_flight in access exclusive mode;
    v_leases := array(select l from public.agent_tenant_locks l limit p_live + 1);
    if cardinality(v_leases) > p_live then
        return false;
    end if;
    -- What a run had in flight that is over means nothing any more.
    v_notes := array(
        select f from unnest(v_leases) as l
        join reactor.in_flight f on f.tenant_id = l.tenant_id and f.run_id = l.run_id);
    truncate public.agent_tenant_locks, reactor.in_flight;
    insert into public.agent_tenant_locks select l.* from unnest(v_leases) as l order by l.tenant_id;
    insert into reactor.in_flight select f.* from unnest(v_notes) as f;
    return true;
end;
$$;

revoke all on function reactor.rotate_leases(int) from public;
