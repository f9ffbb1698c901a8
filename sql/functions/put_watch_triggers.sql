-- One statement-level trigger for each operation of a watch, on the table or on its probe. Called by reactor.watch() and
-- reactor.make_probe().
create or replace function reactor.put_watch_triggers(p_relation regclass, p_function name, p_operations text[]) returns void
language plpgsql set search_path = ''
as $$
declare
    v_operation text;
    v_kind text;
begin
    foreach v_operation in array p_operations loop
        v_kind := lower((regexp_match(v_operation, '^[[:space:]]*([a-z]+)', 'i'))[1]);
        execute format(
            'create or replace trigger %I after %s on %s %s for each statement execute function reactor.%I()',
            'reactor_' || substr(p_function, length('watch_') + 1) || '_' || v_kind, v_kind, p_relation,
            case v_kind
                when 'insert' then 'referencing new table as new_rows'
                when 'delete' then 'referencing old table as old_rows'
                else 'referencing old table as old_rows new table as new_rows' end,
            p_function);
    end loop;
end;
$$;

revoke all on function reactor.put_watch_triggers(regclass, name, text[]) from public;
