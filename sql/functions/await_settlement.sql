-- Trigger function: who deletes a tenant takes its lease first, then its run with all else that is the tenant's, in the
-- order in which a run ends. By the foreign keys alone the run would come first: a settlement that has the lease by then
-- and goes on to its run, and the deletion that has the run and goes on to the lease, would be a deadlock. Costs nobody
-- who deletes no tenant.
create or replace function reactor.await_settlement() returns trigger
language plpgsql security definer set search_path = ''
as $$
begin
    perform from public.agent_tenant_locks l where l.tenant_id = old.id for update;
    return old;
end;
$$;

revoke all on function reactor.await_settlement() from public;
