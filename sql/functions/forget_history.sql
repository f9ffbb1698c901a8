--! requires: now, require_leader
-- Deletes what is older than p_keep and in no day's partition, at most p_limit of it, so that no call keeps the
-- leadership, which it holds, from being renewed. Called by housekeeping, until it returns less than that.
create or replace function reactor.forget_history(p_term bigint, p_keep interval, p_limit int default 5000) returns int
language plpgsql security definer set search_path = ''
as $$
declare
    v_until constant timestamptz := reactor.now() - p_keep;
    v_count int;
begin
    perform reactor.require_leader(p_term);
    delete from reactor.history_default h
    where h.ctid = any (array(
        select d.ctid from reactor.history_default d where d.finished_at < v_until limit p_limit));
    get diagnostics v_count = row_count;
    return v_count;
end;
$$;

revoke all on function reactor.forget_history(bigint, interval, int) from public;
grant execute on function reactor.forget_history(bigint, interval, int) to reactor;
