--! requires: emit, now
-- Alerts that were raised while their tenant had no channel for them begin anew, as if they were raised now: the
-- critical ones that nobody acknowledged, and the others of the last day. What they say of themselves is as old as
-- it is; that agent_settings are wrong is true no more. The latest comes first, because of a type one alone is
-- delivered. Returns how many. Called when a tenant's channels change, and by reactor.enable_alert_channel().
create or replace function reactor.bring_alerts_again(p_tenant_id uuid) returns int
language plpgsql security definer set search_path = ''
as $$
declare
    v_since constant timestamptz := reactor.now() - interval '1 day';
    v_alert uuid;
    v_again int := 0;
begin
    for v_alert in
        select a.id
        from reactor.alert_deliveries d
        join public.agent_alerts a on a.id = d.alert_id and a.tenant_id = d.tenant_id
        where d.tenant_id = p_tenant_id and d.status = 'no_channel' and d.step = 0
            and a.acknowledged is not true and a.alert_type <> 'settings_invalid'
            and (a.severity = 'critical' or a.created_at > v_since)
        order by a.severity = 'critical' desc, a.created_at desc, a.id desc
        limit 1000
    loop
        delete from reactor.alert_deliveries d where d.alert_id = v_alert and d.step = 0 and d.status = 'no_channel';
        perform reactor.emit(p_tenant_id, 'alert.created', '{"again": true}', subject_id => v_alert,
            dedup_key => 'alert.created:' || v_alert);
        v_again := v_again + 1;
    end loop;
    return v_again;
end;
$$;

revoke all on function reactor.bring_alerts_again(uuid) from public;
