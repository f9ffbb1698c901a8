--! requires: now
-- Which of these runs hold no lease any more; one of another tenant that names the run, as its users may have it, is
-- not the run's. Called by reactor.cut_off().
create or replace function reactor.leaseless(p_runs uuid[]) returns uuid[]
language sql volatile security definer set search_path = ''
begin atomic
    select coalesce(array_agg(r.id), '{}')
    from unnest(p_runs) as r (id)
    where not exists (
        select from public.agent_tenant_locks l
        join public.agent_autonomous_runs o on o.id = l.run_id and o.tenant_id = l.tenant_id
        where l.run_id = r.id and l.expires_at > reactor.now());
end;

revoke all on function reactor.leaseless(uuid[]) from public;
grant execute on function reactor.leaseless(uuid[]) to reactor;
