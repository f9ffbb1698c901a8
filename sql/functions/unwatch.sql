-- Removes what reactor.watch() installed for this table and event type; nothing when there is nothing.
-- Events that were emitted stay. Called by applications, by `reactor unwatch`, and by watch() itself.
create or replace function reactor.unwatch("table" regclass, event_type text) returns void
language plpgsql set search_path = ''
as $$
#variable_conflict use_column
declare
    v_function text;
    v_trigger name;
begin
    -- Tables that were renamed since they were watched.
    update reactor.watches w
    set table_schema = n.nspname, table_name = c.relname
    from pg_catalog.pg_proc p
    join pg_catalog.pg_trigger t on t.tgfoid = p.oid
    join pg_catalog.pg_class c on c.oid = t.tgrelid
    join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    where p.pronamespace = 'reactor'::regnamespace and p.proname = w.function_name
        and (w.table_schema, w.table_name) is distinct from (n.nspname::text, c.relname::text);

    delete from reactor.watches w
    using pg_catalog.pg_class c, pg_catalog.pg_namespace n
    where c.oid = unwatch."table" and n.oid = c.relnamespace
        and w.table_schema = n.nspname and w.table_name = c.relname
        and w.event_type = unwatch.event_type
    returning w.function_name into v_function;
    if v_function is null then
        return;
    end if;
    for v_trigger in
        select t.tgname from pg_catalog.pg_trigger t
        where t.tgrelid = unwatch."table" and t.tgfoid = pg_catalog.to_regproc(format('reactor.%I', v_function))
    loop
        execute format('drop trigger %I on %s', v_trigger, unwatch."table");
    end loop;
    execute format('drop function if exists reactor.%I()', v_function);
end;
$$;

revoke all on function reactor.unwatch(regclass, text) from public;
