--! requires: now
-- What the alert rules judge: the hour before p_at, for every active tenant that has anything to judge. Read
-- by the leader's housekeeping (automation/rules.py), which has no tenant; set-based, one row a tenant.
--
-- emails_mean is the hourly mean of the seven days before that hour, over the hours since the tenant's first
-- email in them: hours_of_data says how many.
create or replace function reactor.rule_facts(p_at timestamptz default null)
returns table (
    tenant_id uuid,
    runs int,
    runs_failed int,
    mean_run_seconds float8,
    planned int,
    blocked int,
    violations int,
    clocks int,
    clocks_overdue int,
    emails int,
    emails_mean float8,
    hours_of_data int
)
language sql stable security definer set search_path = ''
begin atomic
    with span as (
        select coalesce(p_at, reactor.now()) as until, coalesce(p_at, reactor.now()) - interval '1 hour' as since
    ),
    runs as (
        select r.tenant_id, count(*) as runs, count(*) filter (where r.status in ('failed', 'timeout')) as failed,
            avg(r.duration_ms) / 1000.0 as seconds, sum(r.actions_planned) as planned, sum(r.actions_blocked) as blocked
        from public.agent_autonomous_runs r, span s
        -- A run may have begun long before it ended.
        where r.started_at >= s.since - interval '1 day' and r.started_at < s.until
            and r.completed_at >= s.since and r.completed_at < s.until
        group by r.tenant_id
    ),
    violations as (
        select v.tenant_id, count(*) as violations
        from public.agent_policy_violations v, span s
        where v.created_at >= s.since and v.created_at < s.until and v.blocked
        group by v.tenant_id
    ),
    clocks as (
        select c.tenant_id, count(*) as clocks,
            count(*) filter (where c.next_touch_due <= s.until) as overdue
        from public.engagement_clocks c, span s
        group by c.tenant_id
    ),
    emails as (
        select r.tenant_id, coalesce(sum(r.emails_sent) filter (where r.completed_at >= s.since), 0) as emails,
            coalesce(sum(r.emails_sent) filter (where r.completed_at < s.since), 0) as earlier,
            extract(epoch from s.since - min(r.completed_at)) / 3600 as hours
        from public.agent_autonomous_runs r, span s
        where r.emails_sent > 0 and r.completed_at >= s.since - interval '7 days' and r.completed_at < s.until
        group by r.tenant_id, s.since
    )
    select t.id, coalesce(r.runs, 0)::int, coalesce(r.failed, 0)::int, coalesce(r.seconds, 0)::float8,
        -- A tenant's users may write any number there, and the others are judged with it.
        greatest(least(coalesce(r.planned, 0), 2147483647), 0)::int, greatest(least(coalesce(r.blocked, 0), 2147483647), 0)::int,
        coalesce(v.violations, 0)::int,
        coalesce(c.clocks, 0)::int, coalesce(c.overdue, 0)::int, least(coalesce(e.emails, 0), 2147483647)::int,
        coalesce(e.earlier / nullif(ceil(e.hours), 0), 0)::float8, greatest(coalesce(floor(e.hours), 0), 0)::int
    from public.tenants t
    left join runs r on r.tenant_id = t.id
    left join violations v on v.tenant_id = t.id
    left join clocks c on c.tenant_id = t.id
    left join emails e on e.tenant_id = t.id
    where t.is_active
        and (r.tenant_id is not null or v.tenant_id is not null or c.tenant_id is not null or e.tenant_id is not null);
end;

revoke all on function reactor.rule_facts(timestamptz) from public;
grant execute on function reactor.rule_facts(timestamptz) to reactor;
