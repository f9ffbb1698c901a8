--! requires: now, require_leader
-- Keeps days_overdue right: clocks that stay overdue are judged again once a day. Emits nothing (the
-- trigger wants the transition). Called by housekeeping, until it returns 0.
create or replace function reactor.reevaluate_clocks(p_term bigint, p_limit int default 1000) returns int
language plpgsql security definer set search_path = ''
set enable_seqscan = off
as $$
declare
    v_count int;
    v_clock uuid;
    v_clocks uuid[];
    -- A variable is a key for the index, a volatile function is not.
    v_now timestamptz := reactor.now();
begin
    perform reactor.require_leader(p_term);
    v_clocks := array(
        select d.id from public.engagement_clocks d
        where not d.is_compliant and d.evaluated_at <= v_now - interval '1 day'
        order by d.evaluated_at
        limit p_limit
        for update skip locked);
    begin
        update public.engagement_clocks c set evaluated_at = reactor.now() where c.id = any (v_clocks);
        get diagnostics v_count = row_count;
    exception
    when insufficient_resources or transaction_rollback or lock_not_available then
        raise;
    when others then
        -- The application refuses one of them; the others are judged one by one.
        v_count := 0;
        foreach v_clock in array v_clocks loop
            begin
                update public.engagement_clocks c set evaluated_at = reactor.now() where c.id = v_clock;
                v_count := v_count + 1;
            exception when others then
                raise warning 'clock % cannot be judged again: %', v_clock, sqlerrm;
            end;
        end loop;
    end;
    return v_count;
end;
$$;

revoke all on function reactor.reevaluate_clocks(bigint, int) from public;
grant execute on function reactor.reevaluate_clocks(bigint, int) to reactor;
