--! requires: now, ring, require_leader, rescue, unpark, raise_alert
-- Turns the passing of time into events: delayed events become ready, leases that ran out are ended, clocks whose
-- deadline passed become overdue (their trigger emits). A bounded batch a call; called by the deadline timer when
-- something is due, until it reports less than p_limit everywhere. Its cost depends on what is due, not on what exists.
--
-- A row that cannot be updated, because a trigger of the application refuses it, is its own tenant's trouble: the others
-- are done one by one. It stays due, and is tried again at the timer's pace.
create or replace function reactor.sweep(p_term bigint, p_limit int default 1000)
returns table (clocks int, events int, leases int)
language plpgsql security definer set search_path = ''
set enable_seqscan = off
set plan_cache_mode = force_generic_plan
-- Shorter than its caller's patience: the server must not go on waiting for a lock when nobody waits for it.
set lock_timeout = '3s'
as $$
declare
    -- A variable, because a volatile function in a condition is no key for an index: every clock and every
    -- delayed event would be read.
    v_now timestamptz := reactor.now();
    v_clock record;
    v_tenant uuid;
begin
    perform set_config('synchronous_commit', 'off', true);
    perform reactor.require_leader(p_term);

    -- Arrays, because a limit that the planner does not know is a tenth of the table to it: a hash of so many would be
    -- made ready in each sweep, also when nothing is due.
    update reactor.events e
    set available_at = null
    where e.id = any (array(
        select d.id from reactor.events d
        where d.available_at <= v_now
        order by d.available_at
        limit p_limit
        for update skip locked));
    get diagnostics events = row_count;

    begin
        -- Fewer at once: each brings all that it had in flight.
        select count(*) into leases from reactor.rescue(null, least(p_limit, 200));
    exception when others then
        leases := 0;
        perform set_config('lock_timeout', '100ms', true);
        for v_tenant in
            select l.tenant_id from public.agent_tenant_locks l where l.expires_at <= v_now order by l.expires_at limit 200
        loop
            begin
                leases := leases + (select count(*) from reactor.rescue(array[v_tenant], 1));
            exception when others then
                raise warning 'the lease of tenant % cannot be ended: %', v_tenant, sqlerrm;
            end;
        end loop;
    end;

    begin
        update public.engagement_clocks c
        set evaluated_at = reactor.now()
        where c.id = any (array(
            select d.id from public.engagement_clocks d
            where d.is_compliant and d.next_touch_due <= v_now
            order by d.next_touch_due
            limit p_limit
            for update skip locked));
        get diagnostics clocks = row_count;
    exception when others then
        clocks := 0;
        perform set_config('lock_timeout', '100ms', true);
        for v_clock in
            select d.id, d.tenant_id from public.engagement_clocks d
            where d.is_compliant and d.next_touch_due <= v_now order by d.next_touch_due limit p_limit
            for update skip locked
        loop
            begin
                update public.engagement_clocks c
                set evaluated_at = reactor.now()
                where c.id = v_clock.id and c.is_compliant;
                clocks := clocks + 1;
            exception when others then
                raise warning 'the clock % of tenant % cannot be judged: %', v_clock.id, v_clock.tenant_id, sqlerrm;
                begin
                    perform reactor.raise_alert(
                        v_clock.tenant_id, 'clock_failed', 'critical',
                        format('engagement clock %s cannot become overdue: %s', v_clock.id, sqlerrm),
                        jsonb_build_object('clock_id', v_clock.id), '1 day', jsonb_build_object('clock_id', v_clock.id));
                exception when others then
                    null;
                end;
            end;
        end loop;
    end;

    if events > 0 or leases > 0 then
        perform reactor.ring();
    end if;
    return next;
end;
$$;

revoke all on function reactor.sweep(bigint, int) from public;
grant execute on function reactor.sweep(bigint, int) to reactor;
