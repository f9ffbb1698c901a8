--! requires: now
-- Takes p_count places in the hourly windows of agent_rate_limits: as many as fit in the current hour, the
-- rest in the next windows that have room, within the limits of an hour, of a day (UTC) and of all actions
-- of an hour (counted as action_type 'action'). Called by handlers before acting, in the tenant's scope.
--
-- Reserving ahead gives each postponed action its own turn: a backlog is looked at twice, not once in every
-- window. A place counts for its own hour only; who comes too late asks again.
--
-- A limit of null does not apply. With a limit of zero no window ever opens: slot is null, nothing is counted.
create or replace function reactor.reserve_slots(
    p_tenant_id uuid,
    p_action_type text,
    p_count int,
    p_per_hour int,
    p_per_day int,
    p_actions_per_hour int
) returns table (slot timestamptz, granted int, delay interval)
language plpgsql set search_path = ''
as $$
#variable_conflict use_variable
declare
    v_now timestamptz := reactor.now();
    v_hour timestamptz := date_trunc('hour', v_now, 'UTC');
    v_left int := p_count;
    v_in_hour int;
    v_in_day int;
    v_actions int;
    v_ahead timestamptz;
    -- Not '1 day', which is counted on the session's clock: where that one goes forward it ends before the day (UTC) does.
    c_day constant interval := '24 hours';
begin
    if p_count <= 0 then
        return;
    end if;
    if least(p_per_hour, p_per_day, p_actions_per_hour) <= 0 then
        granted := p_count;
        delay := date_trunc('day', v_now, 'UTC') + c_day - v_now;
        return next;
        return;
    end if;
    -- Callers of one tenant wait for each other here, so that no place is given twice.
    perform pg_advisory_xact_lock(hashtextextended('reactor.reserve_slots ' || p_tenant_id::text, 0));

    slot := v_hour;
    loop
        select
            coalesce(sum(r.action_count) filter (where r.action_type = p_action_type and r.window_start = slot), 0),
            coalesce(sum(r.action_count) filter (where r.action_type = p_action_type), 0),
            coalesce(sum(r.action_count) filter (where r.action_type = 'action' and r.window_start = slot), 0)
        into v_in_hour, v_in_day, v_actions
        from public.agent_rate_limits r
        where r.tenant_id = p_tenant_id and r.action_type in (p_action_type, 'action')
            and r.window_start >= date_trunc('day', slot, 'UTC')
            and r.window_start < date_trunc('day', slot, 'UTC') + c_day;

        granted := least(
            v_left, p_per_hour - v_in_hour, p_per_day - v_in_day, p_actions_per_hour - v_actions);
        if granted > 0 then
            insert into public.agent_rate_limits as r (tenant_id, action_type, window_start, window_end, action_count)
            select p_tenant_id, k.kind, slot, slot + interval '1 hour', granted
            from unnest(array[p_action_type, 'action']) as k (kind)
            on conflict (tenant_id, action_type, window_start) do update
            set action_count = r.action_count + excluded.action_count;
            delay := greatest(slot - v_now, interval '0');
            return next;
            v_left := v_left - granted;
        end if;
        exit when v_left = 0;

        if slot = v_hour then
            -- The windows up to the last reserved one are full. (One years ahead was made by the tenant's users, at
            -- 'infinity' perhaps, behind which there is none.)
            select max(r.window_start) into v_ahead from public.agent_rate_limits r
            where r.tenant_id = p_tenant_id and r.action_type = p_action_type
                and r.window_start > v_hour and r.window_start < v_hour + interval '1 year';
            slot := greatest(slot + interval '1 hour', v_ahead);
        elsif p_per_day is not null and p_per_day - v_in_day - greatest(granted, 0) <= 0 then
            slot := date_trunc('day', slot, 'UTC') + c_day;
        else
            slot := slot + interval '1 hour';
        end if;
    end loop;
end;
$$;

revoke all on function reactor.reserve_slots(uuid, text, int, int, int, int) from public;
grant execute on function reactor.reserve_slots(uuid, text, int, int, int, int) to reactor, reactor_handler;
