-- Ends a term before its time. Called by upkeep/leader when its duties failed, so that what is done again is
-- done under another term, by whoever takes it.
create or replace function reactor.resign(p_term bigint) returns void
language plpgsql security definer set search_path = ''
as $$
begin
    update reactor.leadership l set expires_at = '-infinity' where l.term = p_term;
end;
$$;

revoke all on function reactor.resign(bigint) from public;
grant execute on function reactor.resign(bigint) to reactor;
