--! requires: now
-- Alerts about dead events: one an hour for a tenant and event type, however many die. Called by reactor.bury() in the
-- transaction of their death, and by reactor.clean_fleet() for those that were left out then.
--
-- Left out are tenants that a transaction of the application holds: an alert refers to its tenant's row, and a
-- settlement, which other tenants' runs may share, waits for nobody. The death of an alert's delivery raises none: it
-- would be delivered the same way. Of a canary the tenant is to know nothing.
create or replace function reactor.alert_dead(p_ids bigint[]) returns void
language plpgsql security definer set search_path = ''
set enable_seqscan = off
as $$
begin
    insert into public.agent_alerts (tenant_id, alert_type, severity, message, metadata, created_at)
    select d.tenant_id, 'dead_event', 'critical',
        format('%s event%s of type %s cannot be handled: %s', count(*), case when count(*) > 1 then 's' else '' end,
            d.event_type, min(d.reason)),
        jsonb_build_object('event_type', d.event_type, 'event_ids', jsonb_agg(d.id)), reactor.now()
    from reactor.dead_events d
    where d.id = any (p_ids) and d.event_type not like 'alert.%' and d.event_type <> 'reactor.canary'
        and not exists (
            select from public.agent_alerts a
            where a.tenant_id = d.tenant_id and a.alert_type = 'dead_event'
                and a.metadata ->> 'event_type' = d.event_type
                and a.created_at > d.died_at - interval '1 hour')
        and exists (select from public.tenants t where t.id = d.tenant_id for key share skip locked)
    group by d.tenant_id, d.event_type;
end;
$$;

revoke all on function reactor.alert_dead(bigint[]) from public;
