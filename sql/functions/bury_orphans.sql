-- Events of tenants that do not exist can take no lease: they are dead at once, with the reason.
-- Called by reactor.claim() when it meets them.
create or replace function reactor.bury_orphans(p_tenants uuid[], p_limit int default 5000) returns void
language plpgsql security definer set search_path = ''
as $$
begin
    with gone as (
        delete from reactor.events e
        where e.id = any (array(
            select w.id from reactor.events w
            where w.tenant_id = any (p_tenants) and w.available_at is null
            limit p_limit
            for update skip locked))
        returning e.*
    )
    insert into reactor.dead_events (
        id, event_id, tenant_id, event_type, subject_id, payload, priority, attempts, interruptions,
        created_at, died_at, reason, errors, traceparent, cause_id, depth, dedup_key)
    -- As in reactor.bury().
    select case when exists (select from reactor.dead_events o where o.id = g.id)
            then (select max(o.id) from reactor.dead_events o) + nextval('reactor.events_id_seq'::regclass) else g.id end,
        g.event_id, g.tenant_id, g.event_type, g.subject_id, g.payload, g.priority, g.attempts,
        g.interruptions, g.created_at, reactor.now(), 'there is no such tenant', g.errors, g.traceparent, g.cause_id,
        g.depth, g.dedup_key
    from gone g;
end;
$$;

revoke all on function reactor.bury_orphans(uuid[], int) from public;
