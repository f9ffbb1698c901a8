--! requires: drop_other_signatures, only_executable_by, now, rescue
-- Takes a tenant's lease for a holder that is not a replica: the application's own jobs, a person's
-- script. (Replicas claim many at once.) Returns the new run's id, or NULL while another holds the lease.
--
-- SECURITY INVOKER, as all six: whose tenant it may be is decided by the caller's policies.

select reactor.drop_other_signatures('acquire_tenant_lock', array[
  'p_tenant_id uuid, p_lock_holder text, p_duration_minutes integer DEFAULT 60 → uuid']);

create or replace function public.acquire_tenant_lock(
  p_tenant_id uuid,
  p_lock_holder text,
  p_duration_minutes int default 60
) returns uuid
  language plpgsql
  set search_path = ''
as $$
declare
  v_run constant uuid := reactor.uuid7();
begin
  if p_tenant_id is null or p_lock_holder is null or p_lock_holder = '' then
    raise exception 'acquire_tenant_lock needs a tenant and the name of the holder' using errcode = 'RX003';
  end if;
  if p_duration_minutes is null or p_duration_minutes <= 0 then
    raise exception 'a lock must last at least a minute, not % minutes', coalesce(p_duration_minutes::text, 'NULL')
      using errcode = 'RX003';
  end if;

  -- One round, but for the rare race in which the lock that was in the way has run out by now.
  for v_round in 1 .. 3 loop
    -- The usual refusal touches nothing: a row lock here would make the holder's heartbeat wait.
    if exists (select from public.agent_tenant_locks l where l.tenant_id = p_tenant_id and l.expires_at > reactor.now()) then
      return null;
    end if;

    -- Until this transaction ends, claims pass this tenant over instead of waiting for it.
    perform pg_advisory_xact_lock(hashtextextended('reactor.lease ' || p_tenant_id::text, 0));

    -- A lease that has run out is ended as the engine ends it: its run is 'timeout', and what a dead
    -- replica had in flight is marked.
    perform from reactor.rescue(array[p_tenant_id]);

    -- The insert decides: of all who try, one is first. The run is written in the same statement, so
    -- it exists only if the lock was won, and the lock may refer to it.
    begin
      with won as (
        insert into public.agent_tenant_locks as l (tenant_id, run_id, locked_at, expires_at, lock_holder)
        values (p_tenant_id, v_run, reactor.now(), reactor.now() + make_interval(mins => p_duration_minutes), p_lock_holder)
        on conflict (tenant_id) do nothing
        returning l.run_id, l.locked_at
      )
      insert into public.agent_autonomous_runs (id, tenant_id, cycle_number, started_at, phase, status, trigger)
      select w.run_id, p_tenant_id,
             1 + coalesce((select max(r.cycle_number) from public.agent_autonomous_runs r
                            where r.tenant_id = p_tenant_id and r.trigger <> 'event'), 0),
             w.locked_at, 'plan', 'running', 'scheduled'
        from won w;
    exception
      when foreign_key_violation then
        raise exception 'there is no tenant %', p_tenant_id using errcode = 'RX003';
    end;
    if found then
      return v_run;
    end if;
  end loop;
  return null;
end
$$;

select reactor.only_executable_by('public.acquire_tenant_lock(uuid, text, int)', '{service_role,reactor,reactor_handler}');
-- It ends leases that ran out and nothing else, so whoever may take one may call it.
grant execute on function reactor.rescue(uuid[], int) to service_role, reactor_handler;
