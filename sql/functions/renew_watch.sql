--! requires: watch_text, make_probe, probe_watch
-- Puts the trigger of a watch as this version writes it in the place of an older version's. Only the function is
-- replaced, which is atomic and needs no lock on the table, nor any right on it: a writer runs the old one or the new
-- one. Says whether it had to; raises what does not fit any more, and leaves the trigger as it was. What somebody watches
-- or unwatches at this moment is theirs. Called by `reactor migrate`, as a member of reactor_owner, for each watch.
create or replace function reactor.renew_watch(p_function name) returns boolean
language plpgsql set search_path = ''
as $$
declare
    v_watch reactor.watches;
    v_table regclass;
    v_text text;
    v_probe regclass;
begin
    select w.* into v_watch from reactor.watches w where w.function_name = p_function for no key update skip locked;
    if not found then
        return false;
    end if;
    select max(t.tgrelid) into v_table
    from pg_catalog.pg_trigger t
    where t.tgfoid = pg_catalog.to_regproc(format('reactor.%I', p_function));
    if v_table is null then
        return false;
    end if;
    v_text := (
        select t.function_text
        from reactor.watch_text(
            v_table, v_watch.event_type, v_watch.operations, v_watch.tenant_column, v_watch.subject_column,
            v_watch.payload_columns::name[], v_watch.condition) t);
    if v_text = (
        select p.prosrc from pg_catalog.pg_proc p where p.oid = pg_catalog.to_regproc(format('reactor.%I', p_function))) then
        return false;
    end if;

    begin
        execute format(
            'create or replace function reactor.%I() returns trigger language plpgsql security definer set search_path = '''' as %L',
            p_function, v_text);
    exception when syntax_error then
        raise exception 'reactor.watch: the condition does not fit %: %', v_table, sqlerrm
            using errcode = 'RX003', detail = coalesce(v_watch.condition, '');
    end;
    -- It is already; whoever migrates may be a superuser, and what the watch says shall not run as one.
    execute format('alter function reactor.%I() owner to reactor_owner', p_function);
    v_probe := reactor.make_probe(v_table, p_function, v_watch.operations);
    perform reactor.probe_watch(v_table, v_probe, v_watch.tenant_column, v_watch.condition);
    return true;
end;
$$;

revoke all on function reactor.renew_watch(name) from public;
