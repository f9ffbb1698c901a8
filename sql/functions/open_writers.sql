-- Which other transactions have written to a table of deadlines, leases or events and not ended yet. A
-- writer that looked at the doorbell before it was armed does not ring; it is one of these, so a
-- replica that arms looks again until none is left that began before. Writers hold their ROW
-- EXCLUSIVE lock on the outbox until they end, which is what makes this exact. Called by wakeup and
-- by the deadline timer just before they sleep.
create or replace function reactor.open_writers(p_timer boolean default false) returns text[]
language sql volatile security definer set search_path = ''
begin atomic
    select coalesce(array_agg(l.virtualtransaction), '{}')
    from pg_catalog.pg_locks l
    where l.locktype = 'relation' and l.mode = 'RowExclusiveLock' and l.granted
        -- a prepared transaction has no process
        and l.pid is distinct from pg_catalog.pg_backend_pid()
        and l.database = (select d.oid from pg_catalog.pg_database d where d.datname = pg_catalog.current_database())
        -- Whoever takes a lease and then rolls back does not ring either.
        and (l.relation in ('reactor.events'::regclass, 'public.agent_tenant_locks'::regclass)
            or (p_timer and l.relation = 'public.engagement_clocks'::regclass));
end;

revoke all on function reactor.open_writers(boolean) from public;
grant execute on function reactor.open_writers(boolean) to reactor;
