-- Rings the doorbell: wakes replicas that sleep, and costs a busy fleet nothing. Called by
-- whatever makes work possible outside the triggers: emit, release_tenant_lock, unpark, replay.
create or replace function reactor.ring() returns void
language plpgsql security definer set search_path = ''
as $$
begin
    -- 1 is the empty set, null one that nobody ever set; asked by a function, because a query of its own would cost
    -- the writer ten times as much. A transaction that notifies takes a lock that is global to the server
    -- at its commit, so it is done only when somebody sleeps.
    if pg_catalog.pg_sequence_last_value('reactor.doorbell'::pg_catalog.regclass) > 1 then
        perform pg_catalog.pg_notify('reactor', '');
    end if;
end;
$$;

revoke all on function reactor.ring() from public;
grant execute on function reactor.ring() to reactor, reactor_handler, service_role;
