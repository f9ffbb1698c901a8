--! requires: drop_other_signatures, only_executable_by, now, ring
-- Gives back a lease that acquire_tenant_lock() took, and finishes its run. The run's id is the fence: one
-- that no longer holds the lease changes nothing, and false is returned.

select reactor.drop_other_signatures('release_tenant_lock', array[
  'p_tenant_id uuid, p_run_id uuid, p_status text DEFAULT ''completed''::text → boolean']);

create or replace function public.release_tenant_lock(
  p_tenant_id uuid,
  p_run_id uuid,
  p_status text default 'completed'
) returns boolean
  language plpgsql
  set search_path = ''
as $$
begin
  if p_tenant_id is null or p_run_id is null then
    raise exception 'release_tenant_lock needs a tenant and the id of the run that holds the lock' using errcode = 'RX003';
  end if;
  if p_status is null or p_status not in ('completed', 'failed', 'timeout') then
    raise exception 'a run ends as completed, failed or timeout, not as %', coalesce(p_status, 'NULL') using errcode = 'RX003';
  end if;

  delete from public.agent_tenant_locks l where l.tenant_id = p_tenant_id and l.run_id = p_run_id;
  if not found then
    return false;
  end if;

  update public.agent_autonomous_runs r
     set status = p_status,
         phase = case p_status when 'completed' then 'completed' else 'failed' end,
         completed_at = reactor.now(),
         -- It may have begun at any time: a tenant's users may write their own runs.
         duration_ms = case when isfinite(r.started_at) then
           least(extract(epoch from greatest(reactor.now() - r.started_at, interval '0')) * 1000, 2147483647)::int end
   where r.id = p_run_id and r.tenant_id = p_tenant_id and r.status = 'running';

  -- A replica may be asleep with events of this tenant that the lease held up.
  perform reactor.ring();
  return true;
end
$$;

select reactor.only_executable_by('public.release_tenant_lock(uuid, uuid, text)', '{service_role,reactor,reactor_handler}');
