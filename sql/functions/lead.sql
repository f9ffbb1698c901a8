--! requires: now
-- Takes or renews the leadership and returns its term, or null while another replica leads. Called
-- by upkeep/leader. A row lease judged by the server's clock, because a session's advisory lock
-- survives behind a pooler that keeps the session.
--
-- p_process    what the replica enlisted with as its own; one whose name another process has taken does not lead: it
--              would do so in the other one's term
create or replace function reactor.lead(p_replica text, p_lease interval, p_process text default null) returns bigint
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
    where (l.leader = p_replica or l.expires_at <= reactor.now()
            -- No lease is that long: the server's clock was set back, and its holder need not live any more.
            or l.expires_at > reactor.now() + p_lease + interval '1 hour')
        and (p_process is null or not exists (
            select from reactor.replicas r
            where r.replica = p_replica and r.info ->> 'process' is distinct from p_process))
    returning l.term into v_term;
    return v_term;
end;
$$;

revoke all on function reactor.lead(text, interval, text) from public;
grant execute on function reactor.lead(text, interval, text) to reactor;
