--! requires: now
-- Deletes settled emails and alert deliveries older than p_keep, in bounded batches. Called by housekeeping
-- until it returns less than p_limit. What is unsettled stays, however old.
create or replace function reactor.prune_outbound(p_keep interval, p_limit int default 5000) returns int
language plpgsql security definer set search_path = ''
as $$
declare
    v_emails int;
    v_deliveries int;
    -- A variable, because a volatile function in a condition is no key for an index.
    v_until constant pg_catalog.timestamptz := reactor.now() - p_keep;
begin
    delete from reactor.email_intents i
    where i.id = any (array(
        select o.id from reactor.email_intents o
        where o.settled_at < v_until
        limit p_limit));
    get diagnostics v_emails = row_count;
    delete from reactor.alert_deliveries d
    where d.id = any (array(
        select o.id from reactor.alert_deliveries o
        where o.created_at < v_until
        limit p_limit));
    get diagnostics v_deliveries = row_count;
    return greatest(v_emails, v_deliveries);
end;
$$;

revoke all on function reactor.prune_outbound(interval, int) from public;
grant execute on function reactor.prune_outbound(interval, int) to reactor;
