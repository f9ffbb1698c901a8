-- Tools of adoption, continued: one table to the shape of its blueprint.

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
