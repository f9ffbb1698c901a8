--! requires: outdated_protections, put_tenant_policies, open_sequences
-- Guards a table as reactor.protect() of this version does, where that of an older one did it. Says whether it had to. The
-- rights that handlers have in the table stay as they are, and so does whether row level security is on: `reactor doctor`
-- tells where it is not. Called by `reactor migrate`, for each such table, as its owner.
create or replace function reactor.renew_protection(p_table regclass) returns boolean
language plpgsql set search_path = ''
as $$
declare
    v_column name;
begin
    select o.tenant_column into v_column from reactor.outdated_protections() o where o.relation = p_table;
    if not found then
        return false;
    elsif v_column is null then
        raise exception 'its policies do not tell which column holds the tenant' using errcode = 'RX003';
    end if;
    perform reactor.open_sequences(p_table);
    if exists (select from reactor.outdated_protections() o where o.relation = p_table) then
        perform reactor.put_tenant_policies(p_table, v_column);
    end if;
    return true;
end;
$$;

revoke all on function reactor.renew_protection(regclass) from public;
