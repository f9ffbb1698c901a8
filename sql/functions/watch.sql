--! requires: ring, unwatch, parse_ident_list
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
-- Calling it again replaces what it installed before. A partitioned table emits for what is written through
-- it, not for what is written to a partition directly.
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
    v_persistence "char";
    v_key text;
    v_function text;
    v_subject_type regtype;
    v_column name;
    v_columns text[];
    v_virtual name[];
    v_operation text;
    v_match text[];
    v_kind text;
    v_row text;
    v_from text;
    v_where text;
    v_payload text;
    v_subject text;
    v_keys text;
    v_is_new text;
    v_insert text;
    v_body text := '';
    v_probe text;
    v_name_of text;
    v_reads_old boolean := coalesce(condition ~* '[[:<:]]old[[:>:]]', false);
    v_pairs boolean;
begin
    select n.nspname, c.relname, c.relpersistence into v_schema, v_name, v_persistence
    from pg_catalog.pg_class c
    join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    where c.oid = watch."table" and c.relkind in ('r', 'p');
    if not found then
        raise exception 'reactor.watch: % is not a table', watch."table" using errcode = 'RX003';
    end if;
    if v_persistence = 't' then
        raise exception 'reactor.watch: % is a temporary table', watch."table" using errcode = 'RX003',
            hint = 'a trigger is for a table that stays; for one event use reactor.emit()';
    end if;
    -- Each event of such a table would make the next one.
    if v_schema = 'reactor' or (v_schema = 'public' and v_name in ('agent_tenant_locks', 'agent_autonomous_runs')) then
        raise exception 'reactor.watch: the reactor itself writes % for each event', watch."table" using errcode = 'RX003';
    end if;
    if event_type is null or event_type = '' or length(event_type) > 200 then
        raise exception 'reactor.watch: event_type must have 1 to 200 characters' using errcode = 'RX003';
    end if;
    if operations is null or cardinality(operations) = 0 then
        raise exception 'reactor.watch: operations is empty; use insert, update, delete or ''update of a, b'''
            using errcode = 'RX003';
    end if;
    if tenant_column is null then
        raise exception 'reactor.watch: tenant_column is null' using errcode = 'RX003';
    end if;
    if array_position(payload_columns, null) is not null then
        raise exception 'reactor.watch: payload_columns has a null in it' using errcode = 'RX003';
    end if;
    foreach v_column in array array[tenant_column] || subject_column || coalesce(payload_columns, '{}') loop
        if v_column is not null and not exists (
            select from pg_catalog.pg_attribute a
            where a.attrelid = watch."table" and a.attname = v_column and a.attnum > 0 and not a.attisdropped) then
            raise exception 'reactor.watch: table % has no column %', watch."table", quote_ident(v_column)
                using errcode = 'RX003', hint = case v_column
                    when tenant_column then 'name the one that holds the tenant: --tenant-column, in SQL tenant_column => …'
                    when subject_column then
                        'name the one that holds the row''s id: --subject-column, in SQL subject_column => …; "" or null for none'
                    else 'name columns of the table, separated by commas' end;
        end if;
    end loop;
    -- From 18 on. Their values are not in the rows that a trigger is given, and to ask for them fails the write.
    select array_agg(a.attname) into v_virtual from pg_catalog.pg_attribute a
    where a.attrelid = watch."table" and a.attgenerated = 'v' and not a.attisdropped;
    foreach v_column in array coalesce(v_virtual, '{}') loop
        if v_column = any (array[tenant_column] || subject_column || payload_columns) or exists (
            select from unnest(operations) as o (operation), reactor.parse_ident_list(substring(
                o.operation from '(?i)^[[:space:]]*update[[:space:]]+of[[:space:]]+(.+)$')) as l (name)
            where l.name = v_column) then
            raise exception 'reactor.watch: column % of % is a virtual one, which a trigger cannot read',
                quote_ident(v_column), watch."table"
                using errcode = 'RX003', hint = 'name the columns that it is generated from, or have it stored';
        end if;
    end loop;
    if (select a.atttypid from pg_catalog.pg_attribute a
        where a.attrelid = watch."table" and a.attname = tenant_column) <> 'uuid'::regtype then
        raise exception 'reactor.watch: column % of % must be a uuid', quote_ident(tenant_column), watch."table"
            using errcode = 'RX003';
    end if;
    if not pg_catalog.pg_has_role('reactor_owner', 'member') then
        raise exception 'reactor.watch: role % is not a member of reactor_owner', current_user
            using errcode = 'insufficient_privilege',
                hint = format('run as a superuser: grant reactor_owner to %I', current_user);
    end if;

    select a.atttypid into v_subject_type from pg_catalog.pg_attribute a
    where a.attrelid = watch."table" and a.attname = subject_column;
    if v_subject_type <> 'uuid'::regtype and not coalesce(subject_column = any (payload_columns), false) then
        payload_columns := payload_columns || subject_column;
    end if;

    -- What OLD and NEW of an update are paired by.
    select string_agg(format('new.%1$I = old.%1$I', a.attname), ' and '),
        string_agg(format('new.%1$I is not null', a.attname), ' and ')
    into v_keys, v_is_new
    from pg_catalog.pg_index i
    join pg_catalog.pg_attribute a on a.attrelid = i.indrelid and a.attnum = any (i.indkey)
    where i.indrelid = watch."table" and i.indisprimary;

    perform reactor.unwatch("table", event_type);
    -- A table that had this name may have been renamed, and keep its function.
    for v_turn in 0 .. 1000 loop
        v_key := substr(md5(format('%s.%s/%s%s', v_schema, v_name, event_type, nullif(v_turn, 0))), 1, 12);
        v_function := 'watch_' || v_key;
        exit when pg_catalog.to_regproc(format('reactor.%I', v_function)) is null;
    end loop;

    foreach v_operation in array operations loop
        v_match := regexp_match(
            v_operation, '^[[:space:]]*(insert|delete|update)(?:[[:space:]]+of[[:space:]]+(.+?))?[[:space:]]*$', 'is');
        if v_match is null or (v_match[2] is not null and lower(v_match[1]) <> 'update') then
            raise exception 'reactor.watch: % is no operation; use insert, update, delete or ''update of a, b''',
                quote_nullable(v_operation) using errcode = 'RX003';
        end if;
        v_kind := lower(v_match[1]);
        v_row := case v_kind when 'delete' then 'old' else 'new' end;
        v_where := format('%s.%I is not null', v_row, tenant_column);
        v_from := case v_kind
            when 'delete' then 'old_rows as old'
            else 'new_rows as new' end;
        v_pairs := v_kind = 'update' and (v_reads_old or v_match[2] is not null);
        if v_pairs then
            if v_keys is null then
                raise exception 'reactor.watch: % has no primary key, so OLD and NEW of an update cannot be paired',
                    watch."table" using errcode = 'RX003';
            end if;
            v_from := format('new_rows as new full join old_rows as old on %s', v_keys);
        end if;
        if v_match[2] is not null then
            -- Some types know no equality, or one of areas and lengths only, whatever they are wrapped in; their text does.
            -- (As it is written, because a type of the application's may have a cast to text that says less.)
            select array_agg(format(
                case when exists (
                    with recursive parts (oid) as (
                        select a.atttypid
                        union
                        select e.oid
                        from parts
                        join pg_catalog.pg_type t on t.oid = parts.oid
                        cross join lateral (
                            select t.typbasetype where t.typtype = 'd'
                            union all
                            select t.typelem where t.typcategory = 'A'
                            union all
                            select f.atttypid from pg_catalog.pg_attribute f
                            where t.typtype = 'c' and f.attrelid = t.typrelid and f.attnum > 0 and not f.attisdropped) e (oid)
                    )
                    select from parts where parts.oid in (
                        'json'::regtype, 'jsonpath'::regtype, 'xml'::regtype, 'point'::regtype, 'polygon'::regtype,
                        'box'::regtype, 'circle'::regtype, 'path'::regtype))
                    then 'pg_catalog.format(''%%L'', old.%1$I) is distinct from pg_catalog.format(''%%L'', new.%1$I)'
                    else 'old.%1$I is distinct from new.%1$I' end, a.attname)) into v_columns
            from reactor.parse_ident_list(v_match[2]) as p (name)
            join pg_catalog.pg_attribute a
                on a.attrelid = watch."table" and a.attname = p.name and a.attnum > 0 and not a.attisdropped;
            if v_columns is null
                or cardinality(v_columns) <> (select count(*) from reactor.parse_ident_list(v_match[2])) then
                raise exception 'reactor.watch: % lacks one of the columns in %',
                    watch."table", quote_literal(v_operation) using errcode = 'RX003';
            end if;
            v_where := v_where || format(' and (%s)', array_to_string(v_columns, ' or '));
        end if;
        -- An insert has no OLD and a delete no NEW: there the other one's columns are null.
        if condition is not null then
            if v_kind = 'insert' and v_reads_old then
                v_from := v_from || ' left join new_rows as old on false';
            elsif v_kind = 'delete' and condition ~* '[[:<:]]new[[:>:]]' then
                v_from := v_from || ' left join old_rows as new on false';
            end if;
            -- The line break ends a comment at the end of the condition.
            v_where := v_where || format(e' and (%s\n)', condition);
        end if;
        -- A session keeps the plan of its first update, which may have been of one row: a nested loop, and quadratic
        -- when many are updated at once. A full join is never one, and stays one beside a condition in a case.
        if v_pairs then
            v_where := format('case when %s then %s end', v_is_new, v_where);
        end if;
        -- In pieces, because a function takes a hundred arguments at most.
        with recursive types (name, n, oid) as (
            select c.name, c.n, a.atttypid
            from unnest(payload_columns) with ordinality as c (name, n)
            join pg_catalog.pg_attribute a on a.attrelid = watch."table" and a.attname = c.name
            union all
            select d.name, d.n, t.typbasetype
            from types d
            join pg_catalog.pg_type t on t.oid = d.oid and t.typtype = 'd'
        )
        select coalesce(string_agg(g.piece, ' || ' order by g.n), '''{}''::pg_catalog.jsonb')
        into v_payload
        from (
            select (c.n - 1) / 40 as n, format('pg_catalog.jsonb_build_object(%s)',
                string_agg(format('%L, %s.%I%s', c.name, v_row, c.name, case c.oid
                    when 'numeric'::regtype then '::pg_catalog.text'
                    when 'numeric[]'::regtype then '::pg_catalog.text[]' end), ', ' order by c.n)) as piece
            from types c
            join pg_catalog.pg_type t on t.oid = c.oid and t.typtype <> 'd'
            group by (c.n - 1) / 40
        ) g;
        v_subject := case when v_subject_type = 'uuid'::regtype
            then format('%s.%I', v_row, subject_column) else 'null::pg_catalog.uuid' end;

        -- A write that nothing caused, of a session that never set a trace, is spared what reads the cause: a trigger's
        -- plan is made ready at each write, function by function.
        v_insert := format($body$
        if current_setting('reactor.traceparent', true) is null then
            insert into reactor.events (tenant_id, event_type, subject_id, payload)
            select %1$s
            from %2$s
            where %3$s;
        else
            insert into reactor.events (tenant_id, event_type, subject_id, payload, traceparent, cause_id, depth)
            select %1$s,
                nullif(current_setting('reactor.traceparent', true), ''),
                nullif(current_setting('reactor.cause_id', true), '')::bigint,
                coalesce(nullif(current_setting('reactor.depth', true), '')::int + 1, 0)
            from %2$s
            where %3$s;
        end if;
        if found and pg_catalog.pg_sequence_last_value('reactor.doorbell'::pg_catalog.regclass) > 1 then
            perform pg_catalog.pg_notify('reactor', '');
        end if;$body$,
            format('%s.%I, %L, %s, %s', v_row, tenant_column, event_type, v_subject, v_payload), v_from, v_where);
        -- Where there is but one operation, no write asks which one it is.
        v_body := v_body || case when cardinality(operations) = 1 then v_insert
            else format(e'\n    if tg_op = %L then%s\n    end if;', upper(v_kind), v_insert) end;
    end loop;

    begin
        execute format(
            'create function reactor.%I() returns trigger language plpgsql security definer set search_path = '''' as %L',
            v_function, format(e'\n#variable_conflict use_column\nbegin%s\n    return null;\nend;\n', v_body));
    exception when syntax_error then
        raise exception 'reactor.watch: the condition does not fit %: %', watch."table", sqlerrm
            using errcode = 'RX003', detail = coalesce(condition, '');
    end;
    -- Default privileges may name the API's roles: whoever may execute it could put it on a table of their own.
    execute format('revoke all on function reactor.%I() from public, anon, authenticated', v_function);

    -- The same triggers on an empty copy, which is then written to without a row: what would break the
    -- application's writes later breaks here. The copy is the caller's, the function reactor_owner's.
    v_probe := v_function || '_probe';
    execute format('create unlogged table reactor.%I (like %s)', v_probe, watch."table");
    foreach v_column in array coalesce(v_virtual, '{}') loop
        execute format('alter table reactor.%I drop column %I', v_probe, v_column);
    end loop;
    foreach v_operation in array operations loop
        v_kind := lower((regexp_match(v_operation, '^[[:space:]]*([a-z]+)', 'i'))[1]);
        foreach v_name_of in array array[watch."table"::text, format('reactor.%I', v_probe)] loop
            execute format(
                'create or replace trigger %I after %s on %s %s for each statement execute function reactor.%I()',
                'reactor_' || v_key || '_' || v_kind, v_kind, v_name_of,
                case v_kind
                    when 'insert' then 'referencing new table as new_rows'
                    when 'delete' then 'referencing old table as old_rows'
                    else 'referencing old table as old_rows new table as new_rows' end,
                v_function);
        end loop;
    end loop;
    -- The triggers must be made while the function is still the caller's, who may execute it.
    execute format('alter function reactor.%I() owner to reactor_owner', v_function);
    begin
        execute format('insert into reactor.%1$I select * from reactor.%1$I', v_probe);
        execute format('update reactor.%I set %I = null', v_probe, tenant_column);
        execute format('delete from reactor.%I', v_probe);
    exception when others then
        raise exception 'reactor.watch: the condition does not fit %: %', watch."table", sqlerrm
            using errcode = 'RX003', detail = coalesce(condition, ''),
                hint = 'write NEW.column and OLD.column; schema-qualify functions of your own, and let reactor_owner use them';
    end;
    execute format('drop table reactor.%I', v_probe);

    insert into reactor.watches (
        table_schema, table_name, event_type, operations, tenant_column, subject_column,
        payload_columns, condition, function_name)
    values (
        v_schema, v_name, event_type, operations, tenant_column, subject_column,
        payload_columns, condition, v_function);
end;
$$;

revoke all on function reactor.watch(regclass, text, text[], name, name, name[], text) from public;
