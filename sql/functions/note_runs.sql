--! requires: now
-- What runs did and which of them ended, in one update of each row: a second one in the same transaction would have its
-- foreign key checked again, and wait for whoever holds the tenant's row. Called by reactor.settle() and
-- reactor.checkpoint(), after the fence; see there for the shape of p_counts.
create or replace function reactor.note_runs(p_runs uuid[], p_ended uuid[], p_counts jsonb) returns void
language plpgsql security definer set search_path = ''
set enable_seqscan = off
set plan_cache_mode = force_generic_plan
as $$
declare
    -- Types are qualified: temporary ones of a handler's, which may run code, come first on an empty search_path.
    v_now constant pg_catalog.timestamptz := reactor.now();
begin
    update public.agent_autonomous_runs r
    set
        actions_planned = greatest(least(r.actions_planned::bigint + coalesce(c.planned, 0), 2147483647), -2147483648)::int,
        actions_executed = greatest(least(r.actions_executed::bigint + coalesce(c.executed, 0), 2147483647), -2147483648)::int,
        actions_blocked = greatest(least(r.actions_blocked::bigint + coalesce(c.blocked, 0), 2147483647), -2147483648)::int,
        emails_sent = greatest(least(r.emails_sent::bigint + coalesce(c.emails_sent, 0), 2147483647), -2147483648)::int,
        cards_created = greatest(least(r.cards_created::bigint + coalesce(c.cards_created, 0), 2147483647), -2147483648)::int,
        error_message = coalesce(c.error, r.error_message),
        phase = case
            when not c.ends or r.completed_at is not null then coalesce(c.phase, r.phase)
            when coalesce(c.error, r.error_message) is null then 'completed' else 'failed' end,
        status = case
            when not c.ends or r.completed_at is not null then r.status
            when coalesce(c.error, r.error_message) is null then 'completed' else 'failed' end,
        completed_at = case when c.ends then coalesce(r.completed_at, v_now) else r.completed_at end,
        duration_ms = case
            when not c.ends or r.completed_at is not null then r.duration_ms
            -- It may have begun at any time: a tenant's users may write their own runs.
            when not isfinite(r.started_at) then null
            else least(extract(epoch from greatest(v_now - r.started_at, interval '0')) * 1000, 2147483647)::int end
    from (
        select x.id, e.id is not null as ends, n.*
        from unnest(p_runs) as x (id)
        left join unnest(p_ended) as e (id) on e.id = x.id
        left join jsonb_to_recordset(p_counts) as n (
            run pg_catalog.uuid, planned int, executed int, blocked int, emails_sent int, cards_created int,
            phase pg_catalog.text, error pg_catalog.text) on n.run = x.id
        where e.id is not null or n.run is not null
    ) c
    where r.id = c.id;
end;
$$;

revoke all on function reactor.note_runs(uuid[], uuid[], jsonb) from public;
