--! requires: now
-- Dead events that fit all that is given, the latest death first. Called by `reactor dead list`.
create or replace function reactor.list_dead(
    p_type text default null,
    p_tenant uuid default null,
    p_since interval default null,
    p_limit int default 100
) returns table (
    id bigint,
    event_id uuid,
    tenant_id uuid,
    event_type text,
    subject_id uuid,
    attempts int,
    interruptions int,
    created_at timestamptz,
    died_at timestamptz,
    reason text
)
language plpgsql stable security definer set search_path = ''
as $$
#variable_conflict use_column
begin
    return query
    select d.id, d.event_id, d.tenant_id, d.event_type, d.subject_id, d.attempts, d.interruptions,
        d.created_at, d.died_at, d.reason
    from reactor.dead_events d
    where (p_type is null or d.event_type = p_type)
        and (p_tenant is null or d.tenant_id = p_tenant)
        and (p_since is null or d.died_at >= reactor.now() - p_since)
    order by d.died_at desc, d.id desc
    limit p_limit;
end;
$$;

revoke all on function reactor.list_dead(text, uuid, interval, int) from public;
grant execute on function reactor.list_dead(text, uuid, interval, int) to reactor;
