--! requires: now, require_leader, place_of, set_aside, skipped
-- Keeps days_overdue right: clocks that stay overdue are judged again once a day. Emits nothing (the
-- trigger wants the transition). Called by housekeeping, until it returns 0. What the application refuses is not counted,
-- but where that is a whole batch of it, since others wait behind; it is tried again in the next hour.
create or replace function reactor.reevaluate_clocks(p_term bigint, p_limit int default 1000) returns int
language plpgsql security definer set search_path = ''
set enable_seqscan = off
as $$
declare
    v_count int;
    v_clock record;
    v_clocks uuid[];
    -- A variable is a key for the index, a volatile function is not.
    v_now timestamptz := reactor.now();
    v_due timestamptz;
    v_place uuid;
    v_refused boolean := false;
begin
    perform reactor.require_leader(p_term);
    select a.due, a.id into v_due, v_place from reactor.place_of('overdue') a;
    v_clocks := array(
        select d.id from public.engagement_clocks d
        where not d.is_compliant and d.evaluated_at <= v_now - interval '1 day'
            and (d.evaluated_at, d.id) > (v_due, v_place)
        order by d.evaluated_at, d.id
        limit p_limit
        for update skip locked);
    begin
        update public.engagement_clocks c set evaluated_at = reactor.now() where c.id = any (v_clocks);
        get diagnostics v_count = row_count;
        if v_count < cardinality(v_clocks) then
            raise exception using errcode = 'RX006', message = reactor.skipped('public.engagement_clocks', 'update');
        end if;
    exception
    when insufficient_resources or transaction_rollback or lock_not_available then
        raise;
    when others then
        -- The application refuses one of them; the others are judged one by one.
        v_count := 0;
        for v_clock in
            select d.id, d.evaluated_at as due from public.engagement_clocks d
            where d.id = any (v_clocks) order by d.evaluated_at, d.id
        loop
            v_due := v_clock.due;
            v_place := v_clock.id;
            begin
                update public.engagement_clocks c set evaluated_at = reactor.now() where c.id = v_clock.id;
                if not found then
                    raise exception using errcode = 'RX006',
                        message = reactor.skipped('public.engagement_clocks', 'update');
                end if;
                v_count := v_count + 1;
            exception when others then
                v_refused := true;
                raise warning 'clock % cannot be judged again: %', v_clock.id, sqlerrm;
            end;
        end loop;
    end;
    if v_refused and cardinality(v_clocks) = p_limit then
        perform reactor.set_aside('overdue', v_due, v_place, true, '50 minutes');
        return greatest(v_count, 1);
    end if;
    return v_count;
end;
$$;

revoke all on function reactor.reevaluate_clocks(bigint, int) from public;
grant execute on function reactor.reevaluate_clocks(bigint, int) to reactor;
