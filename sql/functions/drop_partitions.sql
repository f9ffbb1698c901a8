--! requires: now, let_go
-- Retention of a table that is partitioned by UUIDv7 id: drops partitions that are wholly older than p_keep, and
-- deletes old rows of the default partition. A call changes at most p_limit rows of each table; "more" says
-- whether to call again. Called by reactor.apply_retention().
create or replace function reactor.drop_partitions(p_parent regclass, p_keep interval, p_limit int)
  returns table (removed bigint, dropped int, more boolean)
  language plpgsql
  set search_path = ''
as $$
declare
  v_cutoff constant timestamptz := reactor.now() - p_keep;
  v_part record;
  v_rows bigint;
  v_young boolean;
begin
  removed := 0;
  dropped := 0;
  more := false;

  for v_part in
    select b.name, b.bounds[1]::uuid as low, b.bounds[2]::uuid as high
      from (select c.oid::regclass as name,
                   regexp_match(pg_get_expr(c.relpartbound, c.oid), 'FROM [(]''([0-9a-f-]+)''[)] TO [(]''([0-9a-f-]+)''[)]') as bounds
              from pg_catalog.pg_inherits i join pg_catalog.pg_class c on c.oid = i.inhrelid
             where i.inhparent = p_parent) b
     where b.bounds is not null and reactor.uuid7_time(b.bounds[2]::uuid) <= v_cutoff
     order by high
  loop
    -- An id of version 4 says nothing of time: a young row may have fallen in here. It ages. One that claims to be made
    -- in days to come, as a tenant's users may write, would keep all tenants' rows for as long.
    execute format('select exists (select from %s where created_at >= $1 and created_at < $2)', v_part.name)
      into v_young using v_cutoff, reactor.now() + interval '1 day';
    continue when v_young;

    v_rows := reactor.let_go(p_parent, v_part.low, v_part.high, p_limit);
    continue when v_rows is null;
    removed := removed + v_rows;
    if v_rows > 0 then
      more := true;  -- perhaps not all of them yet; the next call drops it if they were
      exit;
    end if;

    -- Detaching locks the whole table: better another time than to make everybody queue up behind us.
    begin
      perform set_config('lock_timeout', '1s', true);
      execute format('alter table %s detach partition %s', p_parent, v_part.name);
      execute format('drop table %s', v_part.name);
      perform set_config('lock_timeout', '0', true);
      dropped := dropped + 1;
    exception
      when lock_not_available or foreign_key_violation then
        more := true;
        exit;
    end;
  end loop;

  execute format('delete from %1$s where ctid = any (array(
                    select d.ctid from %1$s d where d.created_at < $1 limit $2 for update skip locked))',
                 (select partdefid::regclass from pg_catalog.pg_partitioned_table where partrelid = p_parent))
    using v_cutoff, p_limit;
  get diagnostics v_rows = row_count;
  removed := removed + v_rows;
  more := more or v_rows = p_limit;
  return next;
end
$$;
revoke all on function reactor.drop_partitions(regclass, interval, int) from public;
