-- Lets gated work be done for these tenants, or stops it; all or, when one does not exist, none. Takes effect
-- at once on every replica: a trigger announces it. tenants.is_active is the application's and stays as it is.
-- Called by `reactor tenants enable` and `disable`.
create or replace function reactor.set_tenant_enabled(p_tenants uuid[], p_enabled boolean)
returns table (tenant_id uuid, name text, is_active boolean, was_enabled boolean, is_enabled boolean)
language plpgsql security definer set search_path = ''
as $$
#variable_conflict use_column
declare
    v_missing uuid;
begin
    if p_enabled is null then
        raise exception 'a tenant is enabled or disabled, not null' using errcode = 'RX003';
    end if;
    select w.id into v_missing
    from unnest(p_tenants) as w (id)
    where not exists (select from public.tenants t where t.id = w.id)
    limit 1;
    if v_missing is not null then
        raise exception 'there is no tenant %', v_missing using errcode = 'RX003';
    end if;
    return query
    with before as (
        select t.id, t.agent_enabled from public.tenants t where t.id = any (p_tenants)
    ),
    changed as (
        update public.tenants t set agent_enabled = p_enabled
        where t.id = any (p_tenants) and t.agent_enabled is distinct from p_enabled
    )
    select t.id, t.name::text, t.is_active, coalesce(b.agent_enabled, false), p_enabled
    from public.tenants t
    join before b on b.id = t.id
    order by t.name, t.id;
end;
$$;

revoke all on function reactor.set_tenant_enabled(uuid[], boolean) from public;
grant execute on function reactor.set_tenant_enabled(uuid[], boolean) to reactor;
