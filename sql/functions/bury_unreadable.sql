--! requires: now, alert_dead
-- Of a tenant's next ready events, those whose payload no client can be given are dead, with the reason. As text it is
-- longer than a gigabyte, though a few kilobytes as it is stored: numbers such as 1e131071 are a few bytes there, and
-- 131,072 digits in a text. Claims of it fail, and so do settlements that would bring it next. Called by the engine when
-- one failed for a limit of the server's; such an event is never in flight. Returns how many there were.
create or replace function reactor.bury_unreadable(p_tenant uuid, p_limit int) returns int
language plpgsql security definer set search_path = ''
as $$
declare
    v_until constant timestamptz := clock_timestamp() + interval '3 seconds';
    v_id bigint;
    v_ids bigint[] := '{}';
begin
    for v_id in
        select e.id from reactor.events e
        where e.tenant_id = p_tenant and e.available_at is null
        order by e.tenant_id, e.priority, e.id
        limit p_limit
    loop
        begin
            perform octet_length(e.payload::text) from reactor.events e where e.id = v_id;
        exception when program_limit_exceeded then
            v_ids := v_ids || v_id;
        end;
        -- The caller's patience has an end; what is left is found when it fails again.
        exit when clock_timestamp() > v_until;
    end loop;

    with gone as (
        delete from reactor.events e
        where e.id = any (array(select w.id from reactor.events w where w.id = any (v_ids) for update skip locked))
        returning e.*
    ),
    dead as (
        insert into reactor.dead_events (
            id, event_id, tenant_id, event_type, subject_id, payload, priority, attempts, interruptions, created_at,
            died_at, reason, errors, traceparent, cause_id, depth, dedup_key)
        -- As in reactor.bury().
        select case when exists (select from reactor.dead_events o where o.id = g.id)
                then (select max(o.id) from reactor.dead_events o) + nextval('reactor.events_id_seq'::regclass) else g.id end,
            g.event_id, g.tenant_id, g.event_type, g.subject_id, g.payload, g.priority, g.attempts,
            g.interruptions, g.created_at, reactor.now(), 'the payload cannot be read: its text is longer than a gigabyte',
            g.errors, g.traceparent, g.cause_id, g.depth, g.dedup_key
        from gone g
        returning id
    )
    select coalesce(array_agg(d.id), '{}') into v_ids from dead d;
    if cardinality(v_ids) > 0 then
        perform reactor.alert_dead(v_ids);
    end if;
    return cardinality(v_ids);
end;
$$;

revoke all on function reactor.bury_unreadable(uuid, int) from public;
grant execute on function reactor.bury_unreadable(uuid, int) to reactor;
