--! requires: now, require_leader
-- Keeps days_overdue right: clocks that stay overdue are judged again once a day. Emits nothing (the
-- trigger wants the transition). Called by housekeeping, until it returns less than p_limit.
create or replace function reactor.reevaluate_clocks(p_term bigint, p_limit int default 1000) returns int
language plpgsql security definer set search_path = ''
set enable_seqscan = off
as $$
declare
    v_count int;
    -- A variable is a key for the index, a volatile function is not.
    v_now timestamptz := reactor.now();
begin
    perform reactor.require_leader(p_term);
    update public.engagement_clocks c
    set evaluated_at = reactor.now()
    where c.id = any (array(
        select d.id from public.engagement_clocks d
        where not d.is_compliant and d.evaluated_at <= v_now - interval '1 day'
        order by d.evaluated_at
        limit p_limit
        for update skip locked));
    get diagnostics v_count = row_count;
    return v_count;
end;
$$;

revoke all on function reactor.reevaluate_clocks(bigint, int) from public;
grant execute on function reactor.reevaluate_clocks(bigint, int) to reactor;
