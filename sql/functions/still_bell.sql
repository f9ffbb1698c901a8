-- Clears the bits of the doorbell that are no replica's: whoever set them died, or has another one now. As long as
-- some bit is set, every writer notifies, and one that nobody clears would cost them that for ever. The bit that replicas
-- beyond the sixty-first share goes with the last of these. Called by retire and, because rows go in other ways
-- too (enlist), by housekeeping; last in a transaction, since whoever arms waits for it.
create or replace function reactor.still_bell() returns void
language plpgsql security definer set search_path = ''
as $$
declare
    v_bell bigint;
    v_bits bigint;
begin
    perform pg_advisory_xact_lock(hashtextextended('reactor.doorbell', 0));
    select d.last_value into v_bell from reactor.doorbell d;
    -- 1 is the empty set.
    select v_bell & (1 | coalesce(bit_or(1::bigint << r.slot), 0)) into v_bits from reactor.replicas r;
    if v_bits <> v_bell then
        perform pg_catalog.setval('reactor.doorbell', v_bits);
    end if;
end;
$$;

revoke all on function reactor.still_bell() from public;
