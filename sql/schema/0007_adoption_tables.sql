-- Tools of adoption, the last: a whole table, and one that becomes partitioned.

-- An unpartitioned predecessor of a partitioned table: the blueprint takes its place, and everything the
-- old table had goes over, rows with their ids, what refers to them, and what the application added.
create or replace function reactor.adopt_into_partitions(p_name name, p_by text, p_ahead int, p_words jsonb) returns void
  language plpgsql
  set search_path = ''
as $$
declare
  v_old constant regclass := format('public.%I', p_name)::regclass;
  v_new constant regclass := format('reactor_blueprint.%I', p_name)::regclass;
  v_columns constant name[] := array(select c.name from reactor.adopt_columns(v_new) c);
  v_thing record;
  v_list text;
  v_after text[] := '{}';
  v_checks text[] := '{}';
  v_line text;
begin
  perform reactor.adopt_stash_views(v_old);
  perform reactor.adopt_unbind(v_old, v_new);
  perform reactor.adopt_reshape(v_old, v_new);
  perform reactor.adopt_words(v_old, p_words);

  -- What is to be made again on the new table, written down while the old one still has the name.
  for v_thing in
    select c.conrelid::regclass as source, c.conname, pg_get_constraintdef(c.oid) as definition
      from pg_catalog.pg_constraint c where c.contype = 'f' and c.confrelid = v_old and c.conparentid = 0 and c.conrelid <> v_old
  loop
    v_after := v_after || format('alter table %s add constraint %I %s', v_thing.source, v_thing.conname, v_thing.definition);
    execute format('alter table %s drop constraint %I', v_thing.source, v_thing.conname);
  end loop;
  select v_after || coalesce(array_agg(pg_get_triggerdef(t.oid)), '{}') into v_after
    from pg_catalog.pg_trigger t where t.tgrelid = v_old and not t.tgisinternal;
  select v_after || coalesce(array_agg(pg_get_indexdef(i.indexrelid)), '{}') into v_after
    from pg_catalog.pg_index i join pg_catalog.pg_class k on k.oid = i.indexrelid
   where i.indrelid = v_old and not exists (select from pg_catalog.pg_constraint c where c.conindid = i.indexrelid and c.contype in ('p', 'u', 'x'))
     and k.relname not in (select w.name from reactor.adopt_rules(v_new, v_columns) w);
  select v_after || coalesce(array_agg(format('alter table public.%I add constraint %I %s', p_name, e.name, e.definition)), '{}') into v_after
    from reactor.adopt_rules(v_old, v_columns) e where e.kind in ('c', 'f', 'u') and not e.ours;
  select v_after || coalesce(array_agg(format(
           'create policy %I on public.%I as %s for %s to %s%s%s', p.policyname, p_name, p.permissive, p.cmd,
           (select string_agg(case when r = 'public' then r else quote_ident(r) end, ', ') from unnest(p.roles) r),
           coalesce(' using (' || p.qual || ')', ''), coalesce(' with check (' || p.with_check || ')', ''))), '{}') into v_after
    from pg_catalog.pg_policies p where p.schemaname = 'public' and p.tablename = p_name;
  select v_after || coalesce(array_agg(format('grant %s on public.%I to %s', a.privilege_type, p_name,
           case when a.grantee = 0 then 'public' else quote_ident(pg_get_userbyid(a.grantee)) end)), '{}') into v_after
    from pg_catalog.pg_class c, aclexplode(c.relacl) a where c.oid = v_old and a.grantee <> c.relowner;
  select v_after || coalesce(array_agg(format('alter publication %I add table public.%I', p.pubname, p_name)), '{}') into v_after
    from pg_catalog.pg_publication_rel r join pg_catalog.pg_publication p on p.oid = r.prpubid where r.prrelid = v_old;

  execute format('alter table %s set schema reactor_predecessor', v_old);
  execute format('alter table %s set schema public', v_new);

  for v_thing in
    select e.name, e.type, e.generated, e.expression, pg_get_serial_sequence(v_old::text, e.name) as sequence
      from reactor.adopt_columns(v_old) e where e.name <> all (v_columns) order by e.number
  loop
    if v_thing.sequence is not null then
      -- An owned sequence went along with its table, and cannot come back while it is owned.
      execute format('alter sequence %s owned by none', v_thing.sequence);
      execute format('alter sequence %s set schema public', v_thing.sequence);
      select e.expression into v_thing.expression from reactor.adopt_columns(v_old) e where e.name = v_thing.name;
    end if;
    execute format('alter table %s add column %I %s%s', v_new, v_thing.name, v_thing.type,
      case when v_thing.generated <> '' then format(' generated always as (%s) stored', v_thing.expression)
           else coalesce(' default ' || v_thing.expression, '') end);
    if v_thing.sequence is not null then
      execute format('alter sequence public.%I owned by %s.%I', (parse_ident(v_thing.sequence))[2], v_new, v_thing.name);
    end if;
  end loop;

  perform reactor.make_partitions(v_new, p_by, p_ahead);

  -- Rows the new table would refuse: orphans go as its foreign keys say, odd values stay and bind new rows only.
  for v_thing in select c.oid, c.conname, c.contype, pg_get_constraintdef(c.oid) as definition from pg_catalog.pg_constraint c
                  where c.conrelid = v_new and c.contype in ('c', 'f') loop
    if v_thing.contype = 'f' then
      perform reactor.adopt_orphans(v_old, v_thing.oid);
    else
      v_checks := v_checks || format('alter table %s add constraint %I %s', v_new, v_thing.conname, v_thing.definition);
      execute format('alter table %s drop constraint %I', v_new, v_thing.conname);
    end if;
  end loop;
  select string_agg(quote_ident(e.name), ', ' order by e.number) into v_list from reactor.adopt_columns(v_old) e where e.generated = '';
  execute format('insert into %s (%s) select %2$s from %3$s', v_new, v_list, v_old);
  foreach v_line in array v_checks loop
    begin
      execute v_line;
    exception when check_violation then
      raise warning 'adopting %: older rows fail a constraint, it binds new rows only: %', p_name, v_line;
      execute v_line || ' not valid';
    end;
  end loop;

  execute format('drop table %s', v_old);
  foreach v_line in array v_after loop
    begin
      execute v_line;
    exception when others then
      raise warning 'adopting %: this could not be carried over (%): %', p_name, sqlerrm, v_line;
      insert into reactor.adoption_archive (table_name, reason, content)
      values (p_name, sqlerrm, jsonb_build_object('definition', v_line));
    end;
  end loop;
end
$$;

-- Makes public.p_name what reactor_blueprint.p_name is. Called at the end of each table's file.
create or replace function reactor.adopt_table(p_name name, p_by text default null, p_ahead int default 0, p_words jsonb default '{}')
  returns void
  language plpgsql
  set search_path = ''
as $$
declare
  v_old constant regclass := to_regclass(format('public.%I', p_name));
  v_new constant regclass := format('reactor_blueprint.%I', p_name)::regclass;
  v_options text;
begin
  if v_old is null then
    execute format('alter table %s set schema public', v_new);
    if p_by is not null then
      perform reactor.make_partitions(v_new, p_by, p_ahead);
    end if;
  elsif p_by is not null and coalesce(pg_get_partkeydef(v_old), '') <> pg_get_partkeydef(v_new) then
    perform reactor.adopt_into_partitions(p_name, p_by, p_ahead, p_words);
  else
    perform reactor.adopt_unbind(v_old, v_new);
    perform reactor.adopt_reshape(v_old, v_new);
    perform reactor.adopt_words(v_old, p_words);
    perform reactor.adopt_bind(v_old, v_new);
    select array_to_string(c.reloptions, ', ') into v_options from pg_catalog.pg_class c where c.oid = v_new;
    if v_options is not null then
      execute format('alter table %s set (%s)', v_old, v_options);
    end if;
    execute format('drop table %s', v_new);
    if p_by is not null then
      perform reactor.make_partitions(v_old, p_by, p_ahead);
    end if;
  end if;
  perform reactor.adopt_restore_views();
end
$$;
