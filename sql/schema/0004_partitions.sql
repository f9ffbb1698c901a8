-- One partition of a table that is partitioned by UUIDv7 id, for the ids made between two instants.
-- Called by reactor.ensure_partitions() and when a predecessor's table is adopted.
--
-- Partitions live in schema reactor, out of sight of the application, with row level security on and
-- without grants: the parent's policies would not guard a partition that is read directly.
--
-- The default partition may hold rows that belong into the new one: version 4 ids fall anywhere, and a
-- reactor that was off for months made no partitions. They are moved, with what refers to them, as long
-- as there are few; else they stay, and no partition is made for them.
create or replace function reactor.make_partition(
  p_parent regclass,
  p_name name,
  p_from timestamptz,
  p_to timestamptz,
  p_max_moved int default 10000
) returns boolean
  language plpgsql
  set search_path = ''
as $$
declare
  v_low constant uuid := reactor.uuid7_floor(p_from);
  v_high constant uuid := reactor.uuid7_floor(p_to);
  v_default regclass;
  v_ids uuid[];
  v_links jsonb[] := '{}';
  v_link record;
  v_kept jsonb;
begin
  if to_regclass(format('reactor.%I', p_name)) is not null then
    return false;
  end if;
  select nullif(partdefid, 0)::regclass into v_default from pg_catalog.pg_partitioned_table where partrelid = p_parent;

  if v_default is not null then
    execute format('select array_agg(id) from (select id from %s where id >= $1 and id < $2 limit $3) r', v_default)
      into v_ids using v_low, v_high, p_max_moved + 1;
    if cardinality(v_ids) > p_max_moved then
      raise warning 'no partition % of %: more than % rows of its time are in the default partition already',
        p_name, p_parent, p_max_moved;
      return false;
    end if;
  end if;

  execute format('create table reactor.%I (like %s including defaults including constraints including generated)',
                 p_name, p_parent);
  execute format('alter table reactor.%I enable row level security', p_name);
  execute format('revoke all on reactor.%I from public', p_name);

  if v_ids is not null then
    -- Remember who refers to the rows, let go of them, move, and refer again.
    for v_link in
      select c.conrelid::regclass as source, a.attname as link, k.attname as source_key
        from pg_catalog.pg_constraint c
        join pg_catalog.pg_attribute a on a.attrelid = c.conrelid and a.attnum = c.conkey[1]
        join pg_catalog.pg_index i on i.indrelid = c.conrelid and i.indisprimary and i.indnkeyatts = 1
        join pg_catalog.pg_attribute k on k.attrelid = c.conrelid and k.attnum = i.indkey[0]
       where c.contype = 'f' and c.confrelid = p_parent and c.conparentid = 0 and cardinality(c.conkey) = 1
    loop
      execute format(
        'with loose as (update %1$s s set %2$I = null from (select %3$I as k, %2$I as l from %1$s where %2$I = any ($1)) old
                         where s.%3$I = old.k returning old.k, old.l)
         select jsonb_agg(jsonb_build_array(k, l)) from loose',
        v_link.source, v_link.link, v_link.source_key) into v_kept using v_ids;
      if v_kept is not null then
        v_links := v_links || jsonb_build_object(
          'source', v_link.source, 'link', v_link.link, 'source_key', v_link.source_key, 'pairs', v_kept);
      end if;
    end loop;
    execute format('with moved as (delete from %s where id = any ($1) returning *) insert into reactor.%I select * from moved',
                   v_default, p_name) using v_ids;
  end if;

  execute format('alter table %s attach partition reactor.%I for values from (%L) to (%L)', p_parent, p_name, v_low, v_high);

  for v_link in select l ->> 'source' as source, l ->> 'link' as link, l ->> 'source_key' as source_key, l -> 'pairs' as pairs
                  from unnest(v_links) l loop
    execute format('update %s s set %I = (p.pair ->> 1)::uuid from jsonb_array_elements($1) p(pair) where s.%I::text = p.pair ->> 0',
                   v_link.source, v_link.link, v_link.source_key) using v_link.pairs;
  end loop;

  if (select relowner from pg_catalog.pg_class where oid = format('reactor.%I', p_name)::regclass) <> 'reactor_owner'::regrole then
    execute format('alter table reactor.%I owner to reactor_owner', p_name);
  end if;
  return true;
end
$$;
revoke all on function reactor.make_partition(regclass, name, timestamptz, timestamptz, int) from public;

-- Makes the partitions of one table from p_at on, by 'month' or 'week' (of UTC), and its default
-- partition. Returns how many it made.
create or replace function reactor.make_partitions(p_parent regclass, p_by text, p_ahead int, p_at timestamptz default clock_timestamp())
  returns int
  language plpgsql
  set search_path = ''
as $$
declare
  v_name constant name := (select relname from pg_catalog.pg_class where oid = p_parent);
  v_start timestamptz := date_trunc(p_by, p_at, 'UTC');
  v_step constant interval := ('1 ' || p_by)::interval;
  v_end timestamptz;
  v_made int := 0;
begin
  if p_by not in ('month', 'week') then
    raise exception 'partitions are by month or week, not by %', p_by using errcode = 'RX003';
  end if;
  if (select partdefid from pg_catalog.pg_partitioned_table where partrelid = p_parent) = 0 then
    execute format('create table reactor.%I partition of %s default', v_name || '_default', p_parent);
    execute format('alter table reactor.%I enable row level security', v_name || '_default');
    execute format('alter table reactor.%I owner to reactor_owner', v_name || '_default');
    v_made := v_made + 1;
  end if;
  for i in 0 .. p_ahead loop
    -- Months differ in length, so each bound is computed in UTC, from the calendar.
    v_end := ((v_start at time zone 'UTC') + v_step) at time zone 'UTC';
    if reactor.make_partition(
         p_parent,
         format('%s_%s', v_name, to_char(v_start at time zone 'UTC', case p_by when 'month' then 'YYYY_MM' else 'IYYY_"w"IW' end)),
         v_start, v_end) then
      v_made := v_made + 1;
    end if;
    v_start := v_end;
  end loop;
  return v_made;
end
$$;
revoke all on function reactor.make_partitions(regclass, text, int, timestamptz) from public;
