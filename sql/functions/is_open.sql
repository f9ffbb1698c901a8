-- Whether gated work may be done for a tenant: the whole system is on, the tenant is active and
-- its agent is enabled. Called by reactor.claim(), reactor.settle() and reactor.unpark().
create or replace function reactor.is_open(p_tenant uuid) returns boolean
language sql stable security definer set search_path = ''
begin atomic
    select coalesce((c.value ->> 'global_enabled')::boolean, false)
        and exists (select from public.tenants t where t.id = p_tenant and t.is_active and t.agent_enabled)
    from public.system_config c
    where c.key = 'agent_config';
end;

revoke all on function reactor.is_open(uuid) from public;
grant execute on function reactor.is_open(uuid) to reactor;
