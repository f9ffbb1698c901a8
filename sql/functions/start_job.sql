--! requires: now, require_leader
-- Registers a periodic job, and says whether it is due: then its next time is set and the leader runs
-- it. Called by upkeep/schedule for every @app.every. Missed runs: with p_catch_up every one is made
-- good, one after the other; without, the next one is in the future and the missed are skipped.
create or replace function reactor.start_job(
    p_term bigint, p_name text, p_every interval, p_catch_up boolean, p_replica text
) returns timestamptz
language plpgsql security definer set search_path = ''
as $$
declare
    v_due timestamptz;
begin
    perform reactor.require_leader(p_term);
    insert into reactor.schedules (name, every, due_at)
    values (p_name, p_every, reactor.now() + p_every)
    on conflict (name) do nothing;
    -- A changed interval counts from now.
    update reactor.schedules s
    set every = p_every, due_at = least(s.due_at, reactor.now() + p_every)
    where s.name = p_name and s.every <> p_every;

    select s.due_at into v_due from reactor.schedules s
    where s.name = p_name and s.due_at <= reactor.now()
    for update;
    if v_due is null then
        return null;
    end if;
    update reactor.schedules s
    set
        started_at = reactor.now(), replica = p_replica,
        due_at = case when p_catch_up then v_due + p_every
            else v_due + p_every * (floor(extract(epoch from reactor.now() - v_due) / extract(epoch from p_every)) + 1)
            end
    where s.name = p_name;
    return v_due;
end;
$$;

revoke all on function reactor.start_job(bigint, text, interval, boolean, text) from public;
grant execute on function reactor.start_job(bigint, text, interval, boolean, text) to reactor;
