-- What 0009 noted of the application's own words about adopted tables is said again, where the contract leaves it open:
-- a default that its inserts rely on, and what it lets anonymous callers do by a policy that names them.
do $$
declare
  v_note record;
begin
  if to_regclass('reactor.adoption_notes') is null then
    return;
  end if;
  for v_note in
    select n.table_name, n.column_name, n.expression
      from reactor.adoption_notes n
      join pg_catalog.pg_attribute a
        on a.attrelid = to_regclass(format('public.%I', n.table_name)) and a.attname = n.column_name
     where n.expression is not null and not a.atthasdef and a.attidentity = '' and not a.attisdropped
       and (a.atttypid = n.column_type or a.atttypid = 'text'::regtype and exists (
             select from pg_catalog.pg_type t where t.oid = n.column_type and t.typcategory in ('S', 'E')))
  loop
    begin
      -- A word that the contract does not have would make every insert fail that leaves it to the default.
      execute format('create temporary table adoption_probe (like public.%I including constraints)', v_note.table_name);
      execute (
        select format('alter table pg_temp.adoption_probe %s', string_agg(format('alter column %I drop not null', a.attname), ', '))
          from pg_catalog.pg_attribute a
         where a.attrelid = to_regclass('pg_temp.adoption_probe') and a.attnum > 0 and not a.attisdropped);
      execute format('alter table pg_temp.adoption_probe alter column %I set default %s', v_note.column_name, v_note.expression);
      execute format('insert into pg_temp.adoption_probe (%I) values (default)', v_note.column_name);
      drop table pg_temp.adoption_probe;
      execute format('alter table public.%I alter column %I set default %s', v_note.table_name, v_note.column_name,
                     v_note.expression);
    exception
      when others then
        raise warning 'the default % of %.% was not kept: %', v_note.expression, v_note.table_name, v_note.column_name,
          sqlerrm;
    end;
  end loop;
  for v_note in
    select n.table_name, n.anonymous_may from reactor.adoption_notes n where n.anonymous_may is not null
  loop
    execute format('grant %s on public.%I to anon', v_note.anonymous_may, v_note.table_name);
  end loop;
  drop table reactor.adoption_notes;
end
$$;
