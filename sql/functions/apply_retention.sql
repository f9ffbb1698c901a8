--! requires: now, require_leader, drop_partitions
-- Forgets what is older than each table's time; NULL keeps for ever. A call removes at most p_limit rows of each
-- table, so that no transaction is long, and says for each whether there is more. Called by housekeeping
-- until there is not. p_term NULL: by hand, not as the leader.
create or replace function reactor.apply_retention(
  p_term bigint default null,
  p_limit int default 5000,
  p_runs interval default '90 days',
  p_violations interval default '90 days',
  p_email_failures interval default '30 days',
  p_reflections interval default '180 days',
  p_rate_limits interval default '2 days',
  p_alerts interval default '90 days'
) returns table (relation text, removed bigint, dropped int, more boolean)
  language plpgsql security definer
  set search_path = ''
as $$
declare
  v_rule record;
begin
  if p_limit is null or p_limit <= 0 then
    raise exception 'p_limit must be positive, not %', coalesce(p_limit::text, 'NULL') using errcode = 'RX003';
  end if;
  if p_term is not null then
    perform reactor.require_leader(p_term);
  end if;

  -- Rows that refer to runs go first, by their own time; what is left of them the runs let go of.
  for v_rule in
    select r.name, r.keep, r.condition
      from (values
        ('agent_hourly_reflections', p_reflections, 'created_at < $1'),
        ('agent_policy_violations', p_violations, 'created_at < $1'),
        ('agent_rate_limits', p_rate_limits, 'window_start < $1'),
        ('agent_alerts', p_alerts, 'acknowledged and created_at < $1')
      ) r (name, keep, condition)
     where r.keep is not null
  loop
    begin
      execute format('delete from public.%1$I where ctid = any (array(
                        select d.ctid from public.%1$I d where %2$s limit $2 for update skip locked))', v_rule.name, v_rule.condition)
        using reactor.now() - v_rule.keep, p_limit;
      get diagnostics removed = row_count;
    exception
    when insufficient_resources or transaction_rollback or lock_not_available then
      raise;
    when others then
      -- The application refuses it; the other tables, and the partitions, have theirs all the same.
      raise warning 'what is old of % cannot be deleted: %', v_rule.name, sqlerrm;
      removed := 0;
    end;
    relation := v_rule.name;
    dropped := 0;
    more := removed = p_limit;
    return next;
  end loop;

  if p_runs is not null then
    return query select 'agent_autonomous_runs', d.removed, d.dropped, d.more
                   from reactor.drop_partitions('public.agent_autonomous_runs', p_runs, p_limit) d;
  end if;
  if p_email_failures is not null then
    return query select 'email_provider_failures', d.removed, d.dropped, d.more
                   from reactor.drop_partitions('public.email_provider_failures', p_email_failures, p_limit) d;
  end if;
end
$$;
revoke all on function reactor.apply_retention(bigint, int, interval, interval, interval, interval, interval, interval) from public;
grant execute on function reactor.apply_retention(bigint, int, interval, interval, interval, interval, interval, interval) to reactor;
