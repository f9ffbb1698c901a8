--! requires: tenant_policies, closed_sequences
-- The tables that reactor.protect() guards otherwise than this version would, and the column of the tenant; null where their
-- policies do not tell it. Which rights in a table handlers have is not looked at: one that was taken back stays so.
-- Called by reactor.renew_protection() and `reactor migrate`.
create or replace function reactor.outdated_protections() returns table (relation regclass, tenant_column name)
language plpgsql stable set search_path = ''
as $$
declare
    v_handler oid := 'reactor_handler'::regrole;
begin
    return query
    with guarded as (
        select p.polrelid as id, case when count(distinct a.attname) = 1 then min(a.attname::text)::name end as its_column
        from pg_catalog.pg_policy p
        join pg_catalog.pg_class c on c.oid = p.polrelid and c.relpersistence <> 't'
        left join pg_catalog.pg_depend d
            on d.classid = 'pg_catalog.pg_policy'::regclass and d.objid = p.oid
            and d.refclassid = 'pg_catalog.pg_class'::regclass and d.refobjid = p.polrelid and d.refobjsubid > 0
        left join pg_catalog.pg_attribute a on a.attrelid = p.polrelid and a.attnum = d.refobjsubid
        -- The outbox has one for reading alone, which reactor.protect() did not make.
        where p.polname in ('reactor_tenant', 'reactor_tenant_only') and v_handler = any (p.polroles) and p.polcmd = '*'
        group by p.polrelid
    )
    select g.id::regclass, g.its_column
    from guarded g
    where g.its_column is null
        or exists (select from reactor.closed_sequences(g.id::regclass))
        or exists (
            select from reactor.tenant_policies(g.its_column) t
            where not exists (
                select from pg_catalog.pg_policy p
                where p.polrelid = g.id and p.polname = t.policy and p.polpermissive = t.permissive and p.polcmd = '*'
                    and p.polroles = array[v_handler] and pg_catalog.pg_get_expr(p.polqual, p.polrelid) = t.rule
                    and pg_catalog.pg_get_expr(p.polwithcheck, p.polrelid) = t.rule))
    order by g.id::regclass::text;
end;
$$;

revoke all on function reactor.outdated_protections() from public;
