--! requires: leaseless
-- Ends the handlers' transactions of runs that lost their lease. They can commit nothing, but the rows
-- they wrote are locked until they end, and the next holder of the lease would wait for a replica that
-- is stopped or cut off. Called by the leader when leases ran out, and by a claim's replica when it meets
-- events that were interrupted. Returns how many were ended.
--
-- SECURITY INVOKER: a role may end the sessions of its own login, which is the fleet's. A scope says its
-- run in application_name; that is read first and the leases after it, so a run that began in between
-- has its lease in sight.
create or replace function reactor.cut_off() returns int
language plpgsql set search_path = ''
as $$
declare
    v_pids int[];
    v_runs uuid[];
    v_gone uuid[];
begin
    select array_agg(a.pid), array_agg(substr(a.application_name, 13)::uuid)
    into v_pids, v_runs
    from pg_catalog.pg_stat_activity a
    where a.datname = current_database() and a.pid <> pg_backend_pid() and a.usename = session_user
        and a.application_name ~ '^reactor run [0-9a-f-]{36}$';
    if v_pids is null then
        return 0;
    end if;
    v_gone := reactor.leaseless(v_runs);
    -- A run that ended in between has no lease either, and its session may be at work for another by now.
    perform pg_catalog.pg_stat_clear_snapshot();
    return (
        select count(*) filter (where pg_catalog.pg_terminate_backend(s.pid))
        from unnest(v_pids, v_runs) as s (pid, run)
        join pg_catalog.pg_stat_activity a on a.pid = s.pid and a.application_name = 'reactor run ' || s.run
        where s.run = any (v_gone));
end;
$$;

revoke all on function reactor.cut_off() from public;
grant execute on function reactor.cut_off() to reactor;
