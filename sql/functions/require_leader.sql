--! requires: now
-- The fence of housekeeping: fails with RX005 unless this term still leads, and holds the row until
-- the caller's transaction ends, so that no other term can begin before it. Called first by every
-- function that only the leader may run.
create or replace function reactor.require_leader(p_term bigint) returns void
language plpgsql security definer set search_path = ''
as $$
begin
    perform from reactor.leadership l
    where l.term = p_term and l.expires_at > reactor.now()
    for share;
    if not found then
        raise exception 'term % does not lead any more', p_term using errcode = 'RX005';
    end if;
end;
$$;

revoke all on function reactor.require_leader(bigint) from public;
grant execute on function reactor.require_leader(bigint) to reactor;
