--! requires: now, require_leader
-- Registers a periodic job, and says whether it is to be run now: then the moment it is for is
-- returned, and its next one set. Called by upkeep/schedule for every @app.every.
--
-- A run that an earlier leader began and did not finish is started again: its writes were to commit
-- with finish_job, so none of them happened. Missed moments: with p_catch_up every one is made good,
-- one after the other; without, the next one is in the future and the missed are skipped.
create or replace function reactor.start_job(
    p_term bigint, p_name text, p_every interval, p_catch_up boolean, p_replica text
) returns timestamptz
language plpgsql security definer set search_path = ''
as $$
declare
    v_job reactor.schedules;
    v_slot timestamptz;
begin
    perform reactor.require_leader(p_term);
    insert into reactor.schedules (name, every, due_at)
    values (p_name, p_every, reactor.now() + p_every)
    on conflict (name) do nothing;
    -- A changed interval counts from now; so does one that was begun before the server's clock was set back: the job
    -- would not be run until that time came again.
    update reactor.schedules s
    set every = p_every, due_at = least(s.due_at, reactor.now() + p_every)
    where s.name = p_name and (s.every <> p_every or s.due_at > reactor.now() + p_every);

    select s.* into v_job from reactor.schedules s where s.name = p_name for update;
    if v_job.started_at is not null and v_job.finished_at is null and v_job.term <> p_term then
        v_slot := v_job.slot_at;
    elsif v_job.due_at <= reactor.now() and (v_job.finished_at is not null or v_job.started_at is null) then
        v_slot := v_job.due_at;
        v_job.due_at := case when p_catch_up then v_slot + p_every
            else v_slot + p_every * (floor(extract(epoch from reactor.now() - v_slot) / extract(epoch from p_every)) + 1)
            end;
    else
        return null;
    end if;
    update reactor.schedules s
    set due_at = v_job.due_at, slot_at = v_slot, term = p_term, started_at = reactor.now(), finished_at = null,
        replica = p_replica
    where s.name = p_name;
    return v_slot;
end;
$$;

revoke all on function reactor.start_job(bigint, text, interval, boolean, text) from public;
grant execute on function reactor.start_job(bigint, text, interval, boolean, text) to reactor;
