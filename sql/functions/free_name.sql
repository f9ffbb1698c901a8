--! requires: now
-- The name under which a replica enlists: the one it was given, or, while a live process has that, one made from
-- it. Two of one name would share a bit of the doorbell and both believe that they lead. Called in the
-- transaction of reactor.enlist(), whose lock it takes first, so that of two that start at once one hears of the other.
create or replace function reactor.free_name(p_replica text, p_process text) returns text
language plpgsql security definer set search_path = ''
as $$
begin
    -- The caller has more to say. One that is stopped before it does must not keep all others from starting.
    perform set_config('idle_in_transaction_session_timeout', '5s', true);
    perform pg_advisory_xact_lock(hashtextextended('reactor.enlist', 0));
    if exists (
        select from reactor.replicas r
        where r.replica = p_replica and r.seen_at > reactor.now() - r.patience
            and r.info ->> 'process' is distinct from p_process) then
        return left(p_replica, 193) || '-' || left(p_process, 6);
    end if;
    return p_replica;
end;
$$;

revoke all on function reactor.free_name(text, text) from public;
grant execute on function reactor.free_name(text, text) to reactor;
