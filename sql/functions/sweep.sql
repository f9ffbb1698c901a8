--! requires: now, ring, require_leader, rescue, unpark, raise_alert, set_aside, skipped
-- Turns the passing of time into events: delayed events become ready, leases that ran out are ended, clocks whose
-- deadline passed become overdue (their trigger emits). A bounded batch a call; called by the deadline timer when
-- something is due, until it reports less than p_limit everywhere. Its cost depends on what is due, not on what exists.
--
-- A row that cannot be updated, because a trigger of the application refuses it, is its own tenant's trouble: the others
-- are done one by one. It stays due, and is tried again a minute later; reactor.set_aside remembers the place up
-- to which that is so. What is slow to be updated, because of such a trigger, is done as far as the caller's patience goes.
create or replace function reactor.sweep(p_term bigint, p_limit int default 1000)
returns table (clocks int, events int, leases int)
language plpgsql security definer set search_path = ''
set enable_seqscan = off
set plan_cache_mode = force_generic_plan
-- Shorter than its caller's patience: the server must not go on waiting for a lock when nobody waits for it.
set lock_timeout = '3s'
as $$
declare
    -- Fewer at once: each brings all that it had in flight.
    c_leases constant int := least(p_limit, 200);
    -- So many in one statement, and so long for those of a kind: what the caller does not wait for is undone.
    c_clocks constant int := 100;
    c_patience constant interval := '2 seconds';
    -- A variable, because a volatile function in a condition is no key for an index: every clock and every
    -- delayed event would be read.
    v_now timestamptz := reactor.now();
    v_due timestamptz;
    v_place uuid;
    -- What is in the way for the moment only: a lock, a deadlock, the server's own want of room.
    c_passes constant text := '^(55P03|40...|53...)$';
    v_refused boolean;
    v_tried int;
    v_until timestamptz;
    v_more boolean;
    v_row record;
    v_ids uuid[];
begin
    perform set_config('synchronous_commit', 'off', true);
    perform reactor.require_leader(p_term);

    -- Arrays, because a limit that the planner does not know is a tenth of the table to it: a hash of so many would be
    -- made ready in each sweep, also when nothing is due.
    -- Ready since it was due: a leader that comes late to it is a part of the wait.
    update reactor.events e
    set available_at = null, ready_at = e.available_at
    where e.id = any (array(
        select d.id from reactor.events d
        where d.available_at <= v_now
        order by d.available_at
        limit p_limit
        for update skip locked));
    get diagnostics events = row_count;

    select a.due, a.id, a.again_at is not null into v_due, v_place, v_refused from reactor.place_of('lease') a;
    if not v_refused then
        begin
            select count(*) into leases from reactor.rescue(null, c_leases);
        exception when others then
            v_refused := true;
        end;
    end if;
    if v_refused then
        -- One by one, from the place on.
        leases := 0;
        v_tried := 0;
        v_refused := false;
        v_more := false;
        v_until := clock_timestamp() + c_patience;
        perform set_config('lock_timeout', '100ms', true);
        for v_row in
            select l.tenant_id, l.expires_at from public.agent_tenant_locks l
            where l.expires_at <= v_now
                and (l.expires_at, l.tenant_id) > (v_due, v_place)
            order by l.expires_at, l.tenant_id limit c_leases
        loop
            v_tried := v_tried + 1;
            begin
                leases := leases + (select count(*) from reactor.rescue(array[v_row.tenant_id], 1));
            exception when others then
                v_refused := v_refused or sqlstate !~ c_passes;
                raise warning 'the lease of tenant % cannot be ended: %', v_row.tenant_id, sqlerrm;
            end;
            v_more := v_tried = c_leases or clock_timestamp() > v_until;
            exit when v_more;
        end loop;
        if v_refused then
            perform reactor.set_aside('lease', v_row.expires_at, v_row.tenant_id, v_more);
        end if;
    end if;

    select a.due, a.id, a.again_at is not null into v_due, v_place, v_refused from reactor.place_of('clock') a;
    clocks := 0;
    v_until := clock_timestamp() + c_patience;
    if not v_refused then
        begin
            loop
                v_ids := array(
                    select d.id from public.engagement_clocks d
                    where d.is_compliant and d.next_touch_due <= v_now
                    order by d.next_touch_due
                    limit least(c_clocks, p_limit - clocks)
                    for update skip locked);
                update public.engagement_clocks c
                set evaluated_at = reactor.now()
                where c.id = any (v_ids);
                get diagnostics v_tried = row_count;
                -- Those that a trigger leaves out in silence would be the first ones again, for ever.
                if v_tried < cardinality(v_ids) then
                    raise exception using errcode = 'RX006',
                        message = reactor.skipped('public.engagement_clocks', 'update');
                end if;
                clocks := clocks + v_tried;
                exit when v_tried < c_clocks or clocks >= p_limit or clock_timestamp() > v_until;
            end loop;
        exception when others then
            v_refused := true;
        end;
    end if;
    if v_refused then
        clocks := 0;
        v_tried := 0;
        v_refused := false;
        v_more := false;
        v_until := clock_timestamp() + c_patience;
        perform set_config('lock_timeout', '100ms', true);
        for v_row in
            select d.id, d.tenant_id, d.next_touch_due from public.engagement_clocks d
            where d.is_compliant and d.next_touch_due <= v_now
                and (d.next_touch_due, d.id) > (v_due, v_place)
            order by d.next_touch_due, d.id limit p_limit
            for update skip locked
        loop
            v_tried := v_tried + 1;
            begin
                update public.engagement_clocks c
                set evaluated_at = reactor.now()
                where c.id = v_row.id and c.is_compliant;
                if not found then
                    raise exception using errcode = 'RX006',
                        message = reactor.skipped('public.engagement_clocks', 'update');
                end if;
                clocks := clocks + 1;
            exception when others then
                v_refused := v_refused or sqlstate !~ c_passes;
                raise warning 'the clock % of tenant % cannot be judged: %', v_row.id, v_row.tenant_id, sqlerrm;
                begin
                    perform reactor.raise_alert(
                        v_row.tenant_id, 'clock_failed', 'critical',
                        format('engagement clock %s cannot become overdue: %s', v_row.id, sqlerrm),
                        jsonb_build_object('clock_id', v_row.id), '1 day', jsonb_build_object('clock_id', v_row.id));
                exception when others then
                    null;
                end;
            end;
            v_more := v_tried = p_limit or clock_timestamp() > v_until;
            exit when v_more;
        end loop;
        if v_refused then
            perform reactor.set_aside('clock', v_row.next_touch_due, v_row.id, v_more);
        end if;
    end if;

    if events > 0 or leases > 0 then
        perform reactor.ring();
    end if;
    return next;
end;
$$;

revoke all on function reactor.sweep(bigint, int) from public;
grant execute on function reactor.sweep(bigint, int) to reactor;
