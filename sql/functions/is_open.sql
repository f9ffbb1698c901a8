-- Whether gated work may be done for a tenant: the whole system is on, the tenant is active and
-- its agent is enabled. What is no such word, or is not there, is a no. Called by
-- reactor.settle(); reactor.claim() and reactor.unpark() ask the same of many tenants at once.
create or replace function reactor.is_open(p_tenant uuid) returns boolean
language sql stable security definer set search_path = ''
begin atomic
    select exists (
        select from public.system_config c where c.key = 'agent_config' and c.value ->> 'global_enabled' = 'true')
        and exists (select from public.tenants t where t.id = p_tenant and t.is_active and t.agent_enabled);
end;

revoke all on function reactor.is_open(uuid) from public;
grant execute on function reactor.is_open(uuid) to reactor;
