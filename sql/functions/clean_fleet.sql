--! requires: now, require_leader, retire, alert_dead
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
    for v_replica in
        select r.replica from reactor.replicas r where r.seen_at <= reactor.now() - r.patience * 2
    loop
        perform reactor.retire(v_replica);
        v_count := v_count + 1;
    end loop;
    perform reactor.alert_dead(array(
        with recursive types as (
            (select d.event_type from reactor.dead_events d order by d.event_type limit 1)
            union all
            select (select d.event_type from reactor.dead_events d
                    where d.event_type > t.event_type order by d.event_type limit 1)
            from types t
            where t.event_type is not null
        )
        select d.id
        from types t
        join reactor.dead_events d on d.event_type = t.event_type and d.died_at > v_since));
    return v_count;
end;
$$;

revoke all on function reactor.clean_fleet(bigint) from public;
grant execute on function reactor.clean_fleet(bigint) to reactor;
