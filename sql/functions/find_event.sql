-- The id of the event with this event_id, the one that is known outside the database (in an idempotency
-- key), or null. No index serves it: it reads the outbox, the dead and the history, one after the other. Called
-- by `reactor explain` and `reactor events trace`.
create or replace function reactor.find_event(p_event_id uuid) returns bigint
language sql volatile security definer set search_path = ''
begin atomic
    select coalesce(
        (select e.id from reactor.events e where e.event_id = p_event_id limit 1),
        (select d.id from reactor.dead_events d where d.event_id = p_event_id limit 1),
        (select h.id from reactor.history h where h.event_id = p_event_id order by h.finished_at desc limit 1));
end;

revoke all on function reactor.find_event(uuid) from public;
grant execute on function reactor.find_event(uuid) to reactor;
