--! requires: now
-- A page of the events that are not finished, the oldest first, as a document: events (without their payloads), next
-- (give it as p_after to go on; null at the end) and complete: false where the page is not full because the look
-- ended, not the events. Called by `reactor events list` and the dashboard.
--
-- p_state      null: all; 'ready', 'in_flight', 'delayed', 'parked'; or 'retrying': tried before, whatever it waits for
--
-- It stays cheap with a million events: an index is asked first which events can fit at all, and where that are too
-- many the outbox is walked in the order of its ids, so far and no further. Volatile, as all that read the outbox are.
create or replace function reactor.list_events(
    p_state text default null,
    p_type text default null,
    p_tenant uuid default null,
    p_after bigint default null,
    p_limit int default 50
) returns jsonb
language plpgsql volatile security definer set search_path = ''
-- The order of the ids is that of the primary key: no other way is left to walk.
set enable_seqscan = off
set enable_bitmapscan = off
set enable_sort = off
set max_parallel_workers_per_gather = 0
set plan_cache_mode = force_custom_plan
set jit = off
as $$
declare
    -- So many are taken from an index and put in order.
    c_few constant int := 10000;
    v_now constant timestamptz := reactor.now();
    v_after constant bigint := coalesce(p_after, -9223372036854775808);
    v_limit constant int := least(greatest(p_limit, 1), 1000);
    v_flying bigint[];
    v_ids bigint[];
    v_found bigint[];
    v_end bigint;
    v_walked boolean := false;
    v_most int;
    v_complete boolean;
begin
    if p_state not in ('ready', 'in_flight', 'delayed', 'parked', 'retrying') then
        raise exception 'no event is %: it is ready, in_flight, delayed, parked or retrying', quote_literal(p_state)
            using errcode = 'RX003';
    end if;
    v_flying := array(
        select i.id
        from public.agent_tenant_locks l
        join reactor.in_flight f on f.tenant_id = l.tenant_id and f.run_id = l.run_id
        cross join unnest(f.ids) as i (id)
        where l.expires_at > v_now and (p_tenant is null or l.tenant_id = p_tenant));

    if p_state = 'in_flight' then
        v_ids := v_flying;
    else
        v_ids := array(
            select e.id from reactor.events e
            where p_tenant is not null and coalesce(p_state, '') not in ('delayed', 'parked')
                and e.tenant_id = p_tenant and e.available_at is null
            limit c_few + 1);
        v_ids := v_ids || array(
            select e.id from reactor.events e
            where (p_tenant is not null or p_state = 'parked') and coalesce(p_state, '') not in ('ready', 'delayed')
                and e.available_at = 'infinity' and (p_tenant is null or e.tenant_id = p_tenant)
            limit c_few + 1);
        v_ids := v_ids || array(
            select e.id from reactor.events e
            where (p_tenant is not null or p_state = 'delayed') and coalesce(p_state, '') not in ('ready', 'parked')
                and e.available_at < 'infinity' and (p_tenant is null or e.tenant_id = p_tenant)
            limit c_few + 1);
        v_walked := cardinality(v_ids) > c_few or p_tenant is null and coalesce(p_state, '') not in ('delayed', 'parked');
    end if;
    if not v_walked then
        v_ids := array(select i.id from unnest(v_ids) as i (id) where i.id > v_after);
    end if;

    if not v_walked then
        v_found := array(
            select e.id from reactor.events e
            where e.id = any (v_ids)
                and (p_tenant is null or e.tenant_id = p_tenant)
                and (p_type is null or e.event_type = p_type)
                and (p_state is distinct from 'retrying' or e.attempts > 0)
                and (p_state is distinct from 'ready' or e.id <> all (v_flying))
            order by e.id
            limit v_limit + 1);
    else
        -- Most pages are full after a short walk.
        foreach v_most in array array[20 * v_limit, 20000, 200000] loop
            v_end := (select e.id from reactor.events e where e.id > v_after order by e.id offset v_most limit 1);
            v_found := array(
                select e.id from reactor.events e
                where e.id > v_after and e.id <= coalesce(v_end, 9223372036854775807)
                    and (p_tenant is null or e.tenant_id = p_tenant)
                    and (p_type is null or e.event_type = p_type)
                    and (p_state is null
                        or p_state = 'retrying' and e.attempts > 0
                        or p_state = 'ready' and e.available_at is null and e.id <> all (v_flying)
                        or p_state = 'delayed' and e.available_at < 'infinity'
                        or p_state = 'parked' and e.available_at = 'infinity')
                order by e.id
                limit v_limit + 1);
            exit when cardinality(v_found) > v_limit or v_end is null;
        end loop;
    end if;
    if cardinality(v_found) > v_limit then
        v_end := v_found[v_limit];
        v_complete := true;
    else
        v_complete := v_end is null;
    end if;

    return jsonb_build_object('at', v_now, 'next', v_end, 'complete', v_complete, 'events', (
        select coalesce(jsonb_agg(jsonb_build_object(
            'id', e.id, 'event_id', e.event_id, 'tenant_id', e.tenant_id, 'tenant_name', t.name,
            'event_type', e.event_type, 'subject_id', e.subject_id,
            'state', case
                when e.id = any (v_flying) then 'in_flight'
                when e.available_at is null then 'ready'
                when e.available_at = 'infinity' then 'parked'
                else 'delayed' end,
            'priority', e.priority, 'attempts', e.attempts, 'interruptions', e.interruptions,
            'available_at', e.available_at, 'created_at', e.created_at, 'cause_id', e.cause_id,
            'last_error', left(e.errors -> -1 ->> 'error', 300)) order by e.id), '[]')
        from reactor.events e
        left join public.tenants t on t.id = e.tenant_id
        where e.id = any (v_found[1:v_limit])));
end;
$$;

revoke all on function reactor.list_events(text, text, uuid, bigint, int) from public;
grant execute on function reactor.list_events(text, text, uuid, bigint, int) to reactor;
