-- Removes what is left of reactor.watch() where the table itself was dropped: reactor.unwatch() cannot be given a
-- table that is gone. Says whether there was anything; a table that is there, or that was renamed, is
-- none of its business. Called by `reactor unwatch`, as a member of reactor_owner.
create or replace function reactor.forget_watch(p_schema text, p_table text, p_type text) returns boolean
language plpgsql set search_path = ''
as $$
declare
    v_function text;
begin
    delete from reactor.watches w
    where w.table_schema = p_schema and w.table_name = p_table and w.event_type = p_type
        and not exists (
            select from pg_catalog.pg_class c
            join pg_catalog.pg_namespace n on n.oid = c.relnamespace
            where n.nspname = w.table_schema and c.relname = w.table_name)
        and not exists (
            select from pg_catalog.pg_trigger t
            where t.tgfoid = pg_catalog.to_regproc(format('reactor.%I', w.function_name)))
    returning w.function_name into v_function;
    if v_function is null then
        return false;
    end if;
    execute format('drop function if exists reactor.%I()', v_function);
    return true;
end;
$$;

revoke all on function reactor.forget_watch(text, text, text) from public;
