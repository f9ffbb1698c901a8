--! requires: put_watch_triggers
-- An empty table with the columns of a watched one and the triggers of its watch, for reactor.probe_watch() to write to.
-- Made from the catalog, not LIKE the table: that would wait for whoever has the table locked, and want a right to read
-- it. Virtual columns are left out, as a trigger is not given them. Called by reactor.watch() and reactor.renew_watch().
create or replace function reactor.make_probe(p_table regclass, p_function name, p_operations text[]) returns regclass
language plpgsql set search_path = ''
as $$
declare
    v_probe text := format('reactor.%I', p_function || '_probe');
begin
    execute (
        select format('create unlogged table %s (%s)', v_probe, string_agg(
            format('%I %s', a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod))
            || case when o.oid is null then '' else format(' collate %I.%I', n.nspname, o.collname) end, ', ' order by a.attnum))
        from pg_catalog.pg_attribute a
        left join pg_catalog.pg_collation o on o.oid = a.attcollation
        left join pg_catalog.pg_namespace n on n.oid = o.collnamespace
        where a.attrelid = p_table and a.attnum > 0 and not a.attisdropped and a.attgenerated <> 'v');
    perform reactor.put_watch_triggers(v_probe::regclass, p_function, p_operations);
    return v_probe::regclass;
end;
$$;

revoke all on function reactor.make_probe(regclass, name, text[]) from public;
