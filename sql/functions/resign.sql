-- Ends a term before its time. Called by upkeep/leader when its duties failed, so that what is done again is
-- done under another term, by whoever takes it.
create or replace function reactor.resign(p_term bigint) returns void
language plpgsql security definer set search_path = ''
-- Shorter than its caller's patience: the server must not go on waiting for a lock when nobody waits for it.
set lock_timeout = '3s'
as $$
begin
    update reactor.leadership l set expires_at = '-infinity' where l.term = p_term;
end;
$$;

revoke all on function reactor.resign(bigint) from public;
grant execute on function reactor.resign(bigint) to reactor;
