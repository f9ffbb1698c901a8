-- One event as it is, wherever it is, as a document: its columns and its state, 'waiting', 'dead' or
-- 'finished'. Null when nobody knows it (any more). Called by reactor.explain_event(),
-- reactor.trace_event() and `reactor dead show`. Volatile, as all that read the outbox are: then the
-- snapshot is taken after the lock, and a rotation meanwhile hides nothing.
create or replace function reactor.read_event(p_id bigint) returns jsonb
language sql volatile security definer set search_path = ''
begin atomic
    select coalesce(
        (select to_jsonb(e) || '{"state": "waiting"}' from reactor.events e where e.id = p_id),
        (select to_jsonb(d) || '{"state": "dead"}' from reactor.dead_events d where d.id = p_id),
        (select to_jsonb(h) || '{"state": "finished"}' from reactor.history h where h.id = p_id
         order by h.finished_at desc limit 1));
end;

revoke all on function reactor.read_event(bigint) from public;
grant execute on function reactor.read_event(bigint) to reactor;
