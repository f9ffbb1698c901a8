--! requires: now
-- The hours that ended and were not reflected on, the earliest first, at most p_limit; never further back than
-- two days, and on a first start only the last one. Read by the leader's housekeeping. The minute lets
-- transactions that began in the hour commit.
create or replace function reactor.hours_to_reflect(p_limit int default 48) returns setof timestamptz
language sql stable security definer set search_path = ''
begin atomic
    select h.hour
    from generate_series(
        (
            select greatest(
                coalesce(max(r.hour) + interval '1 hour', date_trunc('hour', reactor.now() - interval '61 minutes', 'UTC')),
                date_trunc('hour', reactor.now() - interval '48 hours', 'UTC'))
            from reactor.reflected_hours r
        ),
        date_trunc('hour', reactor.now() - interval '61 minutes', 'UTC'),
        interval '1 hour') as h (hour)
    order by h.hour
    limit p_limit;
end;

revoke all on function reactor.hours_to_reflect(int) from public;
grant execute on function reactor.hours_to_reflect(int) to reactor;
