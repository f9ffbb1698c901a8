-- The names in a comma-separated list of identifiers, folded as Postgres folds them: a, "B c".
-- Called by reactor.watch() for 'update of …'.
create or replace function reactor.parse_ident_list(p_list text) returns table (name name)
language plpgsql immutable set search_path = ''
as $$
declare
    v_part text;
begin
    for v_part in select m[1] from regexp_matches(p_list, '("(?:[^"]|"")+"|[^,[:space:]][^,]*)', 'g') as m loop
        name := (parse_ident(trim(v_part)))[1];
        return next;
    end loop;
exception when invalid_parameter_value then
    raise exception '% is no list of columns', quote_literal(p_list) using errcode = 'RX003', detail = sqlerrm;
end;
$$;

revoke all on function reactor.parse_ident_list(text) from public;
