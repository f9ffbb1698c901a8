--! requires: now, read_event, shown_time
-- Why an event waits, or what became of it, as facts in one document. Null when nobody knows the event.
-- Called by `reactor explain`, which puts it in words.
--
-- why      in_flight    a run handles it now, or is about to
--          held         its tenant's lease is taken by a run that began before it, or by somebody else
--          no_replica   nobody lives who could take it
--          no_handler   no live replica has a handler for its type: the next one to look makes it dead
--          delayed      until available_at
--          due          its time has come, the deadline timer has not got to it yet
--          parked       a gate is closed, see gate; or its turn would be now, and whoever looks sets it aside
--          reopened     it was parked, and every gate is open again: the leader is about to put it back
--          ready        nothing is in its way but the events before it
--          dead, handled, discarded
create or replace function reactor.explain_event(p_id bigint) returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
    v_now timestamptz := reactor.now();
    v_event jsonb := reactor.read_event(p_id);
    v_tenant uuid := (v_event ->> 'tenant_id')::uuid;
    v_type text := v_event ->> 'event_type';
    v_due timestamptz := (v_event ->> 'available_at')::timestamptz;
    v_lock record;
    v_gate jsonb;
    v_replicas jsonb;
    v_ahead bigint;
    v_is_open boolean;
    v_why text;
begin
    if v_event is null then
        return null;
    end if;

    select
        l.run_id, left(l.lock_holder, 200) as lock_holder,
        reactor.shown_time(l.locked_at) as locked_at, reactor.shown_time(l.expires_at) as expires_at,
        coalesce(cardinality(f.ids), 0) as in_flight, coalesce(p_id = any (f.ids), false) as is_in_flight,
        exists (select from reactor.replicas r where r.replica = l.lock_holder) as by_replica,
        exists (
            select from reactor.replicas r
            where r.replica = l.lock_holder and r.seen_at > v_now - r.patience) as holder_alive
    into v_lock
    from public.agent_tenant_locks l
    left join reactor.in_flight f on f.tenant_id = l.tenant_id and f.run_id = l.run_id
    where l.tenant_id = v_tenant and l.expires_at > v_now;

    select jsonb_build_object(
        'global_enabled', coalesce(c.value ->> 'global_enabled' = 'true', false),
        'kill_switch_reason', c.value ->> 'kill_switch_reason',
        'tenant_exists', t.id is not null, 'tenant_name', t.name,
        'is_active', coalesce(t.is_active, false), 'agent_enabled', coalesce(t.agent_enabled, false))
    into v_gate
    from (select 1) as one
    left join public.system_config c on c.key = 'agent_config'
    left join public.tenants t on t.id = v_tenant;

    select jsonb_build_object(
        'live', count(*),
        'with_handler', count(*) filter (where r.info -> 'types' ? v_type),
        -- one of an older version does not say
        'gated', coalesce(bool_or(r.info -> 'gated' ? v_type), false),
        'leader', (select l.leader from reactor.leadership l where l.expires_at > v_now))
    into v_replicas
    from reactor.replicas r
    where r.seen_at > v_now - r.patience;

    v_is_open := (v_gate ->> 'global_enabled')::boolean
        and (v_gate ->> 'is_active')::boolean and (v_gate ->> 'agent_enabled')::boolean;

    if v_event ->> 'state' = 'waiting' and v_due is null then
        select count(*) into v_ahead
        from (
            select from reactor.events e
            where e.tenant_id = v_tenant and e.available_at is null
                and (e.priority, e.id) < ((v_event ->> 'priority')::int, p_id)
            limit 10000) x;
    end if;

    v_why := case
        when v_event ->> 'state' = 'dead' then 'dead'
        when v_event ->> 'state' = 'finished' then v_event ->> 'outcome'
        when v_due = 'infinity' and v_is_open then 'reopened'
        when v_due = 'infinity' then 'parked'
        when v_lock.is_in_flight then 'in_flight'
        when v_due > v_now then 'delayed'
        when (v_replicas ->> 'gated')::boolean and not v_is_open then 'parked'
        when v_lock.lock_holder is not null then 'held'
        when v_replicas -> 'live' = '0' then 'no_replica'
        when v_replicas -> 'with_handler' = '0' then 'no_handler'
        when v_due is not null then 'due'
        else 'ready' end;

    return jsonb_build_object(
        'id', p_id, 'why', v_why, 'at', v_now, 'event', v_event, 'gate', v_gate, 'replicas', v_replicas,
        'ahead', v_ahead,
        'waits_seconds', case when v_event ->> 'state' = 'waiting'
            then round(extract(epoch from v_now - (v_event ->> 'created_at')::timestamptz), 3) end,
        'lock', case when v_lock.lock_holder is not null then jsonb_build_object(
            'run_id', v_lock.run_id, 'lock_holder', v_lock.lock_holder, 'locked_at', v_lock.locked_at,
            'expires_at', v_lock.expires_at, 'in_flight', v_lock.in_flight,
            'held_seconds', round(extract(epoch from v_now - v_lock.locked_at), 3),
            'by_replica', v_lock.by_replica, 'holder_alive', v_lock.holder_alive) end);
end;
$$;

revoke all on function reactor.explain_event(bigint) from public;
grant execute on function reactor.explain_event(bigint) to reactor;
