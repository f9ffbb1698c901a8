--! requires: now, require_leader
-- Makes the partitions that are about to be needed. Called by housekeeping at every turn, and cheap when
-- there is nothing to do. Returns how many it made. p_term NULL: by hand, not as the leader.
create or replace function reactor.ensure_partitions(p_term bigint default null, p_months int default 3, p_weeks int default 6) returns int
  language plpgsql security definer
  set search_path = ''
as $$
begin
  if p_term is not null then
    perform reactor.require_leader(p_term);
    -- Attaching one waits for whoever reads, a backup for hours, with claims in line behind it. They are
    -- made well ahead, so the next turn will do.
    perform set_config('lock_timeout', '500ms', true);
  end if;
  return reactor.make_partitions('public.agent_autonomous_runs', 'month', p_months, reactor.now())
       + reactor.make_partitions('public.email_provider_failures', 'week', p_weeks, reactor.now());
end
$$;
revoke all on function reactor.ensure_partitions(bigint, int, int) from public;
grant execute on function reactor.ensure_partitions(bigint, int, int) to reactor;
