--! requires: now, ring, choose_dead
-- Puts dead events that fit all that is given back in the outbox, oldest first, at most p_limit, and
-- returns their ids. Called by `reactor dead replay`, when what killed them is mended.
--
-- An event keeps its ids, so what it did outside under its idempotency key is not done twice; it keeps its
-- errors and its place in its tenant's order; its attempts start again. Its dedup_key is given up where a
-- younger event with the same one waits already.
create or replace function reactor.replay(
    p_ids bigint[] default null,
    p_type text default null,
    p_tenant uuid default null,
    p_since interval default null,
    p_limit int default 1000
) returns table (id bigint)
language plpgsql security definer set search_path = ''
as $$
#variable_conflict use_column
declare
    v_ids bigint[];
begin
    for v_turn in 1 .. 5 loop
        begin
            with chosen as (
                select d.id from reactor.dead_events d
                where d.id in (select c.id from reactor.choose_dead(p_ids, p_type, p_tenant, p_since, p_limit) c)
                order by d.id
                for update skip locked
            ),
            gone as (
                delete from reactor.dead_events d using chosen c where d.id = c.id returning d.*
            ),
            ranked as (
                select g.*, row_number() over (partition by g.tenant_id, g.dedup_key order by g.id) as nth from gone g
            ),
            put as (
                insert into reactor.events as e (
                    id, event_id, tenant_id, event_type, subject_id, payload, priority, created_at, errors, traceparent,
                    cause_id, depth, dedup_key, ready_at)
                overriding system value
                select r.id, r.event_id, r.tenant_id, r.event_type, r.subject_id, r.payload, r.priority, r.created_at,
                    r.errors || jsonb_build_object('at', reactor.now(), 'kind', 'replayed',
                        'error', format('%s put it back; it was dead since %s: %s', session_user, r.died_at, r.reason)),
                    r.traceparent, r.cause_id, r.depth,
                    case when r.nth = 1 and not exists (
                        select from reactor.events w
                        where w.tenant_id = r.tenant_id and w.dedup_key = r.dedup_key) then r.dedup_key end,
                    reactor.now()
                from ranked r
                order by r.id
                returning e.id
            )
            select array_agg(p.id order by p.id) into v_ids from put p;
            exit;
        exception when unique_violation then
            -- Somebody emitted one with the same dedup_key meanwhile: now it is seen.
            if v_turn = 5 then
                raise;
            end if;
        end;
    end loop;
    if v_ids is not null then
        perform reactor.ring();
    end if;
    return query select u.id from unnest(v_ids) as u (id);
end;
$$;

revoke all on function reactor.replay(bigint[], text, uuid, interval, int) from public;
grant execute on function reactor.replay(bigint[], text, uuid, interval, int) to reactor;
