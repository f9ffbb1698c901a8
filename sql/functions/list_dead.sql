--! requires: now
-- Dead events that fit all that is given, the latest death first; behind the one that died at p_died_before, with id
-- p_id_before, if that is given. Called by `reactor dead list` and the dashboard.
create or replace function reactor.list_dead(
    p_type text default null,
    p_tenant uuid default null,
    p_since interval default null,
    p_limit int default 100,
    p_died_before timestamptz default null,
    p_id_before bigint default null
) returns table (
    id bigint,
    event_id uuid,
    tenant_id uuid,
    tenant_name text,
    event_type text,
    subject_id uuid,
    attempts int,
    interruptions int,
    created_at timestamptz,
    died_at timestamptz,
    reason text
)
language plpgsql stable security definer set search_path = ''
-- A condition that is not asked for is not to be in the way of an index.
set plan_cache_mode = force_custom_plan
set jit = off
as $$
#variable_conflict use_column
begin
    return query
    select d.id, d.event_id, d.tenant_id, t.name::text, d.event_type, d.subject_id, d.attempts, d.interruptions,
        d.created_at, d.died_at, d.reason
    from reactor.dead_events d
    left join public.tenants t on t.id = d.tenant_id
    where (p_type is null or d.event_type = p_type)
        and (p_tenant is null or d.tenant_id = p_tenant)
        and (p_since is null or d.died_at >= reactor.now() - p_since)
        and (p_died_before is null or (d.died_at, d.id) < (p_died_before, p_id_before))
    order by d.died_at desc, d.id desc
    limit p_limit;
end;
$$;

revoke all on function reactor.list_dead(text, uuid, interval, int, timestamptz, bigint) from public;
grant execute on function reactor.list_dead(text, uuid, interval, int, timestamptz, bigint) to reactor;
