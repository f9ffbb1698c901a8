-- Ends, for up to p_limit rows of each table, references to the ids from p_low up to p_high of p_parent, in
-- the way each foreign key says. Called before a partition is dropped: PostgreSQL neither detaches nor drops
-- one that is referred to. Returns how many rows it changed, or NULL when a key forbids it, or belongs to a table
-- that reactor_owner may not write: then the partition must stay.
create or replace function reactor.let_go(p_parent regclass, p_low uuid, p_high uuid, p_limit int) returns bigint
  language plpgsql
  set search_path = ''
as $$
declare
  v_key record;
  v_rows bigint;
  v_total bigint := 0;
  v_forbidden boolean;
begin
  for v_key in
    select c.conrelid::regclass as source, a.attname as link, c.confdeltype as action, pg_get_expr(d.adbin, d.adrelid) as fallback
      from pg_catalog.pg_constraint c
      join pg_catalog.pg_attribute a on a.attrelid = c.conrelid and a.attnum = c.conkey[1]
      left join pg_catalog.pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
     where c.contype = 'f' and c.confrelid = p_parent and c.conparentid = 0
     order by c.conrelid
  loop
    if v_key.action not in ('c', 'n', 'd') then
      execute format('select exists (select from %s where %I >= $1 and %2$I < $2)', v_key.source, v_key.link)
        into v_forbidden using p_low, p_high;
      if v_forbidden then
        raise warning 'rows of % are kept: % refers to them', p_parent, v_key.source;
        return null;
      end if;
      continue;
    end if;
    execute format(
      case v_key.action when 'c' then 'delete from %1$s' else 'update %1$s set %2$I = ' || coalesce(v_key.fallback, 'null') end
        || ' where ctid = any (array(select s.ctid from %1$s s where s.%2$I >= $1 and s.%2$I < $2 limit $3))',
      v_key.source, v_key.link) using p_low, p_high, p_limit;
    get diagnostics v_rows = row_count;
    v_total := v_total + v_rows;
  end loop;
  return v_total;
exception
  when insufficient_privilege then
    raise warning 'rows of % are kept: reactor_owner may not write a table that refers to them (%)', p_parent, sqlerrm;
    return null;
end
$$;
revoke all on function reactor.let_go(regclass, uuid, uuid, int) from public;
