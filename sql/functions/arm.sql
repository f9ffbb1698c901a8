--! requires: now
-- Sets or clears a replica's bit in the doorbell. Called by wakeup just before a replica sleeps, and
-- when it woke. setval is not transactional: writers see the bit at once.
--
-- p_process    what the replica enlisted with as its own. One that was stopped for so long that another has its bit
--              now leaves that alone: whoever sleeps by it would not be rung for. Its next heartbeat enlists it anew.
create or replace function reactor.arm(p_slot int, p_armed boolean, p_process text default null) returns void
language plpgsql security definer set search_path = ''
as $$
declare
    v_bell bigint;
    v_bits bigint;
begin
    -- Replicas only; the writers' triggers just read.
    perform set_config('synchronous_commit', 'off', true);
    perform pg_advisory_xact_lock(hashtextextended('reactor.doorbell', 0));
    if p_process is not null and exists (
        select from reactor.replicas r
        where r.slot = p_slot and r.slot <= 61 and r.seen_at > reactor.now() - r.patience
            and r.info ->> 'process' is distinct from p_process) then
        return;
    end if;
    select d.last_value into v_bell from reactor.doorbell d;
    v_bits := case
        when p_armed then v_bell | (1::bigint << p_slot)
        -- The last bit is shared by all replicas beyond the sixty-first: once set, it stays.
        when p_slot >= 62 then v_bell
        else v_bell & ~(1::bigint << p_slot) end;
    if v_bits <> v_bell then
        perform pg_catalog.setval('reactor.doorbell', v_bits);
    end if;
end;
$$;

revoke all on function reactor.arm(int, boolean, text) from public;
grant execute on function reactor.arm(int, boolean, text) to reactor;
