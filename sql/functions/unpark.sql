--! requires: now, ring
-- Puts parked events of tenants that may act again back in line, a bounded number a call. Called
-- by the leader when a gate was opened (and now and then in case it missed that), until it returns 0.
create or replace function reactor.unpark(p_limit int default 5000) returns int
language plpgsql security definer set search_path = ''
set enable_seqscan = off
as $$
declare
    v_ready int;
begin
    -- Once for all of them. What reactor.is_open() says of one tenant is said here of each, without a call for each.
    if not exists (
        select from public.system_config c
        where c.key = 'agent_config' and c.value ->> 'global_enabled' = 'true') then
        return 0;
    end if;
    -- Parked tenants one by one through the index, so that stopped ones cost one step each.
    with recursive parked as (
        (select e.tenant_id from reactor.events e where e.available_at = 'infinity' order by e.tenant_id limit 1)
        union all
        select (
            select e.tenant_id from reactor.events e
            where e.available_at = 'infinity' and e.tenant_id > p.tenant_id order by e.tenant_id limit 1)
        from parked p where p.tenant_id is not null
    )
    update reactor.events e
    set available_at = null, ready_at = reactor.now()
    where e.id = any (array(
        select w.id
        from (
            select p.tenant_id from parked p
            where exists (
                select from public.tenants t where t.id = p.tenant_id and t.is_active and t.agent_enabled offset 0)
                -- Of a tenant that was deleted: a claim buries them.
                or not exists (select from public.tenants t where t.id = p.tenant_id offset 0)
            offset 0) o
        cross join lateral (
            select x.id from reactor.events x
            where x.tenant_id = o.tenant_id and x.available_at = 'infinity'
            limit p_limit
            -- One that was set aside in flight is being settled; the others must not wait for that.
            for update skip locked) w
        limit p_limit));
    get diagnostics v_ready = row_count;
    if v_ready > 0 then
        perform reactor.ring();
    end if;
    return v_ready;
end;
$$;

revoke all on function reactor.unpark(int) from public;
grant execute on function reactor.unpark(int) to reactor;
