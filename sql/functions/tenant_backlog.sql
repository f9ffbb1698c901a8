--! requires: now
-- What stands before these tenants now: the blockers and priorities of a reflection. Read by the leader's
-- housekeeping (automation/reflections.py).
create or replace function reactor.tenant_backlog(p_tenants uuid[])
returns table (
    tenant_id uuid,
    orders_pending int,
    exceptions_unresolved int,
    clocks_overdue int,
    emails_waiting int,
    emails_unknown int,
    alerts_unacknowledged int,
    alerts_critical int,
    dead_events int
)
language sql stable security definer set search_path = ''
begin atomic
    -- Asked once: a volatile function in a condition is no key for an index.
    with clock as materialized (select reactor.now() as now)
    select t.tenant_id,
        (select count(*) from public.order_processing_queue q
            where q.tenant_id = t.tenant_id and q.status = 'pending')::int,
        (select count(*) from public.order_processing_exceptions e
            where e.tenant_id = t.tenant_id and e.resolved = false)::int,
        (select count(*) from public.engagement_clocks c
            where c.tenant_id = t.tenant_id and c.next_touch_due <= n.now)::int,
        (select count(*) from reactor.email_intents i
            where i.tenant_id = t.tenant_id and i.status in ('queued', 'sending'))::int,
        (select count(*) from reactor.email_intents i
            where i.tenant_id = t.tenant_id and i.status = 'unknown')::int,
        (select count(*) from public.agent_alerts a
            where a.tenant_id = t.tenant_id and a.acknowledged = false)::int,
        (select count(*) from public.agent_alerts a
            where a.tenant_id = t.tenant_id and a.acknowledged = false and a.severity = 'critical')::int,
        (select count(*) from reactor.dead_events d where d.tenant_id = t.tenant_id)::int
    from unnest(p_tenants) as t (tenant_id)
    cross join clock n;
end;

revoke all on function reactor.tenant_backlog(uuid[]) from public;
grant execute on function reactor.tenant_backlog(uuid[]) to reactor;
