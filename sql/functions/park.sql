-- Sets gated events of switched-off tenants aside, so that they cost a claim nothing. Called by
-- reactor.claim() when it meets such a tenant; reactor.unpark() puts them back.
--
-- Only each tenant's first events are looked at: what is not gated, and goes on, may be a long backlog of its own.
-- Rows that somebody holds are skipped, never waited for, so it cannot take part in a deadlock.
create or replace function reactor.park(p_tenants uuid[], p_gated text[], p_limit int default 5000)
returns int
language plpgsql security definer set search_path = ''
set enable_seqscan = off
as $$
declare
    v_parked int;
begin
    update reactor.events e
    set available_at = 'infinity'
    where e.id = any (array(
        select w.id from reactor.events w
        where w.id = any (array(
            select h.id
            from unnest(p_tenants) as t (id)
            cross join lateral (
                select x.id, x.event_type from reactor.events x
                where x.tenant_id = t.id and x.available_at is null
                order by x.tenant_id, x.priority, x.id
                limit greatest(100, p_limit / cardinality(p_tenants))) h
            where h.event_type = any (p_gated)
            limit p_limit))
            and w.available_at is null
        for update skip locked));
    get diagnostics v_parked = row_count;
    return v_parked;
end;
$$;

revoke all on function reactor.park(uuid[], text[], int) from public;
