--! requires: now, ring, require_leader, rescue, unpark
-- Turns the passing of time into events: clocks whose deadline passed become overdue (their trigger
-- emits), delayed events become ready, leases that ran out are ended. A bounded batch a call; called by
-- the deadline timer when something is due, until it reports less than p_limit everywhere. Its cost
-- depends on what is due, not on what exists.
create or replace function reactor.sweep(p_term bigint, p_limit int default 1000)
returns table (clocks int, events int, leases int)
language plpgsql security definer set search_path = ''
set enable_seqscan = off
-- A limit that the planner does not know looks like a tenth of the table to it: it would read all of it.
set enable_hashjoin = off
set enable_mergejoin = off
set plan_cache_mode = force_generic_plan
-- Shorter than its caller's patience: the server must not go on waiting for a lock when nobody waits for it.
set lock_timeout = '3s'
as $$
declare
    -- A variable, because a volatile function in a condition is no key for an index: every clock and every
    -- delayed event would be read.
    v_now timestamptz := reactor.now();
begin
    perform set_config('synchronous_commit', 'off', true);
    perform reactor.require_leader(p_term);

    update public.engagement_clocks c
    set evaluated_at = reactor.now()
    where c.id in (
        select d.id from public.engagement_clocks d
        where d.is_compliant and d.next_touch_due <= v_now
        order by d.next_touch_due
        limit p_limit
        for update skip locked);
    get diagnostics clocks = row_count;

    update reactor.events e
    set available_at = null
    where e.id in (
        select d.id from reactor.events d
        where d.available_at <= v_now
        order by d.available_at
        limit p_limit
        for update skip locked);
    get diagnostics events = row_count;

    select count(*) into leases from reactor.rescue(null, p_limit);

    if events > 0 or leases > 0 then
        perform reactor.ring();
    end if;
    return next;
end;
$$;

revoke all on function reactor.sweep(bigint, int) from public;
grant execute on function reactor.sweep(bigint, int) to reactor;
