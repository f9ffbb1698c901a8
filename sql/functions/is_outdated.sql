--! requires: watch_text
-- Whether the trigger of a watch is another one than this version would write: `reactor migrate` could not renew it, or
-- the table has changed since. Called by reactor.list_watches().
create or replace function reactor.is_outdated(p_watch reactor.watches, p_table regclass) returns boolean
language plpgsql stable set search_path = ''
as $$
begin
    return (
        select p.prosrc from pg_catalog.pg_proc p where p.oid = pg_catalog.to_regproc(format('reactor.%I', p_watch.function_name))
    ) is distinct from (
        select t.function_text
        from reactor.watch_text(
            p_table, p_watch.event_type, p_watch.operations, p_watch.tenant_column, p_watch.subject_column,
            p_watch.payload_columns::name[], p_watch.condition) t);
exception when others then  -- one that this version refuses
    return true;
end;
$$;

revoke all on function reactor.is_outdated(reactor.watches, regclass) from public;
