--! requires: now
-- Takes or renews the leadership and returns its term, or null while another replica leads. Called
-- by upkeep/leader. A row lease judged by the server's clock, because a session's advisory lock
-- survives behind a pooler that keeps the session.
create or replace function reactor.lead(p_replica text, p_lease interval) returns bigint
language plpgsql security definer set search_path = ''
-- Shorter than its caller's patience: the server must not go on waiting for a lock when nobody waits for it.
set lock_timeout = '3s'
as $$
declare
    v_term bigint;
begin
    perform set_config('synchronous_commit', 'off', true);
    update reactor.leadership l
    set
        term = l.term + (l.leader is distinct from p_replica or l.expires_at <= reactor.now())::int,
        leader = p_replica,
        expires_at = reactor.now() + p_lease
    where l.leader = p_replica or l.expires_at <= reactor.now()
    returning l.term into v_term;
    return v_term;
end;
$$;

revoke all on function reactor.lead(text, interval) from public;
grant execute on function reactor.lead(text, interval) to reactor;
