--! requires: now, is_open, backlog
-- Counts and lags of everything, as one document. Called by `reactor status`, `reactor top` and `reactor doctor`.
-- It reads the whole outbox once, so it is for people, not for a loop of a program: reactor.backlog() is for that, and
-- has the same names for the same things.
--
-- totals counts since the server's statistics were reset: the difference of two readings is a rate.
create or replace function reactor.status() returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
    v_now timestamptz := reactor.now();
    v_config jsonb := (select c.value from public.system_config c where c.key = 'agent_config');
    v_types jsonb;
    v_events jsonb;
begin
    with flying as materialized (
        select i.id
        from public.agent_tenant_locks l
        join reactor.in_flight f on f.tenant_id = l.tenant_id and f.run_id = l.run_id
        cross join unnest(f.ids) as i (id)
        where l.expires_at > v_now
    ),
    waiting as (
        select
            e.event_type,
            count(*) filter (where e.available_at is null and f.id is null) as ready,
            count(*) filter (where f.id is not null) as in_flight,
            count(*) filter (where e.available_at < 'infinity') as delayed,
            count(*) filter (where e.available_at = 'infinity') as parked,
            count(*) filter (where e.attempts > 0) as retrying,
            min(coalesce(e.ready_at, e.created_at)) filter (where e.available_at is null) as oldest,
            min(e.available_at) filter (where e.available_at < 'infinity') as due
        from reactor.events e
        left join flying f on f.id = e.id
        group by e.event_type
    ),
    dead as (
        select d.event_type, count(*) as dead from reactor.dead_events d group by d.event_type
    ),
    both_kinds as (
        select
            coalesce(w.event_type, d.event_type) as event_type,
            coalesce(w.ready, 0) as ready, coalesce(w.in_flight, 0) as in_flight,
            coalesce(w.delayed, 0) as delayed, coalesce(w.parked, 0) as parked,
            coalesce(w.retrying, 0) as retrying, coalesce(d.dead, 0) as dead, w.oldest, w.due
        from waiting w
        full join dead d on d.event_type = w.event_type
    )
    select
        coalesce(jsonb_agg(jsonb_build_object(
            'event_type', b.event_type, 'ready', b.ready, 'in_flight', b.in_flight, 'delayed', b.delayed,
            'parked', b.parked, 'retrying', b.retrying, 'dead', b.dead,
            'oldest_seconds', round(extract(epoch from v_now - b.oldest), 3)) order by b.event_type), '[]'),
        jsonb_build_object(
            'ready', coalesce(sum(b.ready), 0), 'in_flight', coalesce(sum(b.in_flight), 0),
            'delayed', coalesce(sum(b.delayed), 0), 'parked', coalesce(sum(b.parked), 0),
            'retrying', coalesce(sum(b.retrying), 0), 'dead', coalesce(sum(b.dead), 0),
            'oldest_seconds', round(extract(epoch from v_now - min(b.oldest)), 3), 'next_due_at', min(b.due))
    into v_types, v_events
    from both_kinds b;

    return jsonb_build_object(
        'at', v_now,
        'gate', jsonb_build_object(
            'open', coalesce(v_config ->> 'global_enabled' = 'true', false),
            'reason', v_config ->> 'kill_switch_reason'),
        'tenants', (
            select jsonb_build_object(
                'total', count(*), 'enabled', count(*) filter (where t.is_active and t.agent_enabled),
                'waiting', (select b.tenants_waiting from reactor.backlog() b))
            from public.tenants t),
        'events', v_events,
        'types', v_types,
        'replicas', (
            select coalesce(jsonb_agg(jsonb_build_object(
                'replica', r.replica, 'started_at', r.started_at, 'seen_at', r.seen_at,
                'alive', r.seen_at > v_now - r.patience, 'version', r.version,
                'concurrency', r.info -> 'concurrency', 'types', coalesce(r.info -> 'types', '[]'),
                'tenants_held', (
                    select count(*) from public.agent_tenant_locks l
                    where l.lock_holder = r.replica and l.expires_at > v_now)) order by r.started_at), '[]')
            from reactor.replicas r),
        'leader', (
            select jsonb_build_object(
                'replica', l.leader, 'term', l.term, 'leads', l.leader is not null and l.expires_at > v_now,
                -- who resigned left no lease behind
                'expires_at', nullif(l.expires_at, '-infinity'))
            from reactor.leadership l),
        -- seconds: how long the last canary that came through took; silent_seconds: null when none is missing
        'canary', (
            select jsonb_build_object(
                'heard_at', c.heard_at, 'seconds', round(extract(epoch from c.took), 3), 'sent_at', c.sent_at,
                'silent_seconds', round(extract(epoch from v_now - c.unheard_since), 3))
            from reactor.canary c),
        -- Periodic jobs whose last run failed, and how often in a row. One that no leader starts any more was taken away.
        'jobs_failing', (
            select coalesce(jsonb_agg(jsonb_build_object(
                'name', s.name, 'failures', s.failures, 'last_error', s.last_error, 'due_at', s.due_at)
                order by s.name), '[]')
            from reactor.schedules s where s.failures > 0 and s.due_at > v_now - s.every),
        'locks', (
            select jsonb_build_object(
                'held', count(*) filter (where l.expires_at > v_now),
                'expired', count(*) filter (where l.expires_at <= v_now))
            from public.agent_tenant_locks l),
        -- Runs are partitioned and keyed by ids that begin with their time.
        'runs_last_hour', (
            select jsonb_build_object(
                'running', count(*) filter (where r.status = 'running'),
                'completed', count(*) filter (where r.status = 'completed'),
                'failed', count(*) filter (where r.status = 'failed'),
                'timeout', count(*) filter (where r.status = 'timeout'))
            from public.agent_autonomous_runs r
            where r.id >= reactor.uuid7_floor(v_now - interval '1 hour')),
        'alerts', (
            select jsonb_build_object(
                'critical', count(*) filter (where a.severity = 'critical'),
                'warning', count(*) filter (where a.severity = 'warning'),
                'info', count(*) filter (where a.severity = 'info'))
            from public.agent_alerts a where not a.acknowledged),
        'totals', jsonb_build_object(
            'emitted', pg_catalog.pg_stat_get_tuples_inserted('reactor.events'::regclass) - (
                select r.kept from reactor.rotation r),
            'finished', pg_catalog.pg_stat_get_tuples_deleted('reactor.events'::regclass)));
end;
$$;

revoke all on function reactor.status() from public;
grant execute on function reactor.status() to reactor;
