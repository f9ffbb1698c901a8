-- Sets gated events of switched-off tenants aside, so that they cost a claim nothing. Called by
-- reactor.claim() when it meets such a tenant; reactor.unpark() puts them back.
--
-- Rows that somebody holds are skipped, never waited for, so it cannot take part in a deadlock.
create or replace function reactor.park(p_tenants uuid[], p_gated text[], p_limit int default 5000)
returns int
language plpgsql security definer set search_path = ''
set enable_seqscan = off
-- A limit that the planner does not know looks like a tenth of the table to it: it would read all of it.
set enable_hashjoin = off
set enable_mergejoin = off
as $$
declare
    v_parked int;
begin
    update reactor.events e
    set available_at = 'infinity'
    where e.id in (
        select w.id from reactor.events w
        where w.tenant_id = any (p_tenants) and w.available_at is null and w.event_type = any (p_gated)
        limit p_limit
        for update skip locked);
    get diagnostics v_parked = row_count;
    return v_parked;
end;
$$;

revoke all on function reactor.park(uuid[], text[], int) from public;
