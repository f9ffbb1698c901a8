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
