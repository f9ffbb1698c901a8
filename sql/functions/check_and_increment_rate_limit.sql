--! requires: drop_other_signatures, only_executable_by, now
-- May the tenant do this once more within the hour? Called by the policies before an action. The hour is
-- the server's, in UTC, so it is the same one for every session whatever its time zone.
--
-- Callers for one window stand in line at its row until the first one's transaction ends: of any number at
-- once exactly p_max_allowed get true. A call that is refused, or rolled back, does not count.

select reactor.drop_other_signatures('check_and_increment_rate_limit', array[
  'p_tenant_id uuid, p_action_type text, p_max_allowed integer → boolean']);

create or replace function public.check_and_increment_rate_limit(
  p_tenant_id uuid,
  p_action_type text,
  p_max_allowed int
) returns boolean
  language plpgsql
  set search_path = ''
as $$
declare
  v_window constant timestamptz := date_trunc('hour', reactor.now(), 'UTC');
begin
  if p_tenant_id is null or p_action_type is null or p_action_type = '' or p_max_allowed is null then
    raise exception 'check_and_increment_rate_limit needs a tenant, an action and a limit' using errcode = 'RX003';
  end if;
  if p_max_allowed <= 0 then
    return false;
  end if;

  -- Once the limit is reached it stays reached, so a refusal need not wait for anybody.
  if exists (
    select from public.agent_rate_limits r
     where r.tenant_id = p_tenant_id and r.action_type = p_action_type and r.window_start = v_window
       and r.action_count >= p_max_allowed
  ) then
    return false;
  end if;

  insert into public.agent_rate_limits as r (tenant_id, action_type, window_start, window_end, action_count)
  values (p_tenant_id, p_action_type, v_window, v_window + interval '1 hour', 1)
  on conflict (tenant_id, action_type, window_start) do update
    set action_count = r.action_count + 1
    where r.action_count < p_max_allowed;
  return found;
end
$$;

select reactor.only_executable_by('public.check_and_increment_rate_limit(uuid, text, int)',
                                  '{service_role,reactor,reactor_handler}');
