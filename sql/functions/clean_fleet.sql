--! requires: now, require_leader, retire, still_bell, alert_dead
-- Retires replicas that have been silent too long, so that nobody rings for them, and raises the alerts of the last
-- hour's deaths that a transaction of the application was in the way of. Called by housekeeping.
create or replace function reactor.clean_fleet(p_term bigint) returns int
language plpgsql security definer set search_path = ''
as $$
declare
    v_replica text;
    v_count int := 0;
    -- A variable, because a volatile function in a condition is no key for an index.
    v_since constant timestamptz := reactor.now() - interval '1 hour';
begin
    perform reactor.require_leader(p_term);
    perform reactor.alert_dead(array(
        with recursive types as (
            (select d.event_type from reactor.dead_events d order by d.event_type limit 1)
            union all
            select (select d.event_type from reactor.dead_events d
                    where d.event_type > t.event_type order by d.event_type limit 1)
            from types t
            where t.event_type is not null
        ),
        -- What was said already, of most deaths of an outage, is left out before there is a list of them.
        died as materialized (
            select d.tenant_id, d.event_type, max(d.died_at) as last
            from types t
            join reactor.dead_events d on d.event_type = t.event_type and d.died_at > v_since
            where t.event_type not like 'alert.%' and t.event_type <> 'reactor.canary'
            group by d.tenant_id, d.event_type
        ),
        unsaid as materialized (
            select d.tenant_id, array_agg(d.event_type) as types
            from died d
            where not exists (
                select from public.agent_alerts a
                where a.tenant_id = d.tenant_id and a.alert_type = 'dead_event'
                    and a.metadata ->> 'event_type' = d.event_type
                    and a.created_at > d.last - interval '1 hour'
                offset 0)
            group by d.tenant_id
        )
        select x.id
        from unsaid u
        cross join lateral (
            select d.id from reactor.dead_events d
            where d.tenant_id = u.tenant_id and d.died_at > v_since and d.event_type = any (u.types)
            offset 0) x));
    for v_replica in
        select r.replica from reactor.replicas r where r.seen_at <= reactor.now() - r.patience * 2
    loop
        perform reactor.retire(v_replica);
        v_count := v_count + 1;
    end loop;
    perform reactor.still_bell();
    return v_count;
end;
$$;

revoke all on function reactor.clean_fleet(bigint) from public;
grant execute on function reactor.clean_fleet(bigint) to reactor;
