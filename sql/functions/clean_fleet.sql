--! requires: now, require_leader, retire
-- Retires replicas that have been silent too long, so that nobody rings for them. Called by
-- housekeeping.
create or replace function reactor.clean_fleet(p_term bigint) returns int
language plpgsql security definer set search_path = ''
as $$
declare
    v_replica text;
    v_count int := 0;
begin
    perform reactor.require_leader(p_term);
    for v_replica in
        select r.replica from reactor.replicas r where r.seen_at <= reactor.now() - r.patience * 2
    loop
        perform reactor.retire(v_replica);
        v_count := v_count + 1;
    end loop;
    return v_count;
end;
$$;

revoke all on function reactor.clean_fleet(bigint) from public;
grant execute on function reactor.clean_fleet(bigint) to reactor;
