-- Tools for databases that have some of the contract's tables already, in an older shape.
--
-- Each table file that follows creates its table as a blueprint, in schema reactor_blueprint, and calls
-- reactor.adopt_table(). Where the table is absent the blueprint becomes it. Where it exists, it is
-- brought to the blueprint's shape from the catalogue, so that the shape is written down once and any
-- older one is reconciled, not only those somebody thought of. What the application added (columns,
-- indexes, triggers, policies, views, grants) stays; a row that cannot stay (it refers to a client that
-- is gone, say) is kept in reactor.adoption_archive. 0099 drops the tools.

create schema if not exists reactor_blueprint;
create schema if not exists reactor_predecessor;

create table if not exists reactor.adoption_archive (
  id bigint generated always as identity primary key,
  table_name text not null,
  tenant_id uuid references public.tenants (id) on delete cascade,
  reason text not null,
  content jsonb not null,
  archived_at timestamptz not null default now()
);
create index if not exists adoption_archive_tenant_id_idx on reactor.adoption_archive (tenant_id);
alter table reactor.adoption_archive enable row level security;
comment on table reactor.adoption_archive is
  'Rows and definitions of an adopted database that could not be carried over, as they were.';

-- Copies the rows of p_table t that meet the condition into the archive; the caller then deletes or mends them.
create or replace function reactor.adopt_archive(p_table regclass, p_condition text, p_reason text) returns bigint
  language plpgsql
  set search_path = ''
as $$
declare
  v_rows bigint;
begin
  execute format(
    'insert into reactor.adoption_archive (table_name, tenant_id, reason, content)
     select %L, (select e.id from public.tenants e where e.id::text = to_jsonb(t) ->> ''tenant_id''), %L, to_jsonb(t)
       from %s t where %s',
    (select relname from pg_catalog.pg_class where oid = p_table), p_reason, p_table, p_condition);
  get diagnostics v_rows = row_count;
  if v_rows > 0 then
    raise warning 'adopting %: % row(s) archived in reactor.adoption_archive (%)', p_table, v_rows, p_reason;
  end if;
  return v_rows;
end
$$;

-- Views stand in the way of changing a column. They are taken down, with all that depends on them, and
-- put up again by adopt_restore_views(); a session-local table remembers them in between.
create or replace function reactor.adopt_stash_views(p_table regclass) returns void
  language plpgsql
  set search_path = ''
as $$
declare
  v_view record;
begin
  create temporary table if not exists adopted_views (
    place bigint generated always as identity, name text, kind "char", definition text, options text[], owner name,
    grants jsonb, indexes text[]
  ) on commit drop;

  for v_view in
    with recursive up (oid, depth) as (
      select p_table::oid, 0
      union all
      select r.ev_class, up.depth + 1
        from up
        join pg_catalog.pg_depend d on d.refobjid = up.oid and d.refclassid = 'pg_catalog.pg_class'::regclass
        join pg_catalog.pg_rewrite r on r.oid = d.objid and d.classid = 'pg_catalog.pg_rewrite'::regclass
       where r.ev_class <> up.oid
    ), deepest as (
      select oid, max(depth) as depth from up where depth > 0 group by oid
    )
    select c.oid, format('%I.%I', n.nspname, c.relname) as name, c.relkind, pg_get_viewdef(c.oid) as definition,
           c.reloptions, pg_get_userbyid(c.relowner) as owner,
           (select jsonb_agg(jsonb_build_object('who', case when a.grantee = 0 then 'public' else quote_ident(pg_get_userbyid(a.grantee)) end,
                                                'what', a.privilege_type))
              from aclexplode(c.relacl) a where a.grantee <> c.relowner) as grants,
           array(select pg_get_indexdef(i.indexrelid) from pg_catalog.pg_index i where i.indrelid = c.oid) as indexes
      from deepest join pg_catalog.pg_class c on c.oid = deepest.oid
      join pg_catalog.pg_namespace n on n.oid = c.relnamespace
     where c.relkind in ('v', 'm')
     order by deepest.depth
  loop
    insert into pg_temp.adopted_views (name, kind, definition, options, owner, grants, indexes)
    values (v_view.name, v_view.relkind, v_view.definition, v_view.reloptions, v_view.owner, v_view.grants, v_view.indexes);
  end loop;

  for v_view in select name, kind from pg_temp.adopted_views order by place desc loop
    if to_regclass(v_view.name) is not null then
      execute format('drop %s %s', case v_view.kind when 'm' then 'materialized view' else 'view' end, v_view.name);
    end if;
  end loop;
end
$$;

create or replace function reactor.adopt_restore_views() returns void
  language plpgsql
  set search_path = ''
as $$
declare
  v_view record;
  v_line text;
  v_grant jsonb;
begin
  if to_regclass('pg_temp.adopted_views') is null then
    return;
  end if;
  for v_view in select * from pg_temp.adopted_views order by place loop
    begin
      execute format('create %s %s %s as %s', case v_view.kind when 'm' then 'materialized view' else 'view' end, v_view.name,
                     coalesce('with (' || array_to_string(v_view.options, ', ') || ')', ''), v_view.definition);
      foreach v_line in array v_view.indexes loop
        execute v_line;
      end loop;
      for v_grant in select jsonb_array_elements(v_view.grants) loop
        execute format('grant %s on %s to %s', v_grant ->> 'what', v_view.name, v_grant ->> 'who');
      end loop;
      if v_view.owner <> current_user then
        execute format('alter %s %s owner to %I', case v_view.kind when 'm' then 'materialized view' else 'view' end,
                       v_view.name, v_view.owner);
      end if;
    exception when others then
      raise warning 'view % does not fit the tables any more (%): its definition is in reactor.adoption_archive',
        v_view.name, sqlerrm;
      insert into reactor.adoption_archive (table_name, reason, content)
      values (v_view.name, format('the view could not be made again: %s', sqlerrm),
              jsonb_build_object('definition', v_view.definition, 'grants', v_view.grants));
    end;
  end loop;
  delete from pg_temp.adopted_views;
end
$$;

-- The columns of a table, comparable between blueprint and predecessor.
create or replace function reactor.adopt_columns(p_table regclass)
  returns table (name name, number smallint, type text, base text, not_null boolean, generated "char", expression text)
  language sql stable
  set search_path = ''
begin atomic
  select a.attname, a.attnum, format_type(a.atttypid, a.atttypmod), format_type(a.atttypid, null), a.attnotnull, a.attgenerated,
         pg_get_expr(d.adbin, d.adrelid)
    from pg_catalog.pg_attribute a
    left join pg_catalog.pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
   where a.attrelid = p_table and a.attnum > 0 and not a.attisdropped;
end;

-- Constraints and indexes of a table, with the table's own name taken out of their text, and whether
-- they speak of the blueprint's columns alone.
create or replace function reactor.adopt_rules(p_table regclass, p_columns name[])
  returns table (name name, kind "char", definition text, ours boolean, is_unique boolean, oid oid)
  language sql stable
  set search_path = ''
begin atomic
  select c.conname, c.contype, pg_get_constraintdef(c.oid),
         c.conkey is not null and not exists (
           select from pg_catalog.pg_attribute a
            where a.attrelid = p_table and a.attnum = any (c.conkey) and a.attname <> all (p_columns)),
         c.contype in ('p', 'u'), c.oid
    from pg_catalog.pg_constraint c
   where c.conrelid = p_table and c.contype in ('c', 'f', 'p', 'u') and c.conparentid = 0
  union all
  select k.relname, 'i', regexp_replace(pg_get_indexdef(i.indexrelid), '^CREATE (UNIQUE )?INDEX \S+ ON (ONLY )?\S+ ', '\1'),
         not exists (
           select from pg_catalog.pg_attribute a
            where a.attrelid = p_table and a.attnum = any (i.indkey::smallint[]) and a.attnum > 0 and a.attname <> all (p_columns)),
         i.indisunique, i.indexrelid
    from pg_catalog.pg_index i
    join pg_catalog.pg_class k on k.oid = i.indexrelid
   where i.indrelid = p_table
     and not exists (select from pg_catalog.pg_constraint c where c.conindid = i.indexrelid and c.contype in ('p', 'u', 'x'));
end;

-- Rows that a foreign key of the blueprint would refuse: as the key says, let go of what is gone, or go with it.
create or replace function reactor.adopt_orphans(p_table regclass, p_constraint oid) returns void
  language plpgsql
  set search_path = ''
as $$
declare
  v_target regclass;
  v_action "char";
  v_column name;
  v_key name;
  v_orphan text;
begin
  select c.confrelid::regclass, c.confdeltype, a.attname, k.attname into v_target, v_action, v_column, v_key
    from pg_catalog.pg_constraint c
    join pg_catalog.pg_attribute a on a.attrelid = c.conrelid and a.attnum = c.conkey[1]
    join pg_catalog.pg_attribute k on k.attrelid = c.confrelid and k.attnum = c.confkey[1]
   where c.oid = p_constraint;
  v_orphan := format('t.%1$I is not null and not exists (select from %2$s r where r.%3$I = t.%1$I)', v_column, v_target, v_key);
  if reactor.adopt_archive(p_table, v_orphan, format('%s refers to a row of %s that does not exist', v_column, v_target)) > 0 then
    if v_action = 'n' then
      execute format('update %s t set %I = null where %s', p_table, v_column, v_orphan);
    else
      execute format('delete from %s t where %s', p_table, v_orphan);
    end if;
  end if;
end
$$;

-- Rows that a unique key of the blueprint would refuse: of those with the same key the one that was used last
-- stays, what refers to the others refers to it, and the others go to the archive.
create or replace function reactor.adopt_distinct(p_table regclass, p_blueprint_index regclass) returns void
  language plpgsql
  set search_path = ''
as $$
declare
  v_key text;
  v_within text;
  v_link record;
begin
  select string_agg(format('t.%I', a.attname), ', ' order by array_position(i.indkey::smallint[], a.attnum)),
         coalesce(max(pg_get_expr(i.indpred, i.indrelid)), 'true')
           || string_agg(format(' and t.%I is not null', a.attname), '')
    into v_key, v_within
    from pg_catalog.pg_index i
    join pg_catalog.pg_attribute a on a.attrelid = i.indrelid and a.attnum = any (i.indkey::smallint[])
   where i.indexrelid = p_blueprint_index;

  create temporary table surplus_rows (place tid, id text, kept text) on commit drop;
  execute format($sql$
    insert into pg_temp.surplus_rows
    select d.place, d.id, d.kept
      from (select t.ctid as place, to_jsonb(t) ->> 'id' as id,
                   first_value(to_jsonb(t) ->> 'id') over used as kept, row_number() over used as nth
              from %s t where %s
            window used as (partition by %s order by
              coalesce(to_jsonb(t) ->> 'expires_at', to_jsonb(t) ->> 'last_touch_at', to_jsonb(t) ->> 'processed_at',
                       to_jsonb(t) ->> 'updated_at', to_jsonb(t) ->> 'queued_at', to_jsonb(t) ->> 'created_at') desc nulls last,
              t.ctid desc)) d
     where d.nth > 1
  $sql$, p_table, v_within, v_key);

  if exists (select from pg_temp.surplus_rows) then
    for v_link in
      select c.conrelid::regclass as source, a.attname as link, format_type(a.atttypid, a.atttypmod) as type
        from pg_catalog.pg_constraint c
        join pg_catalog.pg_attribute a on a.attrelid = c.conrelid and a.attnum = c.conkey[1]
       where c.contype = 'f' and c.confrelid = p_table and c.conparentid = 0 and cardinality(c.conkey) = 1
    loop
      execute format('update %s s set %2$I = r.kept::%3$s from pg_temp.surplus_rows r where s.%2$I::text = r.id',
                     v_link.source, v_link.link, v_link.type);
    end loop;
    perform reactor.adopt_archive(p_table, 't.ctid in (select r.place from pg_temp.surplus_rows r)',
                                  format('another row with the same %s was used later', replace(v_key, 't.', '')));
    execute format('delete from %s t where t.ctid in (select r.place from pg_temp.surplus_rows r)', p_table);
  end if;
  drop table pg_temp.surplus_rows;
end
$$;

-- Says in the contract's words what older rows say in others: p_words is {column: {old: new}}. The rows are
-- archived as they were. (A CHECK that does not cover them would also refuse to update them.)
create or replace function reactor.adopt_words(p_table regclass, p_words jsonb) returns void
  language plpgsql
  set search_path = ''
as $$
declare
  v_word record;
  v_odd text;
begin
  for v_word in select c.key as name, c.value as words from jsonb_each(p_words) c loop
    v_odd := format('%L::jsonb ? lower(t.%I) ', v_word.words, v_word.name);
    if reactor.adopt_archive(p_table, v_odd, format('an older word for %s', v_word.name)) > 0 then
      execute format('update %s t set %2$I = %3$L::jsonb ->> lower(t.%2$I) where %4$s', p_table, v_word.name, v_word.words, v_odd);
    end if;
  end loop;
end
$$;

-- Text that becomes jsonb: what it says if it is JSON, else itself as a string.
create or replace function reactor.adopt_json(p_text text) returns jsonb
  language plpgsql immutable
  set search_path = ''
as $$
begin
  return p_text::jsonb;
exception when others then
  return to_jsonb(p_text);
end
$$;

-- Gives p_old the columns of the blueprint p_new: missing ones are added, types, defaults, nullability and
-- generation follow the blueprint. A further column that the reactor would have to fill becomes nullable.
create or replace function reactor.adopt_reshape(p_old regclass, p_new regclass) returns void
  language plpgsql
  set search_path = ''
as $$
declare
  v_column record;
  v_fill text;
  v_most numeric;
begin
  if exists (
    select from reactor.adopt_columns(p_new) w join reactor.adopt_columns(p_old) e on e.name = w.name
     where e.type <> w.type or e.generated <> w.generated or (w.generated <> '' and e.expression <> w.expression)
  ) then
    perform reactor.adopt_stash_views(p_old);
  end if;

  for v_column in
    select w.name, w.type, w.base, w.not_null, w.generated, w.expression, e.name is not null as known, e.type as old_type, e.base as old_base,
           e.not_null as old_not_null, e.generated as old_generated, e.expression as old_expression
      from reactor.adopt_columns(p_new) w left join reactor.adopt_columns(p_old) e on e.name = w.name
     order by (w.generated <> ''), w.number
  loop
    if v_column.generated <> '' then
      if v_column.known and v_column.old_generated = v_column.generated and v_column.old_expression = v_column.expression then
        continue;
      end if;
      if v_column.known then
        execute format('alter table %s drop column %I', p_old, v_column.name);
      end if;
      execute format('alter table %s add column %I %s generated always as (%s) stored', p_old, v_column.name, v_column.type, v_column.expression);
      continue;
    end if;

    if not v_column.known then
      execute format('alter table %s add column %I %s%s', p_old, v_column.name, v_column.type, coalesce(' default ' || v_column.expression, ''));
    else
      if v_column.old_generated <> '' then
        execute format('alter table %s alter column %I drop expression', p_old, v_column.name);
      end if;
      if v_column.old_type <> v_column.type then
        execute format('alter table %s alter column %I drop default', p_old, v_column.name);
        -- Numbers that do not fit the narrower type are cut to its largest, with the row in the archive.
        v_most := case v_column.type when 'integer' then 2147483647 when 'numeric(5,2)' then 999.99 end;
        if v_column.old_base not in ('bigint', 'numeric', 'real', 'double precision') then
          v_most := null;
        end if;
        if v_most is not null then
          perform reactor.adopt_archive(p_old, format('abs(t.%I) > %s', v_column.name, v_most),
                                        format('%s does not fit %s', v_column.name, v_column.type));
        end if;
        execute format('alter table %s alter column %2$I type %3$s using %4$s', p_old, v_column.name, v_column.type,
          case
            when v_most is not null
              then format('least(greatest(%I, -%s), %2$s)::%3$s', v_column.name, v_most, v_column.type)
            when v_column.old_base = 'timestamp without time zone' and v_column.base = 'timestamp with time zone'
              then format('%I at time zone ''UTC''', v_column.name)
            when v_column.base = 'jsonb' and v_column.old_base not in ('json', 'jsonb') then format('reactor.adopt_json(%I::text)', v_column.name)
            when v_column.old_base = v_column.base or v_column.base = 'text' then format('%I::%s', v_column.name, v_column.type)
            else format('%I::text::%s', v_column.name, v_column.type)
          end);
        v_column.old_expression := null;
      end if;
      if v_column.expression is distinct from v_column.old_expression then
        execute format('alter table %s alter column %I %s', p_old, v_column.name, coalesce('set default ' || v_column.expression, 'drop default'));
      end if;
    end if;

    if v_column.not_null and not coalesce(v_column.old_not_null, false) then
      v_fill := coalesce(v_column.expression,
                         case v_column.base when 'text' then '''unknown''' when 'timestamp with time zone' then 'now()' end);
      if v_fill is null then
        perform reactor.adopt_archive(p_old, format('t.%I is null', v_column.name), format('%s is missing', v_column.name));
        execute format('delete from %s where %I is null', p_old, v_column.name);
      else
        execute format('update %s set %2$I = %3$s where %2$I is null', p_old, v_column.name, v_fill);
      end if;
      execute format('alter table %s alter column %I set not null', p_old, v_column.name);
    elsif not v_column.not_null and coalesce(v_column.old_not_null, false) then
      execute format('alter table %s alter column %I drop not null', p_old, v_column.name);
    end if;
  end loop;

  for v_column in
    select e.name from reactor.adopt_columns(p_old) e
     where e.not_null and e.expression is null
       and e.name not in (select w.name from reactor.adopt_columns(p_new) w)
       and not exists (select from pg_catalog.pg_attribute a where a.attrelid = p_old and a.attname = e.name and a.attidentity <> '')
       and not exists (select from pg_catalog.pg_index i join pg_catalog.pg_attribute a on a.attrelid = p_old and a.attnum = any (i.indkey::smallint[])
                        where i.indrelid = p_old and i.indisprimary and a.attname = e.name)
  loop
    raise warning 'adopting %: column % becomes nullable, the reactor does not fill it', p_old, v_column.name;
    execute format('alter table %s alter column %I drop not null', p_old, v_column.name);
  end loop;
end
$$;

-- Takes from p_old the constraints and unique indexes that speak of the blueprint's columns and differ
-- from the blueprint's: a narrower CHECK or a wider UNIQUE would refuse what the contract allows.
create or replace function reactor.adopt_unbind(p_old regclass, p_new regclass) returns void
  language plpgsql
  set search_path = ''
as $$
declare
  v_columns constant name[] := array(select c.name from reactor.adopt_columns(p_new) c);
  v_rule record;
begin
  for v_rule in
    select e.name, e.kind from reactor.adopt_rules(p_old, v_columns) e
     where not exists (select from reactor.adopt_rules(p_new, v_columns) w where w.kind = e.kind and w.definition = e.definition)
       and (   (e.ours and (e.kind <> 'i' or e.is_unique))
            or exists (select from reactor.adopt_rules(p_new, v_columns) w where w.name = e.name))
     order by e.kind = 'p'
  loop
    if v_rule.kind = 'i' then
      execute format('drop index %I.%I', (select n.nspname from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
                                           where c.oid = p_old), v_rule.name);
    else
      execute format('alter table %s drop constraint %I', p_old, v_rule.name);
    end if;
  end loop;
end
$$;

-- Gives p_old the constraints and indexes of the blueprint. A CHECK that old rows fail binds new rows only.
create or replace function reactor.adopt_bind(p_old regclass, p_new regclass) returns void
  language plpgsql
  set search_path = ''
as $$
declare
  v_columns constant name[] := array(select c.name from reactor.adopt_columns(p_new) c);
  v_rule record;
  v_same name;
begin
  for v_rule in
    select w.name, w.kind, w.definition, w.oid, w.is_unique from reactor.adopt_rules(p_new, v_columns) w
     order by array_position(array['p', 'u', 'c', 'f', 'i']::"char"[], w.kind)
  loop
    select e.name into v_same from reactor.adopt_rules(p_old, v_columns) e
     where e.kind = v_rule.kind and e.definition = v_rule.definition order by (e.name = v_rule.name) desc limit 1;
    if v_same = v_rule.name then
      continue;
    elsif v_same is not null then
      if v_rule.kind = 'i' then
        execute format('alter index public.%I rename to %I', v_same, v_rule.name);
      else
        execute format('alter table %s rename constraint %I to %I', p_old, v_same, v_rule.name);
      end if;
    elsif v_rule.kind = 'i' then
      if v_rule.is_unique then
        perform reactor.adopt_distinct(p_old, v_rule.oid);
      end if;
      execute format('create %s index %I on %s %s',
                     case when v_rule.definition like 'UNIQUE %' then 'unique' else '' end,
                     v_rule.name, p_old, regexp_replace(v_rule.definition, '^UNIQUE ', ''));
    else
      if v_rule.kind = 'f' then
        perform reactor.adopt_orphans(p_old, v_rule.oid);
      elsif v_rule.kind = 'u' then
        perform reactor.adopt_distinct(p_old, (select c.conindid from pg_catalog.pg_constraint c where c.oid = v_rule.oid));
      end if;
      begin
        execute format('alter table %s add constraint %I %s', p_old, v_rule.name, v_rule.definition);
      exception
        when check_violation then
          raise warning 'adopting %: older rows fail constraint % (%); it binds new rows only', p_old, v_rule.name, v_rule.definition;
          execute format('alter table %s add constraint %I %s not valid', p_old, v_rule.name, v_rule.definition);
      end;
    end if;
  end loop;
end
$$;

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
