--! requires: parse_ident_list
-- What the trigger of a watch does: the text of its function, as this version writes it, and the columns of its payload.
-- Refuses what cannot be watched. Called by reactor.watch(), which installs it, by reactor.renew_watch(), which puts it in
-- the place of an older version's, and by reactor.list_watches() to tell the two apart: for the same watch of the same
-- table it is the same text. For the parameters see reactor.watch().
create or replace function reactor.watch_text(
    "table" regclass,
    event_type text,
    operations text[],
    tenant_column name,
    subject_column name,
    payload_columns name[],
    condition text,
    out function_text text,
    out payload name[]
)
language plpgsql stable set search_path = ''
as $$
#variable_conflict use_column
declare
    v_schema text;
    v_name text;
    v_persistence "char";
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
    v_reads_old boolean := coalesce(condition ~* '[[:<:]]old[[:>:]]', false);
    v_pairs boolean;
begin
    select n.nspname, c.relname, c.relpersistence into v_schema, v_name, v_persistence
    from pg_catalog.pg_class c
    join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    where c.oid = watch_text."table" and c.relkind in ('r', 'p');
    if not found then
        raise exception 'reactor.watch: % is not a table', watch_text."table" using errcode = 'RX003';
    end if;
    if v_persistence = 't' then
        raise exception 'reactor.watch: % is a temporary table', watch_text."table" using errcode = 'RX003',
            hint = 'a trigger is for a table that stays; for one event use reactor.emit()';
    end if;
    -- Each event of such a table would make the next one.
    if v_schema = 'reactor' or (v_schema = 'public' and v_name in ('agent_tenant_locks', 'agent_autonomous_runs')) then
        raise exception 'reactor.watch: the reactor itself writes % for each event', watch_text."table" using errcode = 'RX003';
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
            where a.attrelid = watch_text."table" and a.attname = v_column and a.attnum > 0 and not a.attisdropped) then
            raise exception 'reactor.watch: table % has no column %', watch_text."table", quote_ident(v_column)
                using errcode = 'RX003', hint = case v_column
                    when tenant_column then 'name the one that holds the tenant: --tenant-column, in SQL tenant_column => …'
                    when subject_column then
                        'name the one that holds the row''s id: --subject-column, in SQL subject_column => …; "" or null for none'
                    else 'name columns of the table, separated by commas' end;
        end if;
    end loop;
    -- From 18 on. Their values are not in the rows that a trigger is given, and to ask for them fails the write.
    select array_agg(a.attname) into v_virtual from pg_catalog.pg_attribute a
    where a.attrelid = watch_text."table" and a.attgenerated = 'v' and not a.attisdropped;
    foreach v_column in array coalesce(v_virtual, '{}') loop
        if v_column = any (array[tenant_column] || subject_column || payload_columns) or exists (
            select from unnest(operations) as o (operation), reactor.parse_ident_list(substring(
                o.operation from '(?i)^[[:space:]]*update[[:space:]]+of[[:space:]]+(.+)$')) as l (name)
            where l.name = v_column) then
            raise exception 'reactor.watch: column % of % is a virtual one, which a trigger cannot read',
                quote_ident(v_column), watch_text."table"
                using errcode = 'RX003', hint = 'name the columns that it is generated from, or have it stored';
        end if;
    end loop;
    if (select a.atttypid from pg_catalog.pg_attribute a
        where a.attrelid = watch_text."table" and a.attname = tenant_column) <> 'uuid'::regtype then
        raise exception 'reactor.watch: column % of % must be a uuid', quote_ident(tenant_column), watch_text."table"
            using errcode = 'RX003';
    end if;
    select a.atttypid into v_subject_type from pg_catalog.pg_attribute a
    where a.attrelid = watch_text."table" and a.attname = subject_column;
    if v_subject_type <> 'uuid'::regtype and not coalesce(subject_column = any (payload_columns), false) then
        payload_columns := payload_columns || subject_column;
    end if;

    -- What OLD and NEW of an update are paired by.
    select string_agg(format('new.%1$I = old.%1$I', a.attname), ' and ' order by a.attnum),
        string_agg(format('new.%1$I is not null', a.attname), ' and ' order by a.attnum)
    into v_keys, v_is_new
    from pg_catalog.pg_index i
    join pg_catalog.pg_attribute a on a.attrelid = i.indrelid and a.attnum = any (i.indkey)
    where i.indrelid = watch_text."table" and i.indisprimary;

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
                    watch_text."table" using errcode = 'RX003';
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
                    else 'old.%1$I is distinct from new.%1$I' end, a.attname) order by a.attnum) into v_columns
            from reactor.parse_ident_list(v_match[2]) as p (name)
            join pg_catalog.pg_attribute a
                on a.attrelid = watch_text."table" and a.attname = p.name and a.attnum > 0 and not a.attisdropped;
            if v_columns is null
                or cardinality(v_columns) <> (select count(*) from reactor.parse_ident_list(v_match[2])) then
                raise exception 'reactor.watch: % lacks one of the columns in %',
                    watch_text."table", quote_literal(v_operation) using errcode = 'RX003';
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
            join pg_catalog.pg_attribute a on a.attrelid = watch_text."table" and a.attname = c.name
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

    function_text := format(e'\n#variable_conflict use_column\nbegin%s\n    return null;\nend;\n', v_body);
    payload := payload_columns;
end;
$$;

revoke all on function reactor.watch_text(regclass, text, text[], name, name, name[], text) from public;
