--! requires: drop_other_signatures, only_executable_by, now
-- Lengthens a lease that has not run out. The first form is the contract's, and trusts the caller to be
-- the holder; the second is fenced by the run's id. Its minutes have no default on purpose: with one, the
-- call extend_tenant_lock($1, $2) with parameters of unknown type would be ambiguous.

select reactor.drop_other_signatures('extend_tenant_lock', array[
  'p_tenant_id uuid, p_additional_minutes integer DEFAULT 30 → boolean',
  'p_tenant_id uuid, p_run_id uuid, p_additional_minutes integer → boolean']);

create or replace function public.extend_tenant_lock(
  p_tenant_id uuid,
  p_additional_minutes int default 30
) returns boolean
  language plpgsql
  set search_path = ''
as $$
begin
  if p_tenant_id is null or p_additional_minutes is null or p_additional_minutes <= 0 then
    raise exception 'extend_tenant_lock needs a tenant and a positive number of minutes' using errcode = 'RX003';
  end if;
  update public.agent_tenant_locks l
     set expires_at = l.expires_at + make_interval(mins => p_additional_minutes)
   where l.tenant_id = p_tenant_id and l.expires_at > reactor.now();
  return found;
end
$$;

create or replace function public.extend_tenant_lock(
  p_tenant_id uuid,
  p_run_id uuid,
  p_additional_minutes int
) returns boolean
  language plpgsql
  set search_path = ''
as $$
begin
  if p_tenant_id is null or p_run_id is null or p_additional_minutes is null or p_additional_minutes <= 0 then
    raise exception 'extend_tenant_lock needs a tenant, a run and a positive number of minutes' using errcode = 'RX003';
  end if;
  update public.agent_tenant_locks l
     set expires_at = l.expires_at + make_interval(mins => p_additional_minutes)
   where l.tenant_id = p_tenant_id and l.run_id = p_run_id and l.expires_at > reactor.now();
  return found;
end
$$;

select reactor.only_executable_by('public.extend_tenant_lock(uuid, int)', '{service_role,reactor,reactor_handler}');
select reactor.only_executable_by('public.extend_tenant_lock(uuid, uuid, int)', '{service_role,reactor,reactor_handler}');
