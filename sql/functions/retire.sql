--! requires: still_bell, ring
-- Takes a replica out of the fleet. Called when it has drained, and by the leader for the dead, so
-- that nobody rings for a replica that will not come.
--
-- p_process    what it enlisted with as its own; whoever has taken its name since stays, and goes on leading
create or replace function reactor.retire(p_replica text, p_process text default null) returns void
language plpgsql security definer set search_path = ''
as $$
begin
    delete from reactor.replicas r
    where r.replica = p_replica and (p_process is null or r.info ->> 'process' is not distinct from p_process);
    -- Before the doorbell is taken: what the leader is at may hold this for long.
    update reactor.leadership l set expires_at = '-infinity'
    where l.leader = p_replica and not exists (select from reactor.replicas r where r.replica = p_replica);
    -- Events that came while it held their tenant's lease rang in vain.
    perform reactor.ring();
    -- Not one by which a successor sleeps, that has its slot since it fell silent.
    perform reactor.still_bell();
end;
$$;

revoke all on function reactor.retire(text, text) from public;
grant execute on function reactor.retire(text, text) to reactor;
