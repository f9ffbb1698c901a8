-- What happened in the hour that begins at p_hour, one row for each tenant with any activity; with p_tenants,
-- for these tenants whether anything happened or not. Read by the leader's housekeeping
-- (automation/reflections.py), which has no tenant. A run counts in the hour in which it ended. Of the words that a
-- tenant's users may write there are the most frequent ones, and no long ones: a replica reads those of all tenants.
create or replace function reactor.hour_metrics(p_hour timestamptz, p_tenants uuid[] default null)
returns table (
    tenant_id uuid,
    runs_completed int,
    runs_failed int,
    run_ms bigint,
    actions_planned int,
    actions_executed int,
    actions_blocked int,
    emails_sent int,
    cards_created int,
    orders_validated int,
    orders_with_exceptions int,
    exceptions_raised int,
    policy_violations int,
    email_failures int,
    alerts_raised int,
    contacts_touched int,
    violations_by_policy jsonb,
    exceptions_by_type jsonb
)
language sql stable security definer set search_path = ''
begin atomic
    with runs as (
        select r.tenant_id, count(*) filter (where r.status = 'completed') as completed,
            count(*) filter (where r.status in ('failed', 'timeout')) as failed, sum(r.duration_ms) as ms,
            sum(r.actions_planned) as planned, sum(r.actions_executed) as executed,
            sum(r.actions_blocked) as blocked, sum(r.emails_sent) as emails, sum(r.cards_created) as cards
        from public.agent_autonomous_runs r
        where r.started_at >= p_hour - interval '1 day' and r.started_at < p_hour + interval '1 hour'
            and r.completed_at >= p_hour and r.completed_at < p_hour + interval '1 hour'
            and (p_tenants is null or r.tenant_id = any (p_tenants))
        group by r.tenant_id
    ),
    orders as (
        select q.tenant_id, count(*) filter (where q.status = 'validated') as validated,
            count(*) filter (where q.status = 'exception') as excepted
        from public.order_processing_queue q
        where q.processed_at >= p_hour and q.processed_at < p_hour + interval '1 hour'
            and (p_tenants is null or q.tenant_id = any (p_tenants))
        group by q.tenant_id
    ),
    exceptions as (
        select k.tenant_id, sum(k.n) as n, jsonb_object_agg(k.exception_type, k.n) as by_type
        from (
            select e.tenant_id, e.exception_type, count(*) as n
            from public.order_processing_exceptions e
            where e.created_at >= p_hour and e.created_at < p_hour + interval '1 hour'
                and (p_tenants is null or e.tenant_id = any (p_tenants))
            group by e.tenant_id, e.exception_type) k
        group by k.tenant_id
    ),
    violations as (
        select k.tenant_id, sum(k.n) as n, jsonb_object_agg(k.violation_type, k.n) filter (where k.nth <= 50) as by_policy
        from (
            select v.tenant_id, w.violation_type, count(*) as n,
                row_number() over (partition by v.tenant_id order by count(*) desc, w.violation_type) as nth
            from public.agent_policy_violations v
            cross join lateral (select left(coalesce(v.violation_type, 'other'), 100) as violation_type) w
            where v.created_at >= p_hour and v.created_at < p_hour + interval '1 hour'
                and (p_tenants is null or v.tenant_id = any (p_tenants))
            group by v.tenant_id, w.violation_type) k
        group by k.tenant_id
    ),
    failures as (
        select f.tenant_id, count(*) as n
        from public.email_provider_failures f
        where f.created_at >= p_hour and f.created_at < p_hour + interval '1 hour'
            and (p_tenants is null or f.tenant_id = any (p_tenants))
        group by f.tenant_id
    ),
    alerts as (
        select a.tenant_id, count(*) as n
        from public.agent_alerts a
        where a.created_at >= p_hour and a.created_at < p_hour + interval '1 hour'
            and (p_tenants is null or a.tenant_id = any (p_tenants))
        group by a.tenant_id
    ),
    touches as (
        select c.tenant_id, count(*) as n
        from public.engagement_clocks c
        where c.last_touch_at >= p_hour and c.last_touch_at < p_hour + interval '1 hour'
            and (p_tenants is null or c.tenant_id = any (p_tenants))
        group by c.tenant_id
    )
    select t.id, coalesce(r.completed, 0)::int, coalesce(r.failed, 0)::int, coalesce(r.ms, 0)::bigint,
        -- What handlers count is added up as far as it goes; a tenant's users may write any number there.
        greatest(least(coalesce(r.planned, 0), 2147483647), 0)::int, greatest(least(coalesce(r.executed, 0), 2147483647), 0)::int,
        greatest(least(coalesce(r.blocked, 0), 2147483647), 0)::int, greatest(least(coalesce(r.emails, 0), 2147483647), 0)::int,
        greatest(least(coalesce(r.cards, 0), 2147483647), 0)::int,
        coalesce(o.validated, 0)::int, coalesce(o.excepted, 0)::int, coalesce(x.n, 0)::int, coalesce(v.n, 0)::int, coalesce(f.n, 0)::int,
        coalesce(a.n, 0)::int, coalesce(c.n, 0)::int, coalesce(v.by_policy, '{}'), coalesce(x.by_type, '{}')
    from public.tenants t
    left join runs r on r.tenant_id = t.id
    left join orders o on o.tenant_id = t.id
    left join exceptions x on x.tenant_id = t.id
    left join violations v on v.tenant_id = t.id
    left join failures f on f.tenant_id = t.id
    left join alerts a on a.tenant_id = t.id
    left join touches c on c.tenant_id = t.id
    where t.id = any (p_tenants)
        or (p_tenants is null and coalesce(
            r.tenant_id, o.tenant_id, x.tenant_id, v.tenant_id, f.tenant_id, a.tenant_id, c.tenant_id) is not null);
end;

revoke all on function reactor.hour_metrics(timestamptz, uuid[]) from public;
grant execute on function reactor.hour_metrics(timestamptz, uuid[]) to reactor;
