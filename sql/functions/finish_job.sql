--! requires: now, require_leader
-- Notes how a periodic job ended: p_error null when it went well. Called by upkeep/schedule as the last
-- statement of the job's own transaction, which fences what the job wrote.
create or replace function reactor.finish_job(p_term bigint, p_name text, p_error text) returns void
language plpgsql security definer set search_path = ''
as $$
begin
    -- Until its commit the job holds the leadership: a replica that falls silent just now must not keep it.
    perform set_config('idle_in_transaction_session_timeout', '5s', true);
    perform reactor.require_leader(p_term);
    update reactor.schedules s
    set finished_at = reactor.now(), last_error = p_error,
        failures = case when p_error is null then 0 else s.failures + 1 end
    where s.name = p_name and s.term = p_term;
end;
$$;

revoke all on function reactor.finish_job(bigint, text, text) from public;
grant execute on function reactor.finish_job(bigint, text, text) to reactor;
