--! requires: ring, unwatch, watch_text, probe_watch
-- Makes any table an event source: installs one statement-level trigger for each operation, which
-- puts the changed rows that fit into the outbox with a single INSERT … SELECT, in the writer's
-- transaction. Called by migrations (the three built-in sources), by applications and by `reactor watch`.
--
-- operations      insert, update, delete, or 'update of a, b' (one of these columns really changed)
-- tenant_column   rows where it is null emit nothing
-- subject_column  a uuid column becomes the event's subject_id; one of another type goes into the payload
-- payload_columns numeric ones go in as JSON strings, '12.50': whoever reads a JSON number as a float changes it
-- condition       SQL over NEW and OLD (for insert: columns may stand alone); schema-qualify functions of yours.
--                 OLD's columns are null for a row whose primary key was changed: nothing pairs it with its past
--
-- The trigger function is SECURITY DEFINER (its types are qualified, because a writer's temporary types come first
-- on an empty search_path and may run code), so that a role that may write the table needs no right
-- on the outbox; watch() itself is not: its caller must own the table and be a member of reactor_owner.
-- Calling it again replaces what it installed before; what an older version wrote, `reactor migrate` renews. A
-- partitioned table emits for what is written through it, not for what is written to a partition directly.
create or replace function reactor.watch(
    "table" regclass,
    event_type text,
    operations text[] default '{insert}',
    tenant_column name default 'tenant_id',
    subject_column name default 'id',
    payload_columns name[] default null,
    condition text default null
) returns void
language plpgsql set search_path = ''
as $$
#variable_conflict use_column
declare
    v_schema text;
    v_name text;
    v_key text;
    v_function text;
    v_text text;
    v_probe regclass;
begin
    if not pg_catalog.pg_has_role('reactor_owner', 'member') then
        raise exception 'reactor.watch: role % is not a member of reactor_owner', current_user
            using errcode = 'insufficient_privilege',
                hint = format('run as a superuser: grant reactor_owner to %I', current_user);
    end if;
    select t.function_text, t.payload into v_text, payload_columns
    from reactor.watch_text(
        "table", event_type, operations, tenant_column, subject_column, payload_columns, condition) t;
    select n.nspname, c.relname into v_schema, v_name
    from pg_catalog.pg_class c
    join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    where c.oid = watch."table";
    perform reactor.unwatch("table", event_type);
    -- A table that had this name may have been renamed, and keep its function.
    for v_turn in 0 .. 1000 loop
        v_key := substr(md5(format('%s.%s/%s%s', v_schema, v_name, event_type, nullif(v_turn, 0))), 1, 12);
        v_function := 'watch_' || v_key;
        exit when pg_catalog.to_regproc(format('reactor.%I', v_function)) is null;
    end loop;

    begin
        execute format(
            'create function reactor.%I() returns trigger language plpgsql security definer set search_path = '''' as %L',
            v_function, v_text);
    exception when syntax_error then
        raise exception 'reactor.watch: the condition does not fit %: %', watch."table", sqlerrm
            using errcode = 'RX003', detail = coalesce(condition, '');
    end;
    -- Default privileges may name the API's roles: whoever may execute it could put it on a table of their own.
    execute format('revoke all on function reactor.%I() from public, anon, authenticated', v_function);

    -- What would break the application's writes later breaks here, on an empty copy that the same triggers are on. (They
    -- must be made while the function is still the caller's, who may execute it.)
    v_probe := reactor.make_probe("table", v_function, operations);
    perform reactor.put_watch_triggers("table", v_function, operations);
    execute format('alter function reactor.%I() owner to reactor_owner', v_function);
    perform reactor.probe_watch("table", v_probe, tenant_column, condition);

    insert into reactor.watches (
        table_schema, table_name, event_type, operations, tenant_column, subject_column,
        payload_columns, condition, function_name)
    values (
        v_schema, v_name, event_type, operations, tenant_column, subject_column,
        payload_columns, condition, v_function);
end;
$$;

revoke all on function reactor.watch(regclass, text, text[], name, name, name[], text) from public;
