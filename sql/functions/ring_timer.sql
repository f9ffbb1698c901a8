-- Wakes the leader's deadline timer when p_due comes before the moment it means to look next.
-- Called by whoever writes a deadline: emit with a delay, settle with a retry, the clocks' trigger.
create or replace function reactor.ring_timer(p_due timestamptz) returns void
language plpgsql security definer set search_path = ''
as $$
begin
    if p_due < 'infinity'
        -- Asked by a function, because a query of its own would cost the writer ten times as much.
        and extract(epoch from p_due) * 1000000 < pg_catalog.pg_sequence_last_value('reactor.timer'::pg_catalog.regclass) then
        perform pg_catalog.pg_notify('reactor', 'timer');
    end if;
end;
$$;

revoke all on function reactor.ring_timer(timestamptz) from public;
grant execute on function reactor.ring_timer(timestamptz) to reactor, reactor_handler, service_role;
