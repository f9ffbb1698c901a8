-- Whether an older open critical alert of the same type speaks for this one of the caller's tenant. It does when it is
-- repeated itself: its alert.escalate is on its way (one that was raised without channels, or was there before the
-- reactor, has none), and it found a channel the last time. Called by the handler of alert.escalate, in the tenant's
-- scope: handlers cannot read the outbox.
create or replace function reactor.alert_is_spoken_for(p_alert_id uuid) returns boolean
language plpgsql stable security definer set search_path = ''
as $$
begin
    return exists (
        select from public.agent_alerts a
        join public.agent_alerts o on o.tenant_id = a.tenant_id and o.alert_type = a.alert_type
            and o.severity = 'critical' and not o.acknowledged and (o.created_at, o.id) < (a.created_at, a.id)
        where a.tenant_id = (select reactor.current_tenant()) and a.id = p_alert_id
            -- The key is the one that automation/alerts.py gives it. No join: the outbox may be long.
            and (
                select e.id from reactor.events e
                where e.tenant_id = o.tenant_id and e.dedup_key = 'alert.escalate:' || o.id) is not null
            and (
                select d.status from reactor.alert_deliveries d
                where d.alert_id = o.id order by d.step desc limit 1) is distinct from 'no_channel');
end;
$$;

revoke all on function reactor.alert_is_spoken_for(uuid) from public;
grant execute on function reactor.alert_is_spoken_for(uuid) to reactor_handler;
