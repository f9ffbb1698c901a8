--! requires: tenant_policies
-- Confines handlers to their tenant in a table, in the place of what an older version did. Called by reactor.protect() and
-- reactor.renew_protection(), as the table's owner.
create or replace function reactor.put_tenant_policies(p_table regclass, p_tenant_column name) returns void
language plpgsql set search_path = ''
-- Else each policy that is dropped before it is made says that it was not there.
set client_min_messages = 'warning'
as $$
declare
    v_policy record;
begin
    for v_policy in select p.policy, p.permissive, p.rule from reactor.tenant_policies(p_tenant_column) p loop
        execute format('drop policy if exists %I on %s', v_policy.policy, p_table);
        execute format(
            'create policy %I on %s as %s to reactor_handler using %s with check %4$s',
            v_policy.policy, p_table, case when v_policy.permissive then 'permissive' else 'restrictive' end, v_policy.rule);
    end loop;
end;
$$;

revoke all on function reactor.put_tenant_policies(regclass, name) from public;
