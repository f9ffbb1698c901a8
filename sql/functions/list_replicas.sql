--! requires: now
-- Which replicas the fleet knows and whether they live, at no cost worth mentioning. Called by
-- `reactor health`, which containers run every few seconds.
create or replace function reactor.list_replicas()
returns table (replica text, started_at timestamptz, seen_at timestamptz, alive boolean, version text, info jsonb)
language sql stable security definer set search_path = ''
begin atomic
    select r.replica, r.started_at, r.seen_at, r.seen_at > reactor.now() - r.patience, r.version, r.info
    from reactor.replicas r
    order by r.started_at;
end;

revoke all on function reactor.list_replicas() from public;
grant execute on function reactor.list_replicas() to reactor;
