--! requires: now, place_of
-- How long until something is due: the nearest deadline of a compliant clock, of a delayed event, of
-- a lease, of a scheduled job. Three index look-ups, whatever the tables hold. Called by the deadline
-- timer before it sleeps; it announces the moment in reactor.timer, so that only a writer of a nearer
-- one wakes it. p_jobs: the periodic jobs this fleet knows (a forgotten one must not keep it awake).
create or replace function reactor.next_deadline(p_at_most interval, p_jobs text[]) returns interval
language plpgsql security definer set search_path = ''
set enable_seqscan = off
set plan_cache_mode = force_generic_plan
as $$
declare
    v_now timestamptz := reactor.now();
    v_due timestamptz;
    -- What is due up to there the application refuses, and until when it is left alone.
    v_clock record;
    v_lease record;
begin
    select a.due, a.id, a.again_at into v_clock from reactor.place_of('clock') a;
    select a.due, a.id, a.again_at into v_lease from reactor.place_of('lease') a;
    select min(d.due) into v_due
    from (
        (select c.next_touch_due from public.engagement_clocks c
         where c.is_compliant and (c.next_touch_due, c.id) > (v_clock.due, v_clock.id)
         order by c.next_touch_due limit 1)
        union all
        (select e.available_at from reactor.events e
         where e.available_at is not null order by e.available_at limit 1)
        union all
        (select l.expires_at from public.agent_tenant_locks l
         where (l.expires_at, l.tenant_id) > (v_lease.due, v_lease.id) order by l.expires_at limit 1)
        union all
        (select min(s.due_at) from reactor.schedules s
         where s.name = any (p_jobs) and (s.started_at is null or s.finished_at is not null))
    ) d (due);
    -- A tenant's users may write '-infinity' into their lease, which has no microseconds.
    v_due := greatest(least(v_due, v_clock.again_at, v_lease.again_at, v_now + p_at_most), 'epoch');
    perform set_config('synchronous_commit', 'off', true);
    perform pg_catalog.setval('reactor.timer', greatest(1, (extract(epoch from v_due) * 1000000)::bigint));
    return greatest(interval '0', v_due - v_now);
end;
$$;

revoke all on function reactor.next_deadline(interval, text[]) from public;
grant execute on function reactor.next_deadline(interval, text[]) to reactor;
