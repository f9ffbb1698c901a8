-- The policies that confine handlers to their tenant, in a table with this column. The rule is written as the server prints
-- it, so that reactor.outdated_protections() can compare what a table has with it. Called by that and by
-- reactor.put_tenant_policies().
create or replace function reactor.tenant_policies(p_tenant_column name)
returns table (policy name, permissive boolean, rule text)
language sql immutable set search_path = ''
begin atomic
    select p.policy, p.permissive,
        pg_catalog.format('(%I = ( SELECT reactor.current_tenant() AS current_tenant))', p_tenant_column)
    -- Permissive policies add up, and others' may speak of PUBLIC: only a restrictive one confines.
    from (values ('reactor_tenant'::name, true), ('reactor_tenant_only'::name, false)) as p (policy, permissive);
end;

revoke all on function reactor.tenant_policies(name) from public;
