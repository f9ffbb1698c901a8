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
declare
    v_why pg_catalog.text;
    v_ids bigint[];
begin
    begin
        with died as materialized (
            select d.id, d.tenant_id, d.event_type, d.reason, d.died_at
            from reactor.dead_events d
            where d.id = any (p_ids) and d.event_type not like 'alert.%' and d.event_type <> 'reactor.canary'
        ),
        -- The last alert is looked up once for all deaths of a tenant and type: metadata is long to read.
        said as materialized (
            select k.tenant_id, k.event_type, (
                select max(a.created_at) from public.agent_alerts a
                where a.tenant_id = k.tenant_id and a.alert_type = 'dead_event'
                    and a.metadata ->> 'event_type' = k.event_type and a.created_at > k.since) as at
            from (
                select d.tenant_id, d.event_type, min(d.died_at) - interval '1 hour' as since
                from died d
                group by d.tenant_id, d.event_type) k
        ),
        unsaid as materialized (
            select d.tenant_id, d.event_type, count(*) as events, min(d.reason) as reason,
                array_agg(d.id order by d.id) as ids
            from died d
            join said s on s.tenant_id = d.tenant_id and s.event_type = d.event_type
            where s.at is null or s.at <= d.died_at - interval '1 hour'
            group by d.tenant_id, d.event_type
        )
        insert into public.agent_alerts (tenant_id, alert_type, severity, message, metadata, created_at)
        select u.tenant_id, 'dead_event', 'critical',
            format('%s event%s of type %s cannot be handled: %s', u.events, case when u.events > 1 then 's' else '' end,
                u.event_type, u.reason),
            -- Some of the ids: an alert is posted and mailed, and `reactor dead list` shows all.
            jsonb_build_object('event_type', u.event_type, 'events', u.events, 'event_ids', to_jsonb(u.ids[1:100])),
            reactor.now()
        from unsaid u
        where exists (select from public.tenants t where t.id = u.tenant_id for key share skip locked);
        return;
    exception when others then
        -- A constraint or a trigger of the application's refused it. The events must die all the same: a settlement
        -- that failed would be tried again for ever.
        v_why := sqlerrm;
    end;
    -- The others' alerts are not lost with it. A bounded number a call, as reactor.clean_fleet() comes back; in any
    -- order, so that those that are refused each time do not keep off the rest.
    for v_ids in
        select array_agg(d.id) from reactor.dead_events d
        where d.id = any (p_ids)
        group by d.tenant_id, d.event_type order by random() limit 20
    loop
        if cardinality(v_ids) < cardinality(p_ids) then
            perform reactor.alert_dead(v_ids);
        else
            raise warning 'an alert about dead events was refused: %', v_why
                using detail = format('The first of the events: %s', v_ids[1]);
        end if;
    end loop;
end;
$$;

revoke all on function reactor.alert_dead(bigint[]) from public;
