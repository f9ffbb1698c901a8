--! requires: now, choose_dead
-- Gives up dead events that fit all that is given, at most p_limit, and returns their ids. They move to the
-- history as discarded, whole, with the reason: nothing is dropped. Called by `reactor dead discard`.
create or replace function reactor.discard_dead(
    p_ids bigint[] default null,
    p_type text default null,
    p_tenant uuid default null,
    p_since interval default null,
    p_limit int default 1000,
    p_reason text default null
) returns table (id bigint)
language plpgsql security definer set search_path = ''
as $$
#variable_conflict use_column
begin
    return query
    with chosen as (
        select d.id from reactor.dead_events d
        where d.id in (select c.id from reactor.choose_dead(p_ids, p_type, p_tenant, p_since, p_limit) c)
        order by d.id
        for update skip locked
    ),
    gone as (
        delete from reactor.dead_events d using chosen c where d.id = c.id returning d.*
    )
    insert into reactor.history as h (
        id, event_id, tenant_id, event_type, subject_id, payload, priority, attempts, interruptions, created_at,
        finished_at, outcome, reason, run_id, errors, traceparent, cause_id, depth)
    select g.id, g.event_id, g.tenant_id, g.event_type, g.subject_id, g.payload, g.priority, g.attempts,
        g.interruptions, g.created_at, reactor.now(), 'discarded',
        format('%s gave it up%s; it was dead since %s: %s',
            session_user, ' (' || nullif(p_reason, '') || ')', g.died_at, g.reason),
        g.run_id, g.errors, g.traceparent, g.cause_id, g.depth
    from gone g
    order by g.id
    returning h.id;
end;
$$;

revoke all on function reactor.discard_dead(bigint[], text, uuid, interval, int, text) from public;
grant execute on function reactor.discard_dead(bigint[], text, uuid, interval, int, text) to reactor;
