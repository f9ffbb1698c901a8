--! requires: now
-- Which of the named periodic jobs are due, or to be given another moment (see start_job). Called by the leader whenever
-- its deadline timer fires.
create or replace function reactor.due_jobs(p_jobs text[]) returns text[]
language sql stable security definer set search_path = ''
begin atomic
    select coalesce(array_agg(s.name order by s.due_at), '{}')
    from reactor.schedules s
    where s.name = any (p_jobs) and (s.due_at <= reactor.now() or s.due_at > reactor.now() + s.every)
        and (s.started_at is null or s.finished_at is not null);
end;

revoke all on function reactor.due_jobs(text[]) from public;
grant execute on function reactor.due_jobs(text[]) to reactor;
