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
