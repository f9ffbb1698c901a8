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
  -- Each is a subtransaction, of which the server keeps few at hand.
  c_one_by_one constant int := 1000;
  v_rule record;
  v_ctid tid;
  v_refused int;
  v_why text;
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
      more := removed = p_limit;
    exception
    when insufficient_resources or transaction_rollback or lock_not_available then
      raise;
    when others then
      -- The application refuses one of them; the others go one by one, of all that are old any, so that no number of
      -- refused ones is in their way.
      removed := 0;
      v_refused := 0;
      for v_ctid in
        execute format('select d.ctid from public.%1$I d where %2$s order by random() limit $2 for update skip locked',
                       v_rule.name, v_rule.condition)
          using reactor.now() - v_rule.keep, least(p_limit, c_one_by_one)
      loop
        begin
          execute format('delete from public.%I where ctid = $1', v_rule.name) using v_ctid;
          removed := removed + 1;
        exception
        when insufficient_resources or transaction_rollback or lock_not_available then
          raise;
        when others then
          v_refused := v_refused + 1;
          v_why := sqlerrm;
        end;
      end loop;
      raise warning '% old rows of % cannot be deleted: %', v_refused, v_rule.name, v_why;
      more := removed > 0;
    end;
    relation := v_rule.name;
    dropped := 0;
    return next;
  end loop;

  for v_rule in
    select r.name, r.keep
      from (values ('agent_autonomous_runs', p_runs), ('email_provider_failures', p_email_failures)) r (name, keep)
     where r.keep is not null
  loop
    begin
      select d.removed, d.dropped, d.more into removed, dropped, more
        from reactor.drop_partitions(format('public.%I', v_rule.name)::regclass, v_rule.keep, p_limit) d;
    exception
    when insufficient_resources or transaction_rollback or lock_not_available then
      raise;
    when others then
      -- So may a row that refers to a run, which lets go of it before.
      raise warning 'what is old of % cannot be deleted: %', v_rule.name, sqlerrm;
      removed := 0;
      dropped := 0;
      more := false;
    end;
    relation := v_rule.name;
    return next;
  end loop;
end
$$;
revoke all on function reactor.apply_retention(bigint, int, interval, interval, interval, interval, interval, interval) from public;
grant execute on function reactor.apply_retention(bigint, int, interval, interval, interval, interval, interval, interval) to reactor;
